import java.util.Objects;

/** How the Java calls report: one line for each call, {@code ok NAME} or {@code failed NAME}. */
final class Report {
  interface Call {
    void make() throws Exception;
  }

  private Report() {}

  /** Make a call; the reason for a failure goes to stderr. */
  static void report(String name, Call call) {
    try {
      call.make();
      System.out.println("ok " + name);
    } catch (Exception | AssertionError error) {
      error.printStackTrace();
      System.out.println("failed " + name);
    }
  }

  static void equal(Object actual, Object expected) {
    if (!Objects.equals(actual, expected)) {
      throw new AssertionError(actual + ", not " + expected);
    }
  }
}
