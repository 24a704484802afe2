package stepstub;

import java.io.IOException;
import java.io.InterruptedIOException;
import java.io.Serial;
import java.io.UncheckedIOException;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.RecordComponent;
import java.lang.reflect.Type;
import java.math.BigInteger;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;

/**
 * A Stepstub, started or connected to, and the sandboxes on it. One file for Java 17 and newer,
 * without dependencies: copy it into your tests.
 *
 * <p>Bodies are maps with the names of the control API, such as {@code Map.of("status", 503)};
 * what the stub returns are records. All methods of a stub and a sandbox throw {@link
 * ControlFailed} for a call that the stub refuses, and {@link UncheckedIOException} without a
 * response.
 */
public final class Stepstub implements AutoCloseable {
  private static final String DEFAULT_TOKEN = "stub-token"; // that of `stepstub serve`
  private static final Duration START_TIMEOUT = Duration.ofSeconds(30);
  private static final Duration CALL_TIMEOUT = Duration.ofSeconds(90); // a verification waits 60 s
  private static final long GRACE_PERIOD_IN_SECONDS = 2;
  private static final int PAGE = 1000; // the most items that the control API returns at once

  // HTTP/2 would be offered by an upgrade with each first request.
  private final HttpClient client =
      HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
  private final String url;
  private final String token;
  private final String controlToken;
  private final java.lang.Process process; // null if the stub was started by somebody else

  private Stepstub(String url, String token, String controlToken, java.lang.Process process) {
    this.url = url.replaceAll("/+$", "");
    this.token = token;
    this.controlToken = controlToken;
    this.process = process;
  }

  /**
   * Starts {@code stepstub serve} on a free port and waits until it is ready. {@code options} are
   * further options of it, such as {@code "--readings", "spring"}.
   *
   * <p>{@link #close} ends the stub. So does the end of this JVM, however it comes, because the
   * stub reads its standard input and stops at its end. Throws {@link StartFailed}.
   */
  public static Stepstub start(String... options) {
    return startWith(List.of("stepstub"), options);
  }

  /** As {@link #start}, with a command that runs Stepstub, such as {@code uvx stepstub}. */
  public static Stepstub startWith(List<String> command, String... options) {
    try {
      Path directory = Files.createTempDirectory("stepstub-");
      try {
        return started(command, List.of(options), directory);
      } finally {
        delete(directory.resolve("stderr.txt"));
        delete(directory.resolve("ready.json"));
        delete(directory);
      }
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  /** The stub that {@code STEPSTUB_URL} and {@code STEPSTUB_TOKEN} name. */
  public static Stepstub connect() {
    String url = System.getenv("STEPSTUB_URL");
    if (url == null || url.isEmpty()) {
      throw new IllegalStateException("No stub to connect to: set STEPSTUB_URL.");
    }
    return connect(url, Objects.requireNonNullElse(System.getenv("STEPSTUB_TOKEN"), DEFAULT_TOKEN));
  }

  /**
   * The stub that runs at this URL, with the token of any of its sandboxes. A control token is
   * taken from {@code STEPSTUB_CONTROL_TOKEN}.
   */
  public static Stepstub connect(String url, String token) {
    return connect(url, token, System.getenv("STEPSTUB_CONTROL_TOKEN"));
  }

  /** As above, with the token that {@code --control-token} set, or null. */
  public static Stepstub connect(String url, String token, String controlToken) {
    return new Stepstub(url, token, controlToken, null);
  }

  public String url() {
    return url;
  }

  /** Creates an empty sandbox, isolated from all others: one for each test. */
  public Sandbox sandbox() {
    return sandbox(Map.of());
  }

  /** Creates a sandbox with the processes of a scenario, given by its name. */
  public Sandbox sandbox(String scenario) {
    return sandbox(Map.of("scenario", scenario));
  }

  /**
   * Creates a sandbox from {@code scenario} or {@code processes}, {@code readings} and {@code
   * vary}: {@code Map.of("readings", Map.of("last-step-id", "absent"))}.
   */
  public Sandbox sandbox(Map<String, ?> initial) {
    Map<String, Object> created = defaultSandbox().call("POST", "sandboxes", initial);
    return new Sandbox((String) created.get("token"), true);
  }

  /** The default sandbox. Its journal has the requests that have no known token or path, too. */
  public Sandbox defaultSandbox() {
    return new Sandbox(token, false);
  }

  /** The health check, with versions. */
  public Map<String, Object> health() {
    return defaultSandbox().call("GET", "health", null);
  }

  /** Ends the stub if {@link #start} has started it. */
  @Override
  public void close() {
    if (process != null) {
      end(process);
    }
  }

  /**
   * Everything that one bearer token owns on a stub: its processes, journal, faults and clock. A
   * try statement deletes it in the end.
   */
  public final class Sandbox implements AutoCloseable {
    private final String token;
    private final Clock clock = new Clock();
    private boolean isOwned; // whether close deletes it

    private Sandbox(String token, boolean isOwned) {
      this.token = token;
      this.isOwned = isOwned;
    }

    /** Base URL of the stub, for the client under test. */
    public String url() {
      return url;
    }

    public String token() {
      return token;
    }

    /** Where a client sends completions. */
    public String completeStepUrl() {
      return url + "/api/v1/processes/complete-step";
    }

    public Clock clock() {
      return clock;
    }

    /** The headers with which a client is authorised under the readings of the sandbox. */
    public Map<String, String> headers() {
      Map<String, Object> readings = readings();
      return switch ((String) readings.get("credentials")) {
        case "basic" -> {
          byte[] pair = ("stepstub:" + token).getBytes(StandardCharsets.UTF_8);
          yield Map.of("Authorization", "Basic " + Base64.getEncoder().encodeToString(pair));
        }
        case "api-key" -> Map.of((String) readings.get("credentials-header"), token);
        default -> Map.of("Authorization", "Bearer " + token);
      };
    }

    /** Every reading with its value: a {@code String} or a {@code Long}. */
    public Map<String, Object> readings() {
      return object(call("GET", "readings", null).get("readings"));
    }

    /** Starts the processes of a scenario, given by its name, and returns the first. */
    public Process startProcess(String scenario) {
      return started(Map.of("scenario", scenario));
    }

    /**
     * Starts a process: {@code List.of(Map.of("timeOutInSeconds", 5), Map.of())}. The first step is
     * STARTED and the others are PENDING.
     */
    public Process startProcess(List<? extends Map<String, ?>> steps) {
      return started(Map.of("steps", steps));
    }

    /** As above, with an id for the process. */
    public Process startProcess(String id, List<? extends Map<String, ?>> steps) {
      return started(Map.of("id", id, "steps", steps));
    }

    private Process started(Map<String, ?> body) {
      return listed(call("POST", "processes", body), "processes", Process.class).get(0);
    }

    /** All processes, in the order in which they were added. */
    public List<Process> processes() {
      return all("processes", "processes", Process.class);
    }

    public Process process(String processId) {
      return Records.read(call("GET", "processes/" + encoded(processId), null), Process.class);
    }

    public Step step(String stepId) {
      return Records.read(call("GET", "steps/" + encoded(stepId), null), Step.class);
    }

    /** Fails a STARTED step. */
    public Step failStep(String stepId) {
      return Records.read(call("POST", "steps/" + encoded(stepId) + "/fail", null), Step.class);
    }

    /** Makes the stub misbehave once, with what the action does by default. */
    public Fault fault(String phase, String action) {
      return fault(phase, action, Map.of());
    }

    /**
     * Makes the stub misbehave: once, unless the options say otherwise.
     *
     * <p>{@code before}: nothing has changed when the fault strikes. {@code after}: the step was
     * completed, and only the response is affected. {@code delegate}: the call of the next step's
     * delegate is affected. docs/faults.md lists actions and options, such as {@code
     * Map.of("status", 503, "times", 2)}.
     */
    public Fault fault(String phase, String action, Map<String, ?> options) {
      Map<String, Object> body = new LinkedHashMap<>(options);
      body.put("phase", phase);
      body.put("action", action);
      return Records.read(call("POST", "faults", body), Fault.class);
    }

    /** The faults that can still strike. */
    public List<Fault> faults() {
      return listed(call("GET", "faults", null), "faults", Fault.class);
    }

    public void clearFaults() {
      call("DELETE", "faults", null);
    }

    /** The exchanges with clients, oldest first. */
    public List<Exchange> journal() {
      return journal(Map.of());
    }

    /** The exchanges about a {@code processStepId}, with a {@code status}, or both. */
    public List<Exchange> journal(Map<String, ?> filter) {
      List<Exchange> found = new ArrayList<>();
      Object after = 0;
      while (after != null) {
        Map<String, Object> query = new LinkedHashMap<>(filter);
        query.put("after", after);
        query.put("limit", PAGE);
        Map<String, Object> page = call("GET", "journal" + encoded(query), null);
        found.addAll(listed(page, "exchanges", Exchange.class));
        after = page.get("next");
      }
      return found;
    }

    /** The calls of delegates, oldest first. */
    public List<DelegateCall> delegateCalls() {
      return all("delegate-calls", "delegateCalls", DelegateCall.class);
    }

    /** Throws {@link NotCompletedAsExpected} unless the step was completed once. */
    public Verification verifyCompleted(String stepId) {
      return verifyCompleted(stepId, 1);
    }

    /** Throws {@link NotCompletedAsExpected} unless the step was completed {@code times} times. */
    public Verification verifyCompleted(String stepId, int times) {
      return verifyCompleted(stepId, times, Duration.ZERO);
    }

    /**
     * As above, waiting for the completions, at most for {@code within}. If {@code times} is 0,
     * that is how long none may arrive.
     */
    public Verification verifyCompleted(String stepId, int times, Duration within) {
      Map<String, ?> body =
          Map.of("processStepId", stepId, "times", times, "withinSeconds", seconds(within));
      Verification verification =
          Records.read(call("POST", "verifications", body), Verification.class);
      if (!verification.holds()) {
        throw new NotCompletedAsExpected(verification);
      }
      return verification;
    }

    /** The same sandbox with a further token, which is valid until a reset. */
    public Sandbox newToken() {
      return newToken(Map.of());
    }

    /** The same with a token that is limited by {@code expiresInSeconds} or {@code requests}. */
    public Sandbox newToken(Map<String, ?> limits) {
      return new Sandbox((String) call("POST", "tokens", limits).get("token"), false);
    }

    /**
     * Limits the token of this object by {@code expiresInSeconds} or {@code requests}. Beyond that
     * clients get a 401, but this object goes on working. Without limits the token is valid again.
     */
    public void limitToken(Map<String, ?> limits) {
      call("POST", "tokens/current", limits);
    }

    /** As {@link #newToken()}, and the token of this object is revoked. */
    public Sandbox rotateToken() {
      Sandbox renewed = newToken();
      limitToken(Map.of("requests", 0));
      return renewed;
    }

    /** Lets nobody connect to the whole stub for so long, including this object. */
    public void refuseConnections(Duration duration) {
      call("POST", "refuse-connections", Map.of("seconds", seconds(duration)));
    }

    /** Returns to the initial processes, an empty journal, no faults and the system time. */
    public void reset() {
      reset(Map.of());
    }

    /**
     * As above, with other processes, readings or variations, as in {@link Stepstub#sandbox(Map)}.
     * Those that are not given stay.
     */
    public void reset(Map<String, ?> initial) {
      call("POST", "reset", initial);
    }

    /** Deletes the sandbox if {@link Stepstub#sandbox()} has created it. */
    @Override
    public void close() {
      if (isOwned) {
        isOwned = false;
        call("DELETE", "sandboxes/current", null);
      }
    }

    /**
     * Calls any operation of the control API. The path is relative to {@code /_stub/}, the body may
     * be null, and the result is empty for a response without a body. Whole numbers in it are
     * {@code Long}, other numbers {@code Double}.
     */
    public Map<String, Object> call(String method, String path, Map<String, ?> body) {
      HttpRequest.Builder request =
          HttpRequest.newBuilder(URI.create(url + "/_stub/" + path))
              .timeout(CALL_TIMEOUT)
              .header("Authorization", "Bearer " + token) // whatever the readings ask of a client
              .header("Content-Type", "application/json")
              .method(
                  method,
                  body == null ? BodyPublishers.noBody() : BodyPublishers.ofString(Json.write(body)));
      if (controlToken != null) {
        request.header("X-Stepstub-Control-Token", controlToken);
      }
      HttpResponse<String> response = sent(request.build());
      if (response.statusCode() >= 400) {
        throw refusal(response);
      }
      return response.body().isEmpty() ? Map.of() : object(Json.read(response.body()));
    }

    private <R extends Record> List<R> all(String path, String member, Class<R> type) {
      List<R> found = new ArrayList<>();
      while (true) {
        Map<String, ?> query = Map.of("offset", found.size(), "limit", PAGE);
        Map<String, Object> page = call("GET", path + encoded(query), null);
        List<R> items = listed(page, member, type);
        found.addAll(items);
        if (items.isEmpty() || found.size() >= (Long) page.get("total")) {
          return found;
        }
      }
    }

    /** The time of the sandbox. It follows the system clock until it is told otherwise. */
    public final class Clock {
      public Instant now() {
        return Instant.parse((String) call("GET", "clock", null).get("now"));
      }

      /** Stops the time, except for {@link #advance}. */
      public void freeze() {
        call("POST", "clock", Map.of("frozen", true));
      }

      /** Moves the time forward. A step whose time-out has then elapsed is FAILED immediately. */
      public void advance(Duration duration) {
        call("POST", "clock", Map.of("advanceSeconds", seconds(duration)));
      }

      /** Lets the time run again from where it stopped. */
      public void resume() {
        call("POST", "clock", Map.of("frozen", false));
      }
    }
  }

  // What the stub returns. A member that is absent is null.

  public enum Status {
    PENDING,
    STARTED,
    COMPLETED,
    FAILED
  }

  public record Process(String id, List<Step> steps) {}

  /** {@code movedBy} is the number of the exchange that gave the step its status. */
  public record Step(
      String id,
      String processId,
      Status status,
      Delegate delegate,
      Map<String, Param> params,
      double timeOutInSeconds,
      Instant timesOutAt,
      Long movedBy,
      String failure) {}

  /** {@code kind} is recorded, http, python or failing; only http has a {@code url}. */
  public record Delegate(String kind, String url) {}

  /** {@code type} is STRING, LONG or DOUBLE. */
  public record Param(String strValue, Long longValue, Double doubleValue, String type) {}

  /**
   * One request and its response. Without a {@code status} it is in progress, or its connection was
   * lost.
   */
  public record Exchange(
      long number,
      Instant receivedAt,
      Instant wallClock,
      String operation,
      String method,
      String path,
      List<List<String>> headers,
      String body,
      long bodySize,
      Integer status,
      String response,
      Double durationMs,
      String processStepId,
      Status stepBefore,
      Status stepAfter,
      String fault,
      String reason,
      Map<String, Violation> violations,
      Long movedBy,
      DelegateCall delegateCall) {}

  /** What is wrong with one field. */
  public record Violation(
      String code, String detail, String status, String expected, String actual) {}

  public record DelegateCall(
      Instant calledAt,
      String kind,
      String processId,
      String processStepId,
      Map<String, Param> params,
      String outcome,
      Long exchangeNumber,
      Integer times) {}

  /** {@code attempts} are the numbers of the exchanges about the step. */
  public record Verification(
      boolean holds, int completed, int delegateCalls, List<Long> attempts, String explanation) {}

  /** {@code remaining}: how often it is still to strike; {@code struck}: how often it has. */
  public record Fault(
      String id, String phase, String action, String processStepId, int remaining, Integer struck) {}

  /** The stub did not start. The message ends with what it wrote to stderr. */
  public static final class StartFailed extends RuntimeException {
    @Serial private static final long serialVersionUID = 1L;

    StartFailed(String message) {
      super(message);
    }
  }

  /** The control API refused a call. The message says what is wrong, and the remedy. */
  public static final class ControlFailed extends RuntimeException {
    @Serial private static final long serialVersionUID = 1L;
    private final int status;
    private final transient Map<String, Violation> violations;

    ControlFailed(int status, String detail, Map<String, Violation> violations) {
      super(detail);
      this.status = status;
      this.violations = violations;
    }

    /** The HTTP status. */
    public int status() {
      return status;
    }

    /** What is wrong with which field of the body. */
    public Map<String, Violation> violations() {
      return violations;
    }
  }

  /** A verification does not hold. The message explains what became of each attempt. */
  public static final class NotCompletedAsExpected extends AssertionError {
    @Serial private static final long serialVersionUID = 1L;
    private final transient Verification verification;

    NotCompletedAsExpected(Verification verification) {
      super(verification.explanation());
      this.verification = verification;
    }

    public Verification verification() {
      return verification;
    }
  }

  private static Stepstub started(List<String> command, List<String> options, Path directory)
      throws IOException {
    Path readyFile = directory.resolve("ready.json");
    Path log = directory.resolve("stderr.txt");
    List<String> line = new ArrayList<>(command);
    line.addAll(List.of("serve", "--host", "127.0.0.1", "--port", "0", "--log-level", "error"));
    line.addAll(List.of("--token", DEFAULT_TOKEN, "--until-eof"));
    line.addAll(options);
    line.addAll(List.of("--ready-file", readyFile.toString()));
    java.lang.Process process;
    try {
      process =
          new ProcessBuilder(line)
              .redirectOutput(ProcessBuilder.Redirect.DISCARD)
              .redirectError(log.toFile())
              .start();
    } catch (IOException error) {
      throw new StartFailed(
          error.getMessage() + ". Install Stepstub with pip, or start it with another command.");
    }
    try {
      String url = urlOf(process, readyFile, log);
      return new Stepstub(url, DEFAULT_TOKEN, System.getenv("STEPSTUB_CONTROL_TOKEN"), process);
    } catch (IOException | RuntimeException error) {
      end(process);
      throw error;
    }
  }

  /** Where the stub listens, as soon as it does. */
  private static String urlOf(java.lang.Process process, Path readyFile, Path log)
      throws IOException {
    long start = System.nanoTime();
    while (System.nanoTime() - start < START_TIMEOUT.toNanos()) {
      boolean hasEnded = !process.isAlive();
      try {
        return (String) object(Json.read(Files.readString(readyFile))).get("url");
      } catch (NoSuchFileException error) {
        if (hasEnded) {
          throw new StartFailed(
              "The stub ended with exit status %d.%n%s"
                  .formatted(process.exitValue(), Files.readString(log).strip()));
        }
      }
      try {
        Thread.sleep(20);
      } catch (InterruptedException error) {
        throw interrupted(error);
      }
    }
    throw new StartFailed(
        "The stub was not ready within %d s.%n%s"
            .formatted(START_TIMEOUT.toSeconds(), Files.readString(log).strip()));
  }

  /** Ends the stub: by a signal, then by force. */
  private static void end(java.lang.Process process) {
    process.destroy();
    try {
      if (!process.waitFor(GRACE_PERIOD_IN_SECONDS, TimeUnit.SECONDS)) {
        process.destroyForcibly().waitFor();
      }
    } catch (InterruptedException error) {
      process.destroyForcibly();
      Thread.currentThread().interrupt();
    }
  }

  private static void delete(Path path) {
    try {
      Files.deleteIfExists(path);
    } catch (IOException ignored) {
      // On Windows the stub still has its log open.
    }
  }

  private HttpResponse<String> sent(HttpRequest request) {
    try {
      return client.send(request, BodyHandlers.ofString());
    } catch (IOException error) {
      throw new UncheckedIOException("No stub responds at " + url + ": " + error, error);
    } catch (InterruptedException error) {
      throw interrupted(error);
    }
  }

  private static UncheckedIOException interrupted(InterruptedException error) {
    Thread.currentThread().interrupt();
    InterruptedIOException interrupted = new InterruptedIOException();
    interrupted.initCause(error);
    return new UncheckedIOException(interrupted);
  }

  private static ControlFailed refusal(HttpResponse<String> response) {
    int status = response.statusCode();
    try {
      Problem problem = Records.read(object(Json.read(response.body())), Problem.class);
      Map<String, Violation> violations = problem.violations();
      return new ControlFailed(
          status, problem.detail(), violations == null ? Map.of() : violations);
    } catch (RuntimeException error) { // a proxy in between may respond in any form
      return new ControlFailed(status, "The control API responded with " + status + ".", Map.of());
    }
  }

  private record Problem(String detail, Map<String, Violation> violations) {}

  private static <R extends Record> List<R> listed(
      Map<String, Object> page, String member, Class<R> type) {
    return ((List<?>) page.get(member)).stream().map(each -> Records.read(object(each), type)).toList();
  }

  @SuppressWarnings("unchecked") // Json reads no other maps
  private static Map<String, Object> object(Object value) {
    return (Map<String, Object>) value;
  }

  private static double seconds(Duration duration) {
    return duration.toNanos() / 1e9;
  }

  private static String encoded(String text) {
    return URLEncoder.encode(text, StandardCharsets.UTF_8).replace("+", "%20");
  }

  private static String encoded(Map<String, ?> query) {
    List<String> pairs = new ArrayList<>();
    query.forEach((name, value) -> pairs.add(encoded(name) + "=" + encoded(value.toString())));
    return "?" + String.join("&", pairs);
  }

  /** Makes records of what was read as JSON. Members that the record does not have are ignored. */
  private static final class Records {
    static <R extends Record> R read(Map<String, Object> from, Class<R> type) {
      RecordComponent[] components = type.getRecordComponents();
      Class<?>[] types = new Class<?>[components.length];
      Object[] values = new Object[components.length];
      for (int index = 0; index < components.length; index++) {
        types[index] = components[index].getType();
        values[index] = value(from.get(components[index].getName()), components[index].getGenericType());
      }
      try {
        return type.getDeclaredConstructor(types).newInstance(values);
      } catch (ReflectiveOperationException error) {
        throw new IllegalStateException(error);
      }
    }

    private static Object value(Object json, Type type) {
      if (json == null) {
        return null;
      }
      if (type instanceof ParameterizedType generic) {
        Type[] arguments = generic.getActualTypeArguments();
        return json instanceof List<?> list
            ? list.stream().map(each -> value(each, arguments[0])).toList()
            : mapped(object(json), each -> value(each, arguments[1]));
      }
      Class<?> wanted = (Class<?>) type;
      if (wanted.isRecord()) {
        return read(object(json), wanted.asSubclass(Record.class));
      }
      if (wanted == Instant.class) {
        return Instant.parse((String) json);
      }
      if (wanted == Status.class) {
        return Status.valueOf((String) json);
      }
      if (wanted == Integer.class || wanted == int.class) {
        return Math.toIntExact((Long) json);
      }
      if (wanted == Double.class || wanted == double.class) {
        return ((Number) json).doubleValue();
      }
      return json;
    }

    private static Map<String, Object> mapped(
        Map<String, Object> map, Function<Object, Object> function) {
      Map<String, Object> result = new LinkedHashMap<>();
      map.forEach((name, value) -> result.put(name, function.apply(value)));
      return result;
    }
  }

  /**
   * Just enough JSON: maps, lists, strings, booleans, null, and numbers, of which whole ones are
   * read as {@code Long} or, beyond 64 bits, as {@code BigInteger}.
   */
  private static final class Json {
    private final String text;
    private int position;

    private Json(String text) {
      this.text = text;
    }

    static String write(Object value) {
      StringBuilder written = new StringBuilder();
      append(value, written);
      return written.toString();
    }

    private static void append(Object value, StringBuilder written) {
      if (value instanceof Map<?, ?> map) {
        String separator = "";
        written.append('{');
        for (Map.Entry<?, ?> member : map.entrySet()) {
          written.append(separator);
          append(member.getKey().toString(), written);
          written.append(':');
          append(member.getValue(), written);
          separator = ",";
        }
        written.append('}');
      } else if (value instanceof Iterable<?> items) {
        String separator = "";
        written.append('[');
        for (Object item : items) {
          written.append(separator);
          append(item, written);
          separator = ",";
        }
        written.append(']');
      } else if (value == null || value instanceof Boolean || isFinite(value)) {
        written.append(value);
      } else if (value instanceof CharSequence || value instanceof Enum<?>) {
        quote(value.toString(), written);
      } else {
        throw new IllegalArgumentException(
            "JSON has no " + value.getClass().getSimpleName() + " such as " + value + ".");
      }
    }

    private static boolean isFinite(Object value) {
      return value instanceof Number number && Double.isFinite(number.doubleValue());
    }

    private static void quote(String value, StringBuilder written) {
      written.append('"');
      for (char character : value.toCharArray()) {
        if (character == '"' || character == '\\') {
          written.append('\\').append(character);
        } else if (character < ' ' || Character.isSurrogate(character)) {
          written.append("\\u%04x".formatted((int) character));
        } else {
          written.append(character);
        }
      }
      written.append('"');
    }

    static Object read(String text) {
      Json json = new Json(text);
      Object value = json.value();
      json.skipSpace();
      if (json.position < text.length()) {
        throw json.unexpected();
      }
      return value;
    }

    private Object value() {
      skipSpace();
      return switch (peek()) {
        case '{' -> members();
        case '[' -> items();
        case '"' -> string();
        case 't' -> literal("true", true);
        case 'f' -> literal("false", false);
        case 'n' -> literal("null", null);
        default -> number();
      };
    }

    private Map<String, Object> members() {
      Map<String, Object> members = new LinkedHashMap<>();
      take('{');
      skipSpace();
      while (peek() != '}') {
        if (!members.isEmpty()) {
          take(',');
          skipSpace();
        }
        String name = string();
        skipSpace();
        take(':');
        members.put(name, value());
        skipSpace();
      }
      take('}');
      return members;
    }

    private List<Object> items() {
      List<Object> items = new ArrayList<>();
      take('[');
      skipSpace();
      while (peek() != ']') {
        if (!items.isEmpty()) {
          take(',');
        }
        items.add(value());
        skipSpace();
      }
      take(']');
      return items;
    }

    private String string() {
      StringBuilder value = new StringBuilder();
      take('"');
      while (peek() != '"') {
        char character = text.charAt(position++);
        value.append(character == '\\' ? escaped() : character);
      }
      take('"');
      return value.toString();
    }

    private char escaped() {
      char character = peek();
      position++;
      return switch (character) {
        case '"', '\\', '/' -> character;
        case 'b' -> '\b';
        case 'f' -> '\f';
        case 'n' -> '\n';
        case 'r' -> '\r';
        case 't' -> '\t';
        case 'u' -> (char) Integer.parseInt(text.substring(position, position += 4), 16);
        default -> throw unexpected();
      };
    }

    private Object literal(String name, Object value) {
      if (!text.startsWith(name, position)) {
        throw unexpected();
      }
      position += name.length();
      return value;
    }

    private Number number() {
      int start = position;
      while (position < text.length() && "+-.eE0123456789".indexOf(text.charAt(position)) >= 0) {
        position++;
      }
      String number = text.substring(start, position);
      if (number.isEmpty()) {
        throw unexpected();
      }
      if (number.matches("-?\\d+")) {
        BigInteger whole = new BigInteger(number);
        return whole.bitLength() < Long.SIZE ? (Number) whole.longValueExact() : whole;
      }
      return Double.valueOf(number);
    }

    private void skipSpace() {
      while (position < text.length() && " \t\r\n".indexOf(text.charAt(position)) >= 0) {
        position++;
      }
    }

    private void take(char expected) {
      if (peek() != expected) {
        throw unexpected();
      }
      position++;
    }

    private char peek() {
      if (position >= text.length()) {
        throw unexpected();
      }
      return text.charAt(position);
    }

    private IllegalArgumentException unexpected() {
      return new IllegalArgumentException("Not JSON, at character " + position + ": " + text);
    }
  }
}
