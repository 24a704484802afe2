import type { Body, Control, Input, Output, PathWith, Schemas } from "./control.js";

const COMPLETE_STEP = "/api/v1/processes/complete-step";
const PAGE = 1000; // the most items that the control API returns at once

/** Values by the names of readings, such as `{"last-step-id": "absent"}`. */
export type ReadingValues = Record<string, string | number>;

/** A seed, or a seed and kinds, by which responses vary. `{}` ends variations. */
export type Variations = number | Schemas["Vary"];

/** What a sandbox begins with. Without a scenario and processes it is empty. */
export type SandboxOptions = Omit<Body<"post", "/_stub/sandboxes">, "readings" | "vary"> &
  Shaping;

/** How the responses of a sandbox differ from those of its stub. */
interface Shaping {
  readings?: ReadingValues;
  vary?: Variations;
}

/** Members of a fault besides its phase and action. docs/faults.md says which go together. */
export type FaultOptions = Omit<Schemas["FaultRequest"], "phase" | "action">;

type TokenLimits = Schemas["TokenRequest"];

/** A verification does not hold. The message explains what became of each attempt. */
export class NotCompletedAsExpected extends Error {
  override readonly name = "NotCompletedAsExpected";

  constructor(readonly verification: Schemas["Verification"]) {
    super(verification.explanation);
  }
}

/** The time of a sandbox. It follows the system clock until it is told otherwise. */
class SandboxClock {
  readonly #control: Control;

  constructor(control: Control) {
    this.#control = control;
  }

  async now(): Promise<Date> {
    return new Date((await this.#control.call("get", "/_stub/clock")).now);
  }

  /** Stops the time, except for `advance`. */
  async freeze(): Promise<void> {
    await this.#change({ frozen: true });
  }

  /** Moves the time forward. A step whose time-out has then elapsed is FAILED immediately. */
  async advance(seconds: number): Promise<void> {
    await this.#change({ advanceSeconds: seconds });
  }

  /** Lets the time run again from where it stopped. */
  async resume(): Promise<void> {
    await this.#change({ frozen: false });
  }

  async #change(body: Schemas["ClockChange"]): Promise<void> {
    await this.#control.call("post", "/_stub/clock", { body });
  }
}

/**
 * Everything that one bearer token owns on a stub: its processes, journal, faults and clock.
 *
 * Methods raise `ControlFailed` if the stub refuses the call.
 */
export class Sandbox implements AsyncDisposable {
  readonly clock: SandboxClock;
  readonly #control: Control;
  #isOwned: boolean;

  /** `isOwned`: whether `close` deletes it. */
  constructor(control: Control, isOwned: boolean) {
    this.clock = new SandboxClock(control);
    this.#control = control;
    this.#isOwned = isOwned;
  }

  /** Base URL of the stub, for the client under test. */
  get url(): string {
    return this.#control.url;
  }

  get token(): string {
    return this.#control.token;
  }

  /** Where a client sends completions. */
  get completeStepUrl(): string {
    return this.url + COMPLETE_STEP;
  }

  /** The headers with which a client is authorised under the readings of the sandbox. */
  async headers(): Promise<Record<string, string>> {
    const { credentials, "credentials-header": header } = await this.readings();
    switch (credentials) {
      case "basic":
        return { Authorization: `Basic ${btoa(`stepstub:${this.token}`)}` };
      case "api-key":
        return { [String(header)]: this.token };
      default:
        return { Authorization: `Bearer ${this.token}` };
    }
  }

  /** Every reading with its value. */
  async readings(): Promise<ReadingValues> {
    return (await this.call("get", "/_stub/readings")).readings as ReadingValues;
  }

  /**
   * Starts a process and returns it: from a scenario, given by its name (the first of its processes
   * is returned), or from steps, `[{ timeOutInSeconds: 5 }, {}]`. The first step is STARTED.
   */
  async startProcess(
    scenarioOrSteps: string | Schemas["NewStep"][],
    { id }: { id?: string } = {},
  ): Promise<Schemas["Process"]> {
    const start =
      typeof scenarioOrSteps === "string"
        ? { scenario: scenarioOrSteps }
        : { steps: scenarioOrSteps };
    const body = id === undefined ? start : { ...start, id };
    const { processes } = await this.call("post", "/_stub/processes", { body });
    return processes[0]!; // the stub starts at least one, or refuses
  }

  /** All processes, in the order in which they were added. */
  async processes(): Promise<Schemas["Process"][]> {
    return this.#all(async (offset) => {
      const query = { offset, limit: PAGE };
      const page = await this.call("get", "/_stub/processes", { query });
      return [page.processes, page.total];
    });
  }

  async process(processId: string): Promise<Schemas["Process"]> {
    return this.call("get", "/_stub/processes/{processId}", { path: { processId } });
  }

  async step(processStepId: string): Promise<Schemas["Step"]> {
    return this.call("get", "/_stub/steps/{processStepId}", { path: { processStepId } });
  }

  /** Fails a STARTED step. */
  async failStep(processStepId: string): Promise<Schemas["Step"]> {
    return this.call("post", "/_stub/steps/{processStepId}/fail", { path: { processStepId } });
  }

  /**
   * Makes the stub misbehave: once, unless the options say otherwise.
   *
   * `before`: nothing has changed when the fault strikes. `after`: the step was completed, and only
   * the response is affected. `delegate`: the call of the next step's delegate is affected.
   */
  async fault(
    phase: Schemas["FaultPhase"],
    action: Schemas["FaultAction"] = "respond",
    options: FaultOptions = {},
  ): Promise<Schemas["Fault"]> {
    return this.call("post", "/_stub/faults", { body: { ...options, phase, action } });
  }

  /** The faults that can still strike; `struck` says how often each has. */
  async faults(): Promise<Schemas["Fault"][]> {
    return (await this.call("get", "/_stub/faults")).faults;
  }

  async clearFaults(): Promise<void> {
    await this.call("delete", "/_stub/faults");
  }

  /** The exchanges with clients, oldest first. */
  async journal(
    filter: { processStepId?: string; status?: number } = {},
  ): Promise<Schemas["Exchange"][]> {
    const found: Schemas["Exchange"][] = [];
    let after: number | undefined = 0;
    while (after !== undefined) {
      const query = { ...filter, after, limit: PAGE };
      const page: Schemas["Journal"] = await this.call("get", "/_stub/journal", { query });
      found.push(...page.exchanges);
      after = page.next;
    }
    return found;
  }

  /** The calls of delegates, oldest first. */
  async delegateCalls(): Promise<Schemas["DelegateCall"][]> {
    return this.#all(async (offset) => {
      const query = { offset, limit: PAGE };
      const page = await this.call("get", "/_stub/delegate-calls", { query });
      return [page.delegateCalls, page.total];
    });
  }

  /**
   * Raises `NotCompletedAsExpected` unless the step was completed `times` times. It waits up to
   * `within` seconds for the completions; if `times` is 0, that is how long none may arrive.
   */
  async verifyCompleted(
    processStepId: string,
    { times = 1, within = 0 }: { times?: number; within?: number } = {},
  ): Promise<Schemas["Verification"]> {
    const body = { processStepId, times, withinSeconds: within };
    const verification = await this.call("post", "/_stub/verifications", { body });
    if (!verification.holds) {
      throw new NotCompletedAsExpected(verification);
    }
    return verification;
  }

  /** The same sandbox with a further token, which is valid until a reset, or within the limits. */
  async newToken(limits: TokenLimits = {}): Promise<Sandbox> {
    const { token } = await this.call("post", "/_stub/tokens", { body: limits });
    return new Sandbox(this.#control.withToken(token), false);
  }

  /**
   * Limits the token of this object. Beyond the limits clients get a 401, but this object goes on
   * working. Without limits the token is valid again.
   */
  async limitToken(limits: TokenLimits = {}): Promise<void> {
    await this.call("post", "/_stub/tokens/current", { body: limits });
  }

  /** As `newToken`, and the token of this object is revoked. */
  async rotateToken(): Promise<Sandbox> {
    const renewed = await this.newToken();
    await this.limitToken({ requests: 0 });
    return renewed;
  }

  /**
   * Lets nobody connect to the whole stub for so long, including this object, whose calls raise
   * `StubUnreachable` meanwhile.
   */
  async refuseConnections(seconds: number): Promise<void> {
    await this.call("post", "/_stub/refuse-connections", { body: { seconds } });
  }

  /**
   * Returns to the initial processes, an empty journal, no faults and the system time. The options
   * replace the processes, readings and variations; those that are not given stay.
   */
  async reset(options: Omit<SandboxOptions, "name"> = {}): Promise<void> {
    await this.call("post", "/_stub/reset", { body: initial(options) });
  }

  /** Calls any operation of the control API with the token of this sandbox. */
  call<M extends "get" | "post" | "delete", P extends PathWith<M>>(
    method: M,
    path: P,
    input: Input<M, P> = {},
  ): Promise<Output<M, P>> {
    return this.#control.call(method, path, input);
  }

  /** Deletes the sandbox if `Stub.sandbox` has created it; its token is no longer valid then. */
  async close(): Promise<void> {
    if (this.#isOwned) {
      this.#isOwned = false;
      await this.call("delete", "/_stub/sandboxes/current");
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #all<T>(page: (offset: number) => Promise<[T[], number]>): Promise<T[]> {
    const found: T[] = [];
    for (;;) {
      const [items, total] = await page(found.length);
      found.push(...items);
      if (found.length >= total || items.length === 0) {
        return found;
      }
    }
  }
}

/** The body that creates or resets a sandbox. */
export function initial<T extends Shaping>({ vary, ...rest }: T) {
  return { ...rest, ...(vary === undefined ? {} : { vary: seeded(vary) }) };
}

function seeded(vary: Variations): Schemas["Vary"] {
  return typeof vary === "number" ? { seed: vary } : vary;
}
