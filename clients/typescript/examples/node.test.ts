/** The tests of a client, with node:test. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { connect, startStub } from "stepstub";
import { Refused, completeStep } from "./complete-step.js";

// `stepstub try` and `stepstub run` set STEPSTUB_URL; otherwise the tests have a stub of their own.
const stub = process.env["STEPSTUB_URL"] ? connect() : await startStub();

test("a lost response is handled", async () => {
  await using sandbox = await stub.sandbox({ scenario: "two-steps" });
  await sandbox.fault("after", "disconnect"); // the step is completed, but the response is lost
  await completeStep(sandbox.url, sandbox.token, "order-1-approve");
  await sandbox.verifyCompleted("order-1-approve", { times: 1 });
});

test("a 500 is retried", async () => {
  await using sandbox = await stub.sandbox({ scenario: "two-steps" });
  await sandbox.fault("before", "respond", { status: 500, times: 2 });
  await completeStep(sandbox.url, sandbox.token, "order-1-approve");
  const statuses = (await sandbox.journal()).map((exchange) => exchange.status);
  assert.deepEqual(statuses, [500, 500, 200]);
});

test("a step that takes too long is refused", async () => {
  await using sandbox = await stub.sandbox({ readings: { "time-out": "fails" } });
  const process = await sandbox.startProcess([{ id: "approve", timeOutInSeconds: 60 }, {}]);
  await sandbox.clock.advance(61); // without waiting
  await assert.rejects(completeStep(sandbox.url, sandbox.token, "approve"), Refused);
  assert.equal((await sandbox.process(process.id)).steps[1]?.status, "PENDING");
});
