import com.fasterxml.jackson.databind.ObjectMapper;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.List;
import org.openapitools.control.ApiClient;
import org.openapitools.control.ApiException;
import org.openapitools.control.api.ControlApi;
import org.openapitools.control.model.Fault;
import org.openapitools.control.model.FaultAction;
import org.openapitools.control.model.FaultPhase;
import org.openapitools.control.model.FaultRequest;
import org.openapitools.control.model.NewDelegate;
import org.openapitools.control.model.NewStep;
import org.openapitools.control.model.Param;
import org.openapitools.control.model.ParamType;
import org.openapitools.control.model.Problem;
import org.openapitools.control.model.ProcessList;
import org.openapitools.control.model.ProcessRequest;
import org.openapitools.control.model.Sandbox;
import org.openapitools.control.model.Status;
import org.openapitools.control.model.Step;
import org.openapitools.control.model.Verification;
import org.openapitools.control.model.VerificationRequest;

/** Drives a sandbox, on a stub with a control token, through the client that `java` generates. */
public class OpenapiGeneratorJavaControl {
  private static String url;
  private static String token;
  private static String controlToken;
  private static String step;
  private static final ObjectMapper mapper = ApiClient.createDefaultObjectMapper();

  public static void main(String[] arguments) {
    url = arguments[0];
    token = arguments[1];
    controlToken = arguments[2];
    Report.report("create sandbox", OpenapiGeneratorJavaControl::createSandbox);
    Report.report("start process", OpenapiGeneratorJavaControl::startProcess);
    Report.report("add faults", OpenapiGeneratorJavaControl::addFaults);
    Report.report("verify completions", OpenapiGeneratorJavaControl::verifyCompletions);
    Report.report("read a problem", OpenapiGeneratorJavaControl::readProblem);
    Report.report("delete sandbox", OpenapiGeneratorJavaControl::deleteSandbox);
  }

  private static void createSandbox() throws Exception {
    Sandbox sandbox = api().createSandbox(null);
    Report.equal(sandbox.getProcesses(), List.of());
    token = sandbox.getToken();
  }

  private static void startProcess() throws Exception {
    ProcessList started =
        api()
            .startProcess(
                new ProcessRequest()
                    .addStepsItem(new NewStep().timeOutInSeconds(60.0))
                    .addStepsItem(
                        new NewStep()
                            .delegate(new NewDelegate("recorded"))
                            .putParamsItem(
                                "total", new Param().longValue(12L).type(ParamType.LONG))));
    Report.equal(started.getTotal(), 1L);
    List<Step> steps = started.getProcesses().get(0).getSteps();
    Report.equal(steps.get(0).getStatus(), Status.STARTED);
    Report.equal(steps.get(1).getParams().get("total").getLongValue(), 12L);
    step = steps.get(0).getId();
  }

  // Each request has only the fields that were set; the stub refuses a status with a delay.
  private static void addFaults() throws Exception {
    Fault delay =
        api()
            .addFault(
                new FaultRequest()
                    .phase(FaultPhase.BEFORE)
                    .action(FaultAction.DELAY)
                    .seconds(0.0));
    Report.equal(delay.getSeconds(), 0.0);
    Report.equal(delay.getStatus(), null);
    Fault lost = api().addFault(new FaultRequest().phase(FaultPhase.AFTER));
    Report.equal(lost.getAction(), FaultAction.RESPOND);
    Report.equal(lost.getStatus(), 500);
    Report.equal(lost.getRemaining(), 1);
  }

  private static void verifyCompletions() throws Exception {
    Report.equal(List.of(complete(), complete()), List.of(500, 412));
    Verification seen = api().verifyCompleted(new VerificationRequest().processStepId(step));
    Report.equal(seen.getHolds(), true);
    Report.equal(seen.getCompleted(), 1);
    Report.equal(seen.getAttempts(), List.of(1L, 2L));
  }

  private static void readProblem() throws Exception {
    Problem problem = refusal(() -> api().getStep("unknown"));
    Report.equal(problem.getStatus(), 404);
    Report.equal(problem.getDetail().contains("unknown"), true);
    String given = controlToken;
    controlToken = "wrong";
    problem = refusal(() -> api().getClock());
    controlToken = given;
    Report.equal(problem.getStatus(), 401);
    Report.equal(problem.getDetail().contains("control token"), true);
  }

  private static void deleteSandbox() throws Exception {
    api().deleteSandbox();
    Report.equal(refusal(() -> api().getClock()).getStatus(), 401);
  }

  private static ControlApi api() {
    ApiClient client = new ApiClient();
    client.updateBaseUri(url);
    client.setRequestInterceptor(
        request ->
            request
                .header("Authorization", "Bearer " + token)
                .header("X-Stepstub-Control-Token", controlToken));
    return new ControlApi(client);
  }

  private static int complete() throws Exception {
    HttpRequest request =
        HttpRequest.newBuilder(URI.create(url + "/api/v1/processes/complete-step"))
            .header("Authorization", "Bearer " + token)
            .header("Content-Type", "application/json")
            .POST(HttpRequest.BodyPublishers.ofString("{\"processStepId\": \"" + step + "\"}"))
            .build();
    return HttpClient.newHttpClient()
        .send(request, HttpResponse.BodyHandlers.discarding())
        .statusCode();
  }

  private static Problem refusal(Report.Call call) throws Exception {
    try {
      call.make();
    } catch (ApiException error) {
      return mapper.readValue(error.getResponseBody(), Problem.class);
    }
    throw new AssertionError("not refused");
  }
}
