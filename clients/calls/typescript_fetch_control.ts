/** Drives a sandbox through the control client that `typescript-fetch` generates. */
import assert from "node:assert/strict";
import {
  Configuration,
  ControlApi,
  FaultAction,
  FaultPhase,
  ParamType,
  ProblemFromJSON,
  ResponseError,
  Status,
} from "../generated/typescript-fetch-control/index.js";
import { report } from "./report.js";

const [url = "", defaultToken = ""] = process.argv.slice(2);

function apiOf(accessToken: string) {
  return new ControlApi(new Configuration({ basePath: url, accessToken }));
}

async function refusal(call: Promise<unknown>) {
  try {
    await call;
  } catch (error) {
    assert(error instanceof ResponseError);
    return ProblemFromJSON(await error.response.json());
  }
  return assert.fail("not refused");
}

let token = "";
let api = apiOf(defaultToken);
let step = "";

async function complete(): Promise<number> {
  const response = await fetch(`${url}/api/v1/processes/complete-step`, {
    method: "POST",
    headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
    body: JSON.stringify({ processStepId: step }),
  });
  return response.status;
}

await report({
  "create sandbox": async () => {
    const sandbox = await api.createSandbox();
    assert.deepEqual(sandbox.processes, []);
    token = sandbox.token;
    api = apiOf(token);
  },

  "start process": async () => {
    const started = await api.startProcess({
      processRequest: {
        steps: [
          { timeOutInSeconds: 60 },
          {
            delegate: "recorded",
            params: { total: { longValue: 12, type: ParamType.Long } },
          },
        ],
      },
    });
    assert.equal(started.total, 1);
    const [first, second] = started.processes[0]?.steps ?? [];
    assert(first && second);
    assert.equal(first.status, Status.Started);
    assert(first.timesOutAt instanceof Date);
    assert.equal(second.params["total"]?.longValue, 12);
    step = first.id;
  },

  // Each request has only the fields that were set; the stub refuses a status with a delay.
  "add faults": async () => {
    const delay = await api.addFault({
      faultRequest: { phase: FaultPhase.Before, action: FaultAction.Delay, seconds: 0 },
    });
    assert.deepEqual([delay.seconds, delay.status], [0, undefined]);
    const lost = await api.addFault({ faultRequest: { phase: FaultPhase.After } });
    assert.deepEqual([lost.action, lost.status, lost.remaining], [FaultAction.Respond, 500, 1]);
  },

  "verify completions": async () => {
    assert.deepEqual([await complete(), await complete()], [500, 412]);
    const seen = await api.verifyCompleted({ verificationRequest: { processStepId: step } });
    assert(seen.holds);
    assert.deepEqual([seen.completed, seen.attempts], [1, [1, 2]]);
    const journal = await api.listExchanges({ status: 412 });
    const violation = journal.exchanges[0]?.violations?.["processStepId"];
    assert.equal(violation?.code, "STEP_COMPLETED");
  },

  "read a problem": async () => {
    const problem = await refusal(api.getStep({ processStepId: "unknown" }));
    assert.equal(problem.status, 404);
    assert.match(problem.detail, /unknown/);
  },

  "delete sandbox": async () => {
    await api.deleteSandbox();
    assert.equal((await refusal(api.getClock())).status, 401);
  },
});
