import stepstub.Stepstub;

/** The first call of a client beside a stub, which {@code make example-java} runs. */
final class FirstStep {
  public static void main(String[] arguments) throws Exception {
    // `stepstub try` and `stepstub run` set STEPSTUB_URL; otherwise it has a stub of its own.
    try (var stub =
            System.getenv("STEPSTUB_URL") == null ? Stepstub.start() : Stepstub.connect();
        var sandbox = stub.sandbox("two-steps")) {
      CompleteStepClient.completeStep(sandbox.url(), sandbox.token(), "order-1-approve");
      for (var exchange : sandbox.journal()) {
        System.out.println(exchange.method() + " " + exchange.path() + " " + exchange.status());
      }
      sandbox.verifyCompleted("order-1-approve", 1);
    }
  }

  private FirstStep() {}
}
