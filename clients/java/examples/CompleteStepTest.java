import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import stepstub.Stepstub;
import stepstub.Stepstub.Exchange;
import stepstub.Stepstub.Status;

/** The tests of a client, with JUnit. */
class CompleteStepTest {
  private static Stepstub stub;

  // `stepstub try` and `stepstub run` set STEPSTUB_URL; otherwise the tests have their own stub.
  @BeforeAll
  static void start() {
    stub = System.getenv("STEPSTUB_URL") == null ? Stepstub.start() : Stepstub.connect();
  }

  @AfterAll
  static void end() {
    stub.close();
  }

  @Test
  void aLostResponseIsHandled() throws Exception {
    try (var sandbox = stub.sandbox("two-steps")) {
      sandbox.fault("after", "disconnect"); // the step is completed, but the response is lost
      CompleteStepClient.completeStep(sandbox.url(), sandbox.token(), "order-1-approve");
      sandbox.verifyCompleted("order-1-approve", 1);
    }
  }

  @Test
  void a500IsRetried() throws Exception {
    try (var sandbox = stub.sandbox("two-steps")) {
      sandbox.fault("before", "respond", Map.of("status", 500, "times", 2));
      CompleteStepClient.completeStep(sandbox.url(), sandbox.token(), "order-1-approve");
      List<Integer> statuses = sandbox.journal().stream().map(Exchange::status).toList();
      assertEquals(List.of(500, 500, 200), statuses);
    }
  }

  @Test
  void aStepThatTakesTooLongIsRefused() {
    try (var sandbox = stub.sandbox(Map.of("readings", Map.of("time-out", "fails")))) {
      var process =
          sandbox.startProcess(
              List.of(Map.of("id", "approve", "timeOutInSeconds", 60), Map.of()));
      sandbox.clock().advance(Duration.ofSeconds(61)); // without waiting
      assertThrows(
          CompleteStepClient.Refused.class,
          () -> CompleteStepClient.completeStep(sandbox.url(), sandbox.token(), "approve"));
      assertEquals(Status.PENDING, sandbox.process(process.id()).steps().get(1).status());
    }
  }
}
