/** What a user of the helper relies on, against a real stub. */
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import {
  ControlFailed,
  NotCompletedAsExpected,
  type Sandbox,
  StartFailed,
  type Stub,
  StubUnreachable,
  connect,
  startStub,
} from "stepstub";

const run = promisify(execFile);

let stub: Stub;
before(async () => {
  stub = await startStub();
});
after(() => stub.close());

/** The status of a completion. */
async function complete(sandbox: Sandbox, processStepId = "order-1-approve"): Promise<number> {
  const response = await fetch(sandbox.completeStepUrl, {
    method: "POST",
    headers: { ...(await sandbox.headers()), "Content-Type": "application/json" },
    body: JSON.stringify({ processStepId }),
  });
  await response.body?.cancel();
  return response.status;
}

const unreachable = (url: string) =>
  assert.rejects(connect(url).health(), (error) => error instanceof StubUnreachable);

describe("a stub", () => {
  test("is up when it has started, and gone when it is closed", async () => {
    const own = await startStub();
    assert.equal((await own.health()).status, "ok");
    await own.close();
    await unreachable(own.url);
    await own.close();
  });

  test("has the scenario, readings, variations and tokens that were asked for", async () => {
    await using own = await startStub({
      scenario: ["last-step", "every-status"],
      readings: { "completed-step": 409, "last-step-id": "null" },
      vary: { seed: 7, only: ["member-order"] },
      token: "mine",
      controlToken: "secret",
      options: ["--max-sandboxes", "0"],
    });
    const sandbox = own.defaultSandbox();
    const ids = (await sandbox.processes()).map((process) => process.id);
    assert.deepEqual(ids, ["invoice-1", "claim-1", "claim-2"]);
    assert.equal((await sandbox.readings())["completed-step"], 409);
    const { vary } = await sandbox.call("get", "/_stub/readings");
    assert.deepEqual(vary, { seed: 7, only: ["member-order"] });
    assert.equal(await complete(sandbox, "claim-1-started"), 200);
    await assert.rejects(own.sandbox(), { status: 409 });
    await assert.rejects(connect(own.url, "mine").sandbox(), { status: 401 });
    await assert.rejects(connect(own.url, "other", "secret").sandbox(), { status: 401 });
  });

  test("says why it did not start", async () => {
    await assert.rejects(startStub({ scenario: "unknown" }), (error) => {
      assert(error instanceof StartFailed);
      assert.match(error.message, /^stepstub ended with exit status \d\.\n[^]*unknown/);
      return true;
    });
    await assert.rejects(startStub({ command: ["no-such-command"] }), /cannot be run.*ENOENT.*pip/);
    const silent = { command: [process.execPath, "-e", "setInterval(() => {}, 1000)", "--"] };
    await assert.rejects(
      startStub({ ...silent, startTimeoutInSeconds: 0.2 }),
      /was not ready within 0.2 s/,
    );
  });

  test("ends with the process that started it, whether it exits or is killed", async () => {
    const start = `const { startStub } = await import("stepstub");
      console.log((await startStub()).url);`;
    const { stdout } = await run(process.execPath, ["--input-type=module", "-e", start], {
      timeout: 30_000, // or else it would wait for ever for a process that the stub keeps alive
    });
    await gone(stdout.trim());

    const killed = `${start} setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", killed]);
    const [url] = await new Promise<string[]>((resolve) =>
      child.stdout.once("data", (data) => resolve(String(data).split("\n"))),
    );
    assert.equal((await connect(url).health()).status, "ok");
    child.kill("SIGKILL");
    await gone(url!);
  });

  test("has to be named", () => {
    assert.throws(() => connect(""), /STEPSTUB_URL/);
  });
});

/** Waits until nobody listens at the URL. */
async function gone(url: string): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (await connect(url).health().then(() => true, () => false)) {
    assert(performance.now() < deadline, `a stub still listens on ${url}`);
  }
}

describe("a sandbox", () => {
  test("is empty, isolated, and gone when it is disposed of", async () => {
    let token: string;
    {
      await using first = await stub.sandbox({ scenario: "two-steps" });
      await using second = await stub.sandbox();
      assert.equal(await complete(first), 200);
      assert.deepEqual(await second.processes(), []);
      assert.equal(await complete(second), 412);
      token = first.token;
    }
    await assert.rejects(connect(stub.url, token).sandbox(), { status: 401 });
  });

  test("is deleted once, and only by who has created it", async () => {
    const sandbox = await stub.sandbox();
    const further = await sandbox.newToken();
    await further.close();
    assert.deepEqual(await sandbox.journal(), []);
    await sandbox.close();
    await sandbox.close();
    await stub.defaultSandbox().close();
    assert.equal((await stub.defaultSandbox().processes()).length, 1);
  });

  test("has the processes and steps that were started", async () => {
    await using sandbox = await stub.sandbox({
      processes: [{ id: "loan-1", steps: [{ status: "STARTED" }, {}] }],
    });
    const weight = { doubleValue: 2.5, type: "DOUBLE" } as const;
    const process = await sandbox.startProcess([{}, { params: { weight } }], { id: "loan-2" });
    const [first, second] = process.steps;
    assert.deepEqual([first?.status, second?.status], ["STARTED", "PENDING"]);
    assert.equal(await complete(sandbox, first!.id), 200);
    assert.equal((await sandbox.step(first!.id)).status, "COMPLETED");
    const [call] = (await sandbox.delegateCalls()).slice(-1);
    assert.deepEqual([call?.processStepId, call?.params], [second!.id, { weight }]);
    assert.equal((await sandbox.failStep(second!.id)).status, "FAILED");
    assert.equal((await sandbox.process("loan-2")).steps[1]?.status, "FAILED");
    assert.equal((await sandbox.startProcess("two-steps")).id, "order-1");
    const ids = (await sandbox.processes()).map((each) => each.id);
    assert.deepEqual(ids, ["loan-1", "loan-2", "order-1"]);
  });

  test("lists everything, however many pages that takes", async () => {
    await using sandbox = await stub.sandbox();
    const processes = Array.from({ length: 1001 }, (_, index) => ({
      id: `process-${index}`,
      steps: [{}],
    }));
    await sandbox.reset({ processes });
    assert.equal((await sandbox.processes()).length, 1001);
  });

  test("takes ids with any characters", async () => {
    await using sandbox = await stub.sandbox();
    const id = "büro 50% ?#&";
    await sandbox.startProcess([{ id }]);
    assert.equal((await sandbox.step(id)).id, id);
    assert.equal(await complete(sandbox, id), 200);
    assert.equal((await sandbox.journal({ processStepId: id })).length, 1);
  });

  test("has faults, which strike as often as they should", async () => {
    await using sandbox = await stub.sandbox({ scenario: "two-steps" });
    await sandbox.fault("before", "respond", { status: 503, headers: { "Retry-After": "2" } });
    await sandbox.fault("before", "respond", { processStepId: "misspelt" });
    assert.equal(await complete(sandbox), 503);
    const [unused] = await sandbox.faults();
    assert.deepEqual([unused?.processStepId, unused?.struck ?? 0], ["misspelt", 0]);
    await sandbox.clearFaults();
    assert.deepEqual(await sandbox.faults(), []);
    assert.equal(await complete(sandbox), 200);
  });

  test("has a clock, by which steps time out", async () => {
    await using sandbox = await stub.sandbox();
    await sandbox.clock.freeze();
    const start = await sandbox.clock.now();
    const { steps } = await sandbox.startProcess([{ timeOutInSeconds: 60 }]);
    await sandbox.clock.advance(61);
    assert.equal((await sandbox.clock.now()).getTime() - start.getTime(), 61_000);
    assert.equal((await sandbox.step(steps[0]!.id)).status, "FAILED");
    await sandbox.clock.resume();
    assert.equal((await sandbox.call("get", "/_stub/clock")).frozen, false);
  });

  test("has a journal with the reason of each refusal", async () => {
    await using sandbox = await stub.sandbox({ scenario: "two-steps" });
    assert.deepEqual([await complete(sandbox), await complete(sandbox)], [200, 412]);
    const [refused] = await sandbox.journal({ status: 412 });
    assert.equal(refused?.movedBy, 1);
    assert.match(refused?.reason ?? "", /order-1-approve is COMPLETED/);
  });

  test("verifies completions, and explains those that differ", async () => {
    await using sandbox = await stub.sandbox({ scenario: "two-steps" });
    await sandbox.verifyCompleted("order-1-approve", { times: 0 });
    const verified = sandbox.verifyCompleted("order-1-approve", { within: 10 });
    await complete(sandbox);
    assert.equal((await verified).completed, 1);
    await assert.rejects(sandbox.verifyCompleted("order-1-approve", { times: 2 }), (error) => {
      assert(error instanceof NotCompletedAsExpected);
      assert.match(error.message, /completed once, and should have been completed twice/);
      assert.deepEqual(error.verification.attempts, [1]);
      return true;
    });
  });

  test("has tokens that are limited, revoked and replaced", async () => {
    await using sandbox = await stub.sandbox({ scenario: "two-steps" });
    await sandbox.limitToken({ requests: 0 });
    assert.equal(await complete(sandbox), 401);
    await sandbox.limitToken();
    const short = await sandbox.newToken({ expiresInSeconds: 60 });
    await sandbox.clock.advance(61);
    assert.equal(await complete(short), 401);
    const renewed = await sandbox.rotateToken();
    assert.equal(await complete(sandbox), 401);
    assert.equal(await complete(renewed), 200);
  });

  test("has readings, which its headers follow, and variations", async () => {
    const readings = { credentials: "api-key", "credentials-header": "X-Key" };
    await using sandbox = await stub.sandbox({ scenario: "two-steps", readings, vary: 7 });
    assert.deepEqual(await sandbox.headers(), { "X-Key": sandbox.token });
    assert.equal(await complete(sandbox), 200);
    assert.equal((await sandbox.call("get", "/_stub/readings")).vary.seed, 7);
    await sandbox.reset({ readings: { credentials: "basic" }, vary: {} });
    assert.match((await sandbox.headers())["Authorization"] ?? "", /^Basic /);
    assert.equal(await complete(sandbox), 200);
    assert.equal((await sandbox.call("get", "/_stub/readings")).vary.seed, undefined);
    await sandbox.reset({ scenario: "last-step", readings: { credentials: "bearer" } });
    assert.deepEqual(await sandbox.headers(), { Authorization: `Bearer ${sandbox.token}` });
    assert.equal(await complete(sandbox, "invoice-1-archive"), 200);
  });

  test("refuses connections for a while", async () => {
    await using own = await startStub();
    await using sandbox = await own.sandbox();
    await sandbox.refuseConnections(0.5);
    await unreachable(own.url);
    const deadline = performance.now() + 10_000;
    while (!(await own.health().catch(() => undefined))) {
      assert(performance.now() < deadline, "it never accepts connections again");
    }
  });

  test("raises what is wrong with a call", async () => {
    await using sandbox = await stub.sandbox();
    await assert.rejects(sandbox.step("unknown"), (error) => {
      assert(error instanceof ControlFailed);
      assert.equal(error.status, 404);
      assert.match(error.detail, /unknown/);
      assert.equal(error.message, error.detail);
      return true;
    });
    await assert.rejects(sandbox.fault("before", "respond", { status: 700 }), (error) => {
      assert(error instanceof ControlFailed);
      assert.deepEqual([error.status, Object.keys(error.violations)], [400, ["status"]]);
      return true;
    });
  });

  test("works while a test has replaced fetch", async (context) => {
    await using sandbox = await stub.sandbox();
    context.mock.method(globalThis, "fetch", async () => new Response(null, { status: 500 }));
    assert.deepEqual(await sandbox.journal(), []);
  });
});
