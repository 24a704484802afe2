/** The tests of a client, with Vitest. */
import { afterEach, beforeEach, expect, test } from "vitest";
import { type Sandbox, connect, startStub } from "stepstub";
import { Refused, completeStep } from "./complete-step.js";

// `stepstub try` and `stepstub run` set STEPSTUB_URL; otherwise the tests have a stub of their own.
const stub = process.env["STEPSTUB_URL"] ? connect() : await startStub();
let sandbox: Sandbox;

beforeEach(async () => {
  sandbox = await stub.sandbox({ scenario: "two-steps" });
});

afterEach(() => sandbox.close());

const complete = () => completeStep(sandbox.url, sandbox.token, "order-1-approve");

test("a lost response is handled", async () => {
  await sandbox.fault("after", "disconnect"); // the step is completed, but the response is lost
  await complete();
  await sandbox.verifyCompleted("order-1-approve", { times: 1 });
});

test("a 500 is retried", async () => {
  await sandbox.fault("before", "respond", { status: 500, times: 2 });
  await complete();
  const statuses = (await sandbox.journal()).map((exchange) => exchange.status);
  expect(statuses).toEqual([500, 500, 200]);
});

test("a second completion is refused", async () => {
  await complete();
  await expect(complete()).rejects.toThrow(Refused);
  await sandbox.verifyCompleted("order-1-approve", { times: 1 });
});

test("a new token is used at once", async () => {
  const renewed = await sandbox.rotateToken();
  await expect(complete()).rejects.toThrow("401");
  await completeStep(renewed.url, renewed.token, "order-1-approve");
});
