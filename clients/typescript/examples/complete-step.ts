/** An integrator's client of Complete Step, as small as a right one can be. */

/** The server refuses to complete the step, and retrying does not help. */
export class Refused extends Error {}

/**
 * Completes a step, in three attempts at most. A lost response and a 500 are retried. After that the
 * step may be completed already, so being told that it is COMPLETED is a success then.
 */
export async function completeStep(url: string, token: string, processStepId: string): Promise<void> {
  let mayBeCompleted = false;
  for (let attempt = 0; attempt < 3; attempt++) {
    const { status, body } = await send(url, token, processStepId);
    if (status === 200 || (mayBeCompleted && body.includes('"STEP_COMPLETED"'))) {
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
