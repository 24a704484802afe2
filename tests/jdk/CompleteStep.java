import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;

/** Completes steps with the JDK's own client as it comes, which offers Upgrade: h2c. */
public class CompleteStep {
    public static void main(String[] args) throws Exception {
        HttpClient client = HttpClient.newHttpClient();
        for (int i = 1; i < args.length; i++) {
            HttpRequest request = HttpRequest.newBuilder(
                    URI.create(args[0] + "/api/v1/processes/complete-step"))
                .timeout(Duration.ofSeconds(10))
                .header("Authorization", "Bearer stub-token")
                .header("Content-Type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString(
                    "{\"processStepId\": \"" + args[i] + "\"}"))
                .build();
            HttpResponse<String> response =
                client.send(request, HttpResponse.BodyHandlers.ofString());
            System.out.println(response.statusCode() + " " + response.version() + " " + response.body());
        }
    }
}
