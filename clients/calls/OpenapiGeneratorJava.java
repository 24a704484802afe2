import com.fasterxml.jackson.databind.ObjectMapper;
import java.time.ZoneOffset;
import java.util.Map;
import org.openapitools.client.ApiClient;
import org.openapitools.client.ApiException;
import org.openapitools.client.api.ProcessesApi;
import org.openapitools.client.model.Completion;
import org.openapitools.client.model.InternalServerError;
import org.openapitools.client.model.Param;
import org.openapitools.client.model.ParamType;
import org.openapitools.client.model.PreconditionFailed;
import org.openapitools.client.model.StartedStep;
import org.openapitools.client.model.StepCompleted;
import org.openapitools.client.model.SubmittedParam;
import org.openapitools.client.model.SubmittedParamType;
import org.openapitools.client.model.Unauthorized;
import org.openapitools.client.model.Violation;

/** Calls through the client that openapi-generator's `java` (native) generates. */
public class OpenapiGeneratorJava {
  private static String url;
  private static String token;
  private static final ObjectMapper mapper = ApiClient.createDefaultObjectMapper();

  public static void main(String[] arguments) {
    url = arguments[0];
    token = arguments[1];
    Report.report("200 next step", OpenapiGeneratorJava::nextStep);
    Report.report("200 last step", OpenapiGeneratorJava::lastStep);
    Report.report("401", OpenapiGeneratorJava::unauthorized);
    Report.report("412", OpenapiGeneratorJava::preconditionFailed);
    Report.report("500", OpenapiGeneratorJava::internalServerError);
    Report.report("int64", OpenapiGeneratorJava::int64);
  }

  private static void nextStep() throws Exception {
    StepCompleted result =
        api(token)
            .completeStep(
                new Completion()
                    .processStepId("order-1-approve")
                    .putParamsItem("decision", new SubmittedParam().strValue("approved").type(SubmittedParamType.STRING))
                    .putParamsItem("remark", new SubmittedParam().strValue(null).type(null)));

    Report.equal(result.getMessage(), "Success");
    Report.equal(result.getTimestamp().getOffset(), ZoneOffset.UTC);
    StartedStep started = result.getData();
    Report.equal(started.getProcessId(), "order-1");
    Report.equal(started.getProcessStepId(), "order-1-ship");
    Map<String, Param> params = started.getParams();
    Report.equal(params.get("decision").getType(), ParamType.STRING);
    Report.equal(params.get("carrier").getStrValue(), "Parcel Post");
    Report.equal(params.get("carrier").getLongValue(), null);
    Report.equal(params.get("weight").getDoubleValue(), 2.5);
    Report.equal(params.get("remark").getType(), null);
  }

  private static void lastStep() throws Exception {
    StepCompleted result =
        api(token).completeStep(new Completion().processStepId("order-2-ship").params(null));

    Report.equal(result.getData().getProcessId(), "order-2");
    Report.equal(result.getData().getProcessStepId(), null);
    Report.equal(result.getData().getParams(), Map.of());
  }

  private static void unauthorized() throws Exception {
    ApiException error = refusal("nobody's", "order-2-ship");

    Report.equal(error.getCode(), 401);
    Report.equal(error.getResponseHeaders().firstValue("WWW-Authenticate").orElse(null), "Bearer");
    Unauthorized body = mapper.readValue(error.getResponseBody(), Unauthorized.class);
    Report.equal(body.getMessage(), "Unauthorized request");
    Report.equal(body.getData().contains("token"), true);
  }

  private static void preconditionFailed() throws Exception {
    ApiException error = refusal(token, "order-2-approve");

    Report.equal(error.getCode(), 412);
    PreconditionFailed body = mapper.readValue(error.getResponseBody(), PreconditionFailed.class);
    Report.equal(body.getTimestamp().getOffset(), ZoneOffset.UTC);
    Report.equal(body.getData().size(), 1);
    Violation violation = body.getData().get("processStepId");
    Report.equal(violation.getCode(), "STEP_COMPLETED");
    Report.equal(violation.getStatus(), "COMPLETED");

    // Unknown members that another server may add are kept.
    Violation added = mapper.readValue("{\"code\":\"BUSY\",\"retryAfter\":5}", Violation.class);
    Report.equal(added.getAdditionalProperty("retryAfter"), 5);
  }

  private static void internalServerError() throws Exception {
    ApiException error = refusal(token, "order-3-approve");

    Report.equal(error.getCode(), 500);
    InternalServerError body =
        mapper.readValue(error.getResponseBody(), InternalServerError.class);
    Report.equal(body.getMessage(), "Internal Server Error");
    Report.equal(body.getData().contains("delegate"), true);
  }

  private static void int64() throws Exception {
    StepCompleted result =
        api(token)
            .completeStep(
                new Completion()
                    .processStepId("order-4-approve")
                    .putParamsItem("least", new SubmittedParam().longValue(Long.MIN_VALUE).type(SubmittedParamType.LONG)));

    Report.equal(result.getData().getParams().get("least").getLongValue(), Long.MIN_VALUE);
    Report.equal(result.getData().getParams().get("total").getLongValue(), (1L << 53) + 1);
  }

  private static ProcessesApi api(String token) {
    ApiClient client = new ApiClient();
    client.updateBaseUri(url);
    client.setRequestInterceptor(
        request -> request.header("Authorization", "Bearer " + token));
    return new ProcessesApi(client);
  }

  private static ApiException refusal(String token, String step) {
    try {
      api(token).completeStep(new Completion().processStepId(step));
    } catch (ApiException error) {
      return error;
    }
    throw new AssertionError("not refused");
  }
}
