/** Make the calls and print a line for each answer; the reason of a failure goes to stderr. */
export async function report(calls: Record<string, () => Promise<void>>): Promise<void> {
  // JavaScript moves keys that look like numbers to the front; the order does not matter here.
  for (const [answer, call] of Object.entries(calls)) {
    try {
      await call();
      console.log(`ok ${answer}`);
    } catch (error) {
      console.error(error);
      console.log(`failed ${answer}`);
    }
  }
}
