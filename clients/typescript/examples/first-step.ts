/** The first call of a client beside a stub, which `make example-typescript` runs. */
import { connect, startStub } from "stepstub";
import { completeStep } from "./complete-step.js";

// `stepstub try` and `stepstub run` set STEPSTUB_URL; otherwise it has a stub of its own.
await using stub = process.env["STEPSTUB_URL"] ? connect() : await startStub();
await using sandbox = await stub.sandbox({ scenario: "two-steps" });

await completeStep(sandbox.url, sandbox.token, "order-1-approve");

for (const exchange of await sandbox.journal()) {
  console.log(exchange.method, exchange.path, exchange.status);
}
await sandbox.verifyCompleted("order-1-approve", { times: 1 });
