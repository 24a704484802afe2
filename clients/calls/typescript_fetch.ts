/** Calls through the client that openapi-generator's `typescript-fetch` generates. */
import assert from "node:assert/strict";
import {
  type Completion,
  Configuration,
  InternalServerErrorFromJSON,
  ParamType,
  SubmittedParamType,
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
    const result = await api.completeStep({
      completion: {
        processStepId: "order-1-approve",
        params: {
          decision: { strValue: "approved", type: SubmittedParamType.String },
          remark: { strValue: null, type: null },
        },
      },
    });
    assert.equal(result.message, "Success");
    assert(result.timestamp instanceof Date);
    assert(result.timestamp.getTime() > 0);
    assert.equal(result.data.processId, "order-1");
    assert.equal(result.data.processStepId, "order-1-ship");
    const { decision, carrier, weight, remark } = result.data.params;
    assert.equal(decision?.type, ParamType.String);
    assert.equal(carrier?.strValue, "Parcel Post");
    assert.equal(weight?.doubleValue, 2.5);
    assert.equal(remark?.type, null);
  },

  "200 last step": async () => {
    const result = await api.completeStep({
      completion: { processStepId: "order-2-ship", params: null },
    });
    assert.equal(result.data.processId, "order-2");
    const next: string | null = result.data.processStepId;
    assert.equal(next, null);
    assert.deepEqual(result.data.params, {});
  },

  "401": async () => {
    const response = await refusal({ processStepId: "order-2-ship" }, apiOf("nobody's"));
    assert.equal(response.status, 401);
    assert.equal(response.headers.get("WWW-Authenticate"), "Bearer");
    const body = UnauthorizedFromJSON(await response.json());
    assert.equal(body.message, "Unauthorized request");
    assert.match(body.data, /token/);
  },

  "412": async () => {
    const response = await refusal({ processStepId: "order-2-approve" });
    assert.equal(response.status, 412);
    const body = PreconditionFailedFromJSON(await response.json());
    assert(body.timestamp instanceof Date);
    assert.deepEqual(Object.keys(body.data), ["processStepId"]);
    const violation: Violation | undefined = body.data["processStepId"];
    assert.equal(violation?.code, "STEP_COMPLETED");
    assert.equal(violation.status, "COMPLETED");
    // Unknown members that another server may add are kept.
    assert.equal(ViolationFromJSON({ code: "BUSY", retryAfter: 5 })["retryAfter"], 5);
  },

  "500": async () => {
    const response = await refusal({ processStepId: "order-3-approve" });
    assert.equal(response.status, 500);
    const body = InternalServerErrorFromJSON(await response.json());
    assert.equal(body.message, "Internal Server Error");
    assert.match(body.data, /delegate/);
  },

  // A JavaScript number cannot hold 2^53 + 1: it arrives as 2^53, which a client can detect.
  "int64 rounded": async () => {
    const result = await api.completeStep({
      completion: {
        processStepId: "order-4-approve",
        params: { amount: { longValue: Number.MAX_SAFE_INTEGER, type: SubmittedParamType.Long } },
      },
    });
    assert.equal(result.data.params["amount"]?.longValue, Number.MAX_SAFE_INTEGER);
    const total = result.data.params["total"]?.longValue;
    assert.equal(total, 2 ** 53);
    assert(!Number.isSafeInteger(total));
  },
});
