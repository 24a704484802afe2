import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;

/** A small client of Complete Step that retries. docs/robust-clients.md: what a robust one does. */
final class CompleteStepClient {
  // HTTP/2 would be offered by an upgrade, which not every server ignores as it should.
  private static final HttpClient CLIENT =
      HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();

  /** The server refuses to complete the step, and retrying does not help. */
  static final class Refused extends IOException {
    private static final long serialVersionUID = 1L;

    Refused(HttpResponse<String> response) {
      super(response.statusCode() + ": " + response.body());
    }
  }

  /**
   * Completes a step, in three attempts at most. A lost response and a 500 are retried. After that
   * the step may be completed already, so being told that it is, by a 412 or a 409, is a success
   * then.
   */
  static void completeStep(String url, String token, String stepId)
      throws IOException, InterruptedException {
    HttpRequest request =
        HttpRequest.newBuilder(URI.create(url + "/api/v1/processes/complete-step"))
            .timeout(Duration.ofSeconds(2))
            .header("Authorization", "Bearer " + token)
            .header("Content-Type", "application/json")
            .POST(BodyPublishers.ofString("{\"processStepId\": \"%s\"}".formatted(stepId)))
            .build();
    boolean mayBeCompleted = false;
    for (int attempt = 0; attempt < 3; attempt++) {
      try {
        HttpResponse<String> response = CLIENT.send(request, BodyHandlers.ofString());
        int status = response.statusCode();
        boolean isCompleted = status == 409 || response.body().contains("\"STEP_COMPLETED\"");
        if (status == 200 || (mayBeCompleted && isCompleted)) {
          return;
        }
        if (status < 500) {
          throw new Refused(response);
        }
      } catch (Refused refused) {
        throw refused;
      } catch (IOException lost) {
        // No connection, or no whole response in time.
      }
      mayBeCompleted = true;
    }
    throw new IOException("No usable response about step " + stepId + ".");
  }

  private CompleteStepClient() {}
}
