/** Make the calls and print one line for each; the reason for a failure goes to stderr. */
export async function report(calls: Record<string, () => Promise<void>>): Promise<void> {
  // JavaScript moves keys that look like numbers to the front; the order does not matter for those.
  for (const [name, call] of Object.entries(calls)) {
    try {
      await call();
      console.log(`ok ${name}`);
    } catch (error) {
      console.error(error);
      console.log(`failed ${name}`);
    }
  }
}
