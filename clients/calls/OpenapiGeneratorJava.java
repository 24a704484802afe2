import com.fasterxml.jackson.databind.ObjectMapper;
import java.time.ZoneOffset;
import java.util.Map;
import java.util.Objects;
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
    report("200 next step", OpenapiGeneratorJava::nextStep);
    report("200 last step", OpenapiGeneratorJava::lastStep);
    report("401", OpenapiGeneratorJava::unauthorized);
    report("412", OpenapiGeneratorJava::preconditionFailed);
    report("500", OpenapiGeneratorJava::internalServerError);
    report("int64", OpenapiGeneratorJava::int64);
  }

  private static void nextStep() throws Exception {
    StepCompleted answer =
        api(token)
            .completeStep(
                new Completion()
                    .processStepId("order-1-approve")
                    .putParamsItem("decision", new Param().strValue("approved").type(ParamType.STRING))
                    .putParamsItem("remark", new Param().strValue(null).type(null)));

    equal(answer.getMessage(), "Success");
    equal(answer.getTimestamp().getOffset(), ZoneOffset.UTC);
    StartedStep started = answer.getData();
    equal(started.getProcessId(), "order-1");
    equal(started.getProcessStepId(), "order-1-ship");
    Map<String, Param> params = started.getParams();
    equal(params.get("decision").getType(), ParamType.STRING);
    equal(params.get("carrier").getStrValue(), "Parcel Post");
    equal(params.get("carrier").getLongValue(), null);
    equal(params.get("weight").getDoubleValue(), 2.5);
    equal(params.get("remark").getType(), null);
  }

  private static void lastStep() throws Exception {
    StepCompleted answer =
        api(token).completeStep(new Completion().processStepId("order-2-ship").params(null));

    equal(answer.getData().getProcessId(), "order-2");
    equal(answer.getData().getProcessStepId(), null);
    equal(answer.getData().getParams(), Map.of());
  }

  private static void unauthorized() throws Exception {
    ApiException error = refusal("nobody's", "order-2-ship");

    equal(error.getCode(), 401);
    equal(error.getResponseHeaders().firstValue("WWW-Authenticate").orElse(null), "Bearer");
    Unauthorized answer = mapper.readValue(error.getResponseBody(), Unauthorized.class);
    equal(answer.getMessage(), "Unauthorized request");
    equal(answer.getData().contains("token"), true);
  }

  private static void preconditionFailed() throws Exception {
    ApiException error = refusal(token, "order-2-approve");

    equal(error.getCode(), 412);
    PreconditionFailed answer = mapper.readValue(error.getResponseBody(), PreconditionFailed.class);
    equal(answer.getTimestamp().getOffset(), ZoneOffset.UTC);
    equal(answer.getData().size(), 1);
    Violation violation = answer.getData().get("processStepId");
    equal(violation.getCode(), "STEP_COMPLETED");
    equal(violation.getStatus(), "COMPLETED");

    // What another server may add is kept.
    Violation added = mapper.readValue("{\"code\":\"BUSY\",\"retryAfter\":5}", Violation.class);
    equal(added.getAdditionalProperty("retryAfter"), 5);
  }

  private static void internalServerError() throws Exception {
    ApiException error = refusal(token, "order-3-approve");

    equal(error.getCode(), 500);
    InternalServerError answer =
        mapper.readValue(error.getResponseBody(), InternalServerError.class);
    equal(answer.getMessage(), "Internal Server Error");
    equal(answer.getData().contains("delegate"), true);
  }

  private static void int64() throws Exception {
    StepCompleted answer =
        api(token)
            .completeStep(
                new Completion()
                    .processStepId("order-4-approve")
                    .putParamsItem("least", new Param().longValue(Long.MIN_VALUE).type(ParamType.LONG)));

    equal(answer.getData().getParams().get("least").getLongValue(), Long.MIN_VALUE);
    equal(answer.getData().getParams().get("total").getLongValue(), (1L << 53) + 1);
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

  private interface Call {
    void make() throws Exception;
  }

  private static void report(String answer, Call call) {
    try {
      call.make();
      System.out.println("ok " + answer);
    } catch (Exception | AssertionError error) {
      error.printStackTrace();
      System.out.println("failed " + answer);
    }
  }

  private static void equal(Object actual, Object expected) {
    if (!Objects.equals(actual, expected)) {
      throw new AssertionError(actual + ", not " + expected);
    }
  }
}
