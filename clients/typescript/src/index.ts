/**
 * Starts a Stepstub, or connects to one, and drives it from tests.
 *
 *     stub.ts      startStub, connect: a stub, and the sandboxes on it
 *     sandbox.ts   Sandbox: processes, faults, clock, journal, verification
 *     control.ts   one call of the control API, and the errors of it
 *     schema.ts    the types of the control API; generated from its OpenAPI document
 */
export { ControlFailed, StubUnreachable } from "./control.js";
export type { Schemas } from "./control.js";
export { NotCompletedAsExpected, Sandbox } from "./sandbox.js";
export type { FaultOptions, ReadingValues, SandboxOptions, Variations } from "./sandbox.js";
export { StartFailed, Stub, connect, startStub } from "./stub.js";
export type { StartOptions } from "./stub.js";
