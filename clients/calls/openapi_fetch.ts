/** Calls through openapi-fetch, with the types that openapi-typescript generates. */
import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { Completion, paths, Violation } from "../generated/openapi-typescript/schema.js";
import { report } from "./report.js";

const [url = "", token = ""] = process.argv.slice(2);

function clientOf(token: string) {
  return createClient<paths>({ baseUrl: url, headers: { Authorization: `Bearer ${token}` } });
}

const client = clientOf(token);

function complete(completion: Completion, by = client) {
  return by.POST("/api/v1/processes/complete-step", { body: completion });
}

await report({
  "200 next step": async () => {
    const { data: result } = await complete({
      processStepId: "order-1-approve",
      params: {
        decision: { strValue: "approved", type: "STRING" },
        remark: { strValue: null, type: null },
      },
    });
    assert(result);
    assert.equal(result.message, "Success");
    const timestamp: string = result.timestamp;
    assert.match(timestamp, /\.\d{3}Z$/);
    assert.equal(result.data.processId, "order-1");
    assert.equal(result.data.processStepId, "order-1-ship");
    const { decision, carrier, weight, remark } = result.data.params;
    const type: "STRING" | "LONG" | "DOUBLE" | null | undefined = decision?.type;
    assert.equal(type, "STRING");
    assert.equal(carrier?.strValue, "Parcel Post");
    assert.equal(weight?.doubleValue, 2.5);
    assert.equal(remark?.type, null);
  },

  "200 last step": async () => {
    const { data: result } = await complete({ processStepId: "order-2-ship", params: null });
    assert(result);
    assert.equal(result.data.processId, "order-2");
    const next: string | null = result.data.processStepId;
    assert.equal(next, null);
    assert.deepEqual(result.data.params, {});
  },

  "401": async () => {
    const { error, response } = await complete(
      { processStepId: "order-2-ship" },
      clientOf("nobody's"),
    );
    assert.equal(response.status, 401);
    assert.equal(response.headers.get("WWW-Authenticate"), "Bearer");
    assert(error && typeof error.data === "string");
    assert.equal(error.message, "Unauthorized request");
    assert.match(error.data, /token/);
  },

  "412": async () => {
    const { error, response } = await complete({ processStepId: "order-2-approve" });
    assert.equal(response.status, 412);
    // The 412 is the only error whose data is not a string, which narrows the type.
    assert(error && typeof error.data !== "string");
    assert.equal(error.message, "Precondition failed");
    assert.deepEqual(Object.keys(error.data), ["processStepId"]);
    const violation: Violation | undefined = error.data["processStepId"];
    assert.equal(violation?.code, "STEP_COMPLETED");
    assert.equal(violation.status, "COMPLETED");
    const added: unknown = violation["retryAfter"]; // an unknown member that another server may add
    assert.equal(added, undefined);
  },

  "500": async () => {
    const { error, response } = await complete({ processStepId: "order-3-approve" });
    assert.equal(response.status, 500);
    assert(error && typeof error.data === "string");
    assert.equal(error.message, "Internal Server Error");
    assert.match(error.data, /delegate/);
  },

  // A JavaScript number cannot hold 2^53 + 1: it arrives as 2^53, which a client can detect.
  "int64 rounded": async () => {
    const { data: result } = await complete({
      processStepId: "order-4-approve",
      params: { amount: { longValue: Number.MAX_SAFE_INTEGER, type: "LONG" } },
    });
    assert.equal(result?.data.params["amount"]?.longValue, Number.MAX_SAFE_INTEGER);
    const total = result.data.params["total"]?.longValue;
    assert.equal(total, 2 ** 53);
    assert(!Number.isSafeInteger(total));
  },
});
