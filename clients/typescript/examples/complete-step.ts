/** A small client of Complete Step that retries. docs/robust-clients.md says what a robust one does. */

/** The server refuses to complete the step, and retrying does not help. */
export class Refused extends Error {}

/**
 * Completes a step, in three attempts at most. A lost response and a 500 are retried. After that the
 * step may be completed already, so being told that it is, by a 412 or a 409, is a success then.
 */
export async function completeStep(url: string, token: string, processStepId: string): Promise<void> {
  let mayBeCompleted = false;
  for (let attempt = 0; attempt < 3; attempt++) {
    const { status, body } = await send(url, token, processStepId);
    const isCompleted = status === 409 || body.includes('"STEP_COMPLETED"');
    if (status === 200 || (mayBeCompleted && isCompleted)) {
      return;
    }
    if (status !== undefined && status < 500) {
      throw new Refused(`${status}: ${body}`);
    }
    mayBeCompleted = true;
  }
  throw new Error(`No usable response about step ${processStepId}.`);
}

async function send(url: string, token: string, processStepId: string) {
  try {
    const response = await fetch(`${url}/api/v1/processes/complete-step`, {
      method: "POST",
      headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
      body: JSON.stringify({ processStepId }),
      signal: AbortSignal.timeout(2000),
    });
    return { status: response.status, body: await response.text() };
  } catch {
    return { status: undefined, body: "" }; // no connection, or no whole response in time
  }
}
