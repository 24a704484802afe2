/** Calls through the client that openapi-generator's `typescript-fetch` generates. */
import assert from "node:assert/strict";
import {
  type Completion,
  Configuration,
  InternalServerErrorFromJSON,
  ParamType,
  PreconditionFailedFromJSON,
  ProcessesApi,
  ResponseError,
  UnauthorizedFromJSON,
  type Violation,
  ViolationFromJSON,
} from "../generated/typescript-fetch/index.js";
import { report } from "./report.js";

const [url = "", token = ""] = process.argv.slice(2);

function apiOf(accessToken: string) {
  return new ProcessesApi(new Configuration({ basePath: url, accessToken }));
}

const api = apiOf(token);

async function refusal(completion: Completion, by = api): Promise<Response> {
  try {
    await by.completeStep({ completion });
  } catch (error) {
    assert(error instanceof ResponseError);
    return error.response;
  }
  return assert.fail("not refused");
}

await report({
  "200 next step": async () => {
    const answer = await api.completeStep({
      completion: {
        processStepId: "order-1-approve",
        params: {
          decision: { strValue: "approved", type: ParamType.String },
          remark: { strValue: null, type: null },
        },
      },
    });
    assert.equal(answer.message, "Success");
    assert(answer.timestamp instanceof Date);
    assert(answer.timestamp.getTime() > 0);
    assert.equal(answer.data.processId, "order-1");
    assert.equal(answer.data.processStepId, "order-1-ship");
    const { decision, carrier, weight, remark } = answer.data.params;
    assert.equal(decision?.type, ParamType.String);
    assert.equal(carrier?.strValue, "Parcel Post");
    assert.equal(weight?.doubleValue, 2.5);
    assert.equal(remark?.type, null);
  },

  "200 last step": async () => {
    const answer = await api.completeStep({
      completion: { processStepId: "order-2-ship", params: null },
    });
    assert.equal(answer.data.processId, "order-2");
    const next: string | null = answer.data.processStepId;
    assert.equal(next, null);
    assert.deepEqual(answer.data.params, {});
  },

  "401": async () => {
    const response = await refusal({ processStepId: "order-2-ship" }, apiOf("nobody's"));
    assert.equal(response.status, 401);
    assert.equal(response.headers.get("WWW-Authenticate"), "Bearer");
    const answer = UnauthorizedFromJSON(await response.json());
    assert.equal(answer.message, "Unauthorized request");
    assert.match(answer.data, /token/);
  },

  "412": async () => {
    const response = await refusal({ processStepId: "order-2-approve" });
    assert.equal(response.status, 412);
    const answer = PreconditionFailedFromJSON(await response.json());
    assert(answer.timestamp instanceof Date);
    assert.deepEqual(Object.keys(answer.data), ["processStepId"]);
    const violation: Violation | undefined = answer.data["processStepId"];
    assert.equal(violation?.code, "STEP_COMPLETED");
    assert.equal(violation.status, "COMPLETED");
    // What another server may add is kept.
    assert.equal(ViolationFromJSON({ code: "BUSY", retryAfter: 5 })["retryAfter"], 5);
  },

  "500": async () => {
    const response = await refusal({ processStepId: "order-3-approve" });
    assert.equal(response.status, 500);
    const answer = InternalServerErrorFromJSON(await response.json());
    assert.equal(answer.message, "Internal Server Error");
    assert.match(answer.data, /delegate/);
  },

  // A JavaScript number cannot hold it: 2^53 + 1 arrives as 2^53. It can be noticed.
  "int64 rounded": async () => {
    const answer = await api.completeStep({
      completion: {
        processStepId: "order-4-approve",
        params: { amount: { longValue: Number.MAX_SAFE_INTEGER, type: ParamType.Long } },
      },
    });
    assert.equal(answer.data.params["amount"]?.longValue, Number.MAX_SAFE_INTEGER);
    const total = answer.data.params["total"]?.longValue;
    assert.equal(total, 2 ** 53);
    assert(!Number.isSafeInteger(total));
  },
});
