import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import stepstub.Stepstub;
import stepstub.Stepstub.ControlFailed;
import stepstub.Stepstub.NotCompletedAsExpected;
import stepstub.Stepstub.Param;
import stepstub.Stepstub.Sandbox;
import stepstub.Stepstub.StartFailed;
import stepstub.Stepstub.Status;

/** What a user of the helper relies on, against a real stub. */
class StepstubTest {
  private static final HttpClient CLIENT =
      HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
  private static Stepstub stub;

  @BeforeAll
  static void start() {
    stub = Stepstub.start();
  }

  @AfterAll
  static void end() {
    stub.close();
  }

  /** Starts a stub, prints its URL, and then waits to be killed, or ends if it is told to. */
  public static void main(String[] arguments) throws IOException {
    System.out.println(Stepstub.start().url());
    if (arguments[0].equals("wait")) {
      System.in.read();
    }
  }

  @Test
  void aStubIsUpWhenItHasStartedAndGoneWhenItIsClosed() {
    Stepstub own = Stepstub.start("--readings", "spring", "--max-sandboxes", "0");
    try (own) {
      assertEquals("ok", own.health().get("status"));
      assertEquals(400L, own.defaultSandbox().readings().get("bad-body"));
      assertEquals(409, assertThrows(ControlFailed.class, own::sandbox).status());
    }
    assertThrows(UncheckedIOException.class, own::health);
    own.close();
  }

  @Test
  void aStubSaysWhyItDidNotStart() {
    var failure = assertThrows(StartFailed.class, () -> Stepstub.start("--scenario", "unknown"));
    assertTrue(failure.getMessage().matches("(?s)The stub ended with exit status \\d\\..*unknown.*"));
    failure = assertThrows(StartFailed.class, () -> Stepstub.startWith(List.of("no-such-command")));
    assertTrue(failure.getMessage().contains("no-such-command"));
  }

  @Test
  void aStubEndsWithTheJvmThatStartedItWhetherItExitsOrIsKilled() throws Exception {
    for (String behaviour : List.of("exit", "wait")) {
      Process other =
          new ProcessBuilder(
                  Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                  "-classpath",
                  System.getProperty("java.class.path"),
                  StepstubTest.class.getName(),
                  behaviour)
              .redirectError(ProcessBuilder.Redirect.INHERIT)
              .start();
      try (BufferedReader printed = other.inputReader()) {
        Stepstub its = Stepstub.connect(printed.readLine(), "stub-token");
        if (behaviour.equals("wait")) {
          assertEquals("ok", its.health().get("status"));
          other.destroyForcibly();
        }
        waitUntilItIs(false, its);
      }
    }
  }

  /** Asks until somebody listens, or until nobody does. */
  private static void waitUntilItIs(boolean up, Stepstub stub) {
    Instant deadline = Instant.now().plusSeconds(10);
    boolean isUp = !up;
    while (isUp != up) {
      assertTrue(Instant.now().isBefore(deadline), "it is as it was");
      try {
        stub.health();
        isUp = true;
      } catch (UncheckedIOException error) {
        isUp = false;
      }
    }
  }

  @Test
  void aControlTokenIsSent() {
    try (Stepstub own = Stepstub.start("--control-token", "secret")) {
      Stepstub with = Stepstub.connect(own.url() + "/", "stub-token", "secret");
      Stepstub without = Stepstub.connect(own.url(), "stub-token", null);
      assertEquals(1, with.defaultSandbox().processes().size());
      assertEquals(401, assertThrows(ControlFailed.class, without::sandbox).status());
    }
  }

  @Test
  void aSandboxIsEmptyAndIsolatedAndGoneInTheEnd() throws Exception {
    Sandbox first = stub.sandbox("two-steps");
    try (first;
        Sandbox second = stub.sandbox()) {
      assertEquals(200, complete(first, "order-1-approve"));
      assertEquals(List.of(), second.processes());
      assertEquals(412, complete(second, "order-1-approve"));
    }
    assertEquals(401, assertThrows(ControlFailed.class, first::journal).status());
    assertDoesNotThrow(first::close);
    assertDoesNotThrow(() -> stub.defaultSandbox().close());
    assertEquals(1, stub.defaultSandbox().processes().size());
  }

  @Test
  void aSandboxHasTheProcessesAndStepsThatWereStarted() throws Exception {
    try (Sandbox sandbox = stub.sandbox()) {
      var total = Map.of("longValue", 9007199254740993L, "type", "LONG"); // 2^53 + 1
      var weight = Map.of("doubleValue", 2.5, "type", "DOUBLE");
      var params = Map.of("total", total, "weight", weight);
      var process = sandbox.startProcess("loan-1", List.of(Map.of(), Map.of("params", params)));
      String first = process.steps().get(0).id();
      String second = process.steps().get(1).id();
      assertEquals(200, complete(sandbox, first));
      assertEquals(Status.COMPLETED, sandbox.step(first).status());
      assertEquals(1L, sandbox.step(first).movedBy());
      var call = sandbox.delegateCalls().get(1);
      assertEquals(second, call.processStepId());
      assertEquals(
          Map.of(
              "total", new Param(null, 9007199254740993L, null, "LONG"),
              "weight", new Param(null, null, 2.5, "DOUBLE")),
          call.params());
      assertEquals(Status.FAILED, sandbox.failStep(second).status());
      assertEquals(Status.FAILED, sandbox.process("loan-1").steps().get(1).status());
      assertEquals("order-1", sandbox.startProcess("two-steps").id());
      assertEquals(2, sandbox.processes().size());
    }
  }

  @Test
  void aSandboxListsEverythingHoweverManyPagesThatTakes() {
    try (Sandbox sandbox = stub.sandbox()) {
      var processes =
          IntStream.range(0, 1001)
              .mapToObj(number -> Map.of("id", "p" + number, "steps", List.of(Map.of())))
              .toList();
      sandbox.reset(Map.of("processes", processes));
      assertEquals(1001, sandbox.processes().size());
    }
  }

  @Test
  void textIsReadAndWrittenAsItIs() throws Exception {
    String text = "büro 50% ?#& \"quoted\" \\ \n\t\u0001 😀 \u2028";
    try (Sandbox sandbox = stub.sandbox()) {
      var param = Map.of("strValue", text);
      sandbox.startProcess(List.of(Map.of("id", "a?b #%", "params", Map.of(text, param))));
      var step = sandbox.step("a?b #%");
      assertEquals(Set.of(text), step.params().keySet());
      assertEquals(text, step.params().get(text).strValue());
      assertNull(step.params().get(text).longValue());
      assertEquals(200, complete(sandbox, "a?b #%"));
      assertEquals(1, sandbox.journal(Map.of("processStepId", "a?b #%")).size());
    }
  }

  @Test
  void numbersThatJsonDoesNotHaveAreRefused() {
    try (Sandbox sandbox = stub.sandbox()) {
      var body = Map.of("seconds", Double.NaN);
      assertThrows(IllegalArgumentException.class, () -> sandbox.fault("before", "delay", body));
    }
  }

  @Test
  void faultsStrikeAsOftenAsTheyShould() throws Exception {
    try (Sandbox sandbox = stub.sandbox("two-steps")) {
      sandbox.fault("before", "respond", Map.of("status", 503, "headers", Map.of("Retry-After", "2")));
      sandbox.fault("before", "respond", Map.of("processStepId", "misspelt"));
      assertEquals(503, complete(sandbox, "order-1-approve"));
      var unused = sandbox.faults().get(0);
      assertEquals("misspelt", unused.processStepId());
      assertEquals(1, unused.remaining());
      sandbox.clearFaults();
      assertEquals(List.of(), sandbox.faults());
      assertEquals(200, complete(sandbox, "order-1-approve"));
    }
  }

  @Test
  void theClockDecidesWhenStepsTimeOut() {
    try (Sandbox sandbox = stub.sandbox()) {
      sandbox.clock().freeze();
      var start = sandbox.clock().now();
      var process = sandbox.startProcess(List.of(Map.of("timeOutInSeconds", 60)));
      assertEquals(start.plusSeconds(60), process.steps().get(0).timesOutAt());
      sandbox.clock().advance(Duration.ofMillis(60_500));
      assertEquals(start.plusMillis(60_500), sandbox.clock().now());
      assertEquals(Status.FAILED, sandbox.step(process.steps().get(0).id()).status());
      sandbox.clock().resume();
      assertEquals(false, sandbox.call("GET", "clock", null).get("frozen"));
    }
  }

  @Test
  void theJournalHasTheReasonOfEachRefusal() throws Exception {
    try (Sandbox sandbox = stub.sandbox("two-steps")) {
      assertEquals(200, complete(sandbox, "order-1-approve"));
      assertEquals(412, complete(sandbox, "order-1-approve"));
      var refused = sandbox.journal(Map.of("status", 412)).get(0);
      assertEquals(1L, refused.movedBy());
      assertTrue(refused.reason().contains("order-1-approve is COMPLETED"));
      assertEquals("STEP_COMPLETED", refused.violations().get("processStepId").code());
    }
  }

  @Test
  void completionsAreVerifiedAndThoseThatDifferExplained() throws Exception {
    try (Sandbox sandbox = stub.sandbox("two-steps")) {
      sandbox.verifyCompleted("order-1-approve", 0);
      var verified =
          CompletableFuture.supplyAsync(
              () -> sandbox.verifyCompleted("order-1-approve", 1, Duration.ofSeconds(10)));
      assertEquals(200, complete(sandbox, "order-1-approve"));
      assertEquals(1, verified.get().completed());
      var failure =
          assertThrows(
              NotCompletedAsExpected.class, () -> sandbox.verifyCompleted("order-1-approve", 2));
      assertTrue(failure.getMessage().contains("completed once, and should have been completed twice"));
      assertEquals(List.of(1L), failure.verification().attempts());
    }
  }

  @Test
  void tokensAreLimitedRevokedAndReplaced() throws Exception {
    try (Sandbox sandbox = stub.sandbox("two-steps")) {
      sandbox.limitToken(Map.of("requests", 0));
      assertEquals(401, complete(sandbox, "order-1-approve"));
      sandbox.limitToken(Map.of());
      Sandbox brief = sandbox.newToken(Map.of("expiresInSeconds", 60));
      sandbox.clock().advance(Duration.ofSeconds(61));
      assertEquals(401, complete(brief, "order-1-approve"));
      Sandbox renewed = sandbox.rotateToken();
      assertEquals(401, complete(sandbox, "order-1-approve"));
      assertEquals(200, complete(renewed, "order-1-approve"));
      renewed.close();
      assertEquals(4, sandbox.journal().size());
    }
  }

  @Test
  void headersFollowTheReadings() throws Exception {
    var readings = Map.of("credentials", "api-key", "credentials-header", "X-Key");
    var initial = Map.of("scenario", "two-steps", "readings", readings, "vary", Map.of("seed", 7));
    try (Sandbox sandbox = stub.sandbox(initial)) {
      assertEquals(Map.of("X-Key", sandbox.token()), sandbox.headers());
      assertEquals(200, complete(sandbox, "order-1-approve"));
      assertEquals(Map.of("seed", 7L), varied(sandbox));
      sandbox.reset(Map.of("readings", Map.of("credentials", "basic"), "vary", Map.of()));
      assertEquals(Map.of(), varied(sandbox));
      assertTrue(sandbox.headers().get("Authorization").startsWith("Basic "));
      assertEquals(200, complete(sandbox, "order-1-approve"));
      sandbox.reset(Map.of("readings", Map.of("credentials", "bearer")));
      assertEquals("Bearer " + sandbox.token(), sandbox.headers().get("Authorization"));
      sandbox.reset();
      assertEquals(200, complete(sandbox, "order-1-approve"));
    }
  }

  private static Object varied(Sandbox sandbox) {
    return sandbox.call("GET", "readings", null).get("vary");
  }

  @Test
  void connectionsAreRefusedForAWhile() {
    try (Stepstub own = Stepstub.start()) {
      own.defaultSandbox().refuseConnections(Duration.ofMillis(500));
      assertThrows(UncheckedIOException.class, own::health);
      waitUntilItIs(true, own);
    }
  }

  @Test
  void aRefusedCallSaysWhatIsWrong() {
    try (Sandbox sandbox = stub.sandbox()) {
      var unknown = assertThrows(ControlFailed.class, () -> sandbox.step("unknown"));
      assertEquals(404, unknown.status());
      assertTrue(unknown.getMessage().contains("unknown"));
      var status = Map.of("status", 700);
      var wrong =
          assertThrows(ControlFailed.class, () -> sandbox.fault("before", "respond", status));
      assertEquals(400, wrong.status());
      assertEquals(Set.of("status"), wrong.violations().keySet());
    }
  }

  /** The status of a completion. */
  private static int complete(Sandbox sandbox, String stepId)
      throws IOException, InterruptedException {
    HttpRequest.Builder request =
        HttpRequest.newBuilder(URI.create(sandbox.completeStepUrl()))
            .header("Content-Type", "application/json")
            .POST(BodyPublishers.ofString("{\"processStepId\": \"" + stepId + "\"}"));
    sandbox.headers().forEach(request::header);
    return CLIENT.send(request.build(), BodyHandlers.discarding()).statusCode();
  }
}
