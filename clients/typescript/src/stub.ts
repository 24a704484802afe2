import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { open, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { Control, type Schemas } from "./control.js";
import {
  type ReadingValues,
  Sandbox,
  type SandboxOptions,
  type Variations,
  initial,
} from "./sandbox.js";

const TOKEN = "stub-token"; // the default of `stepstub serve`
const REMEDY = "Install Stepstub with pip, or say with `command` what runs it.";
const POLL_IN_MS = 20;
const GRACE_PERIOD_IN_MS = 2000;

/** What the stub of `startStub` is like. */
export interface StartOptions {
  /** The command to which `serve` is appended: `["stepstub"]`, or for example `["uvx", "stepstub"]`. */
  command?: string[];
  /** Names or paths of the scenarios of the default sandbox. */
  scenario?: string | string[];
  /** A profile, by its name or path, or values of single readings. */
  readings?: string | ReadingValues;
  vary?: Variations;
  /** Token of the default sandbox. */
  token?: string;
  /** What `--control-token` sets; `STEPSTUB_CONTROL_TOKEN` if absent. */
  controlToken?: string;
  /** Further options of `stepstub serve`. */
  options?: string[];
  /** How long to wait until the stub is ready; 30 seconds by default. */
  startTimeoutInSeconds?: number;
}

/** The stub did not start. The message ends with what it wrote to stderr. */
export class StartFailed extends Error {
  override readonly name = "StartFailed";
}

/** A stub, started or connected to. */
export class Stub implements AsyncDisposable {
  readonly #control: Control;
  readonly #end: () => Promise<void>;

  constructor(control: Control, end: () => Promise<void>) {
    this.#control = control;
    this.#end = end;
  }

  get url(): string {
    return this.#control.url;
  }

  /** Token of the default sandbox, or the one given to `connect`. */
  get token(): string {
    return this.#control.token;
  }

  /**
   * Creates a sandbox, isolated from all others: one for each test. `close` or `await using`
   * deletes it.
   */
  async sandbox(options: SandboxOptions = {}): Promise<Sandbox> {
    const { token } = await this.#control.call("post", "/_stub/sandboxes", {
      body: initial(options),
    });
    return new Sandbox(this.#control.withToken(token), true);
  }

  /** The sandbox of `token`. Its journal has the requests that have no known token or path, too. */
  defaultSandbox(): Sandbox {
    return new Sandbox(this.#control, false);
  }

  async health(): Promise<Schemas["Health"]> {
    return this.#control.call("get", "/_stub/health");
  }

  /** Ends the stub if `startStub` has started it. */
  async close(): Promise<void> {
    await this.#end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/**
 * The stub that runs at `url`: by default what `STEPSTUB_URL`, `STEPSTUB_TOKEN` and
 * `STEPSTUB_CONTROL_TOKEN` say.
 */
export function connect(
  url = process.env["STEPSTUB_URL"],
  token = process.env["STEPSTUB_TOKEN"] ?? TOKEN,
  controlToken = process.env["STEPSTUB_CONTROL_TOKEN"],
): Stub {
  if (!url) {
    throw new TypeError("No stub to connect to: give its URL, or set STEPSTUB_URL.");
  }
  return new Stub(new Control(url.replace(/\/+$/, ""), token, controlToken), async () => {});
}

/**
 * Starts `stepstub serve` on a free port and waits until it is ready.
 *
 * `close` ends it. So does the end of this process, however it comes, because the stub reads its
 * standard input and stops at its end. Raises `StartFailed`.
 */
export async function startStub(options: StartOptions = {}): Promise<Stub> {
  const {
    command: [program = "stepstub", ...before] = [],
    token = TOKEN,
    controlToken = process.env["STEPSTUB_CONTROL_TOKEN"],
    startTimeoutInSeconds = 30,
  } = options;
  const directory = await mkdtemp(join(tmpdir(), "stepstub-"));
  const readyFile = join(directory, "ready.json");
  const log = await open(join(directory, "stderr.txt"), "a+");
  try {
    const serve = ["serve", ...serveOptions(options, token, controlToken)];
    const child = spawn(program, [...before, ...serve, "--ready-file", readyFile], {
      stdio: ["pipe", "ignore", log.fd],
      windowsHide: true,
    });
    child.unref(); // or else a test run without a `close` would never end
    const url = await urlOf(child, readyFile, startTimeoutInSeconds).catch(async (error) => {
      child.kill("SIGKILL");
      const written = (await readFile(join(directory, "stderr.txt"), "utf8")).trim();
      throw new StartFailed(`${program} ${error.message}${written && `\n${written}`}`);
    });
    return new Stub(new Control(url, token, controlToken), () => end(child));
  } finally {
    await log.close();
    // On Windows the stub still has its log open.
    await rm(directory, { recursive: true, force: true }).catch(() => {});
  }
}

function serveOptions(
  { scenario = [], readings = {}, vary, options = [] }: StartOptions,
  token: string,
  controlToken: string | undefined,
): string[] {
  const { seed, only = [] } = typeof vary === "number" ? { seed: vary } : (vary ?? {});
  return [
    ...["--host", "127.0.0.1", "--port", "0", "--until-eof", "--log-level", "error"],
    ...["--token", token],
    ...(controlToken === undefined ? [] : ["--control-token", controlToken]),
    ...[scenario].flat().flatMap((each) => ["--scenario", each]),
    ...(typeof readings === "string"
      ? ["--readings", readings]
      : Object.entries(readings).flatMap(([name, value]) => ["--reading", `${name}=${value}`])),
    ...(seed === undefined ? [] : ["--vary", String(seed)]),
    ...only.flatMap((kind) => ["--vary-only", kind]),
    ...options,
  ];
}

/** Where the stub listens, as soon as it does. */
async function urlOf(child: ChildProcess, readyFile: string, seconds: number): Promise<string> {
  let failure: string | undefined;
  child.once("error", (error) => (failure = `cannot be run: ${error.message}. ${REMEDY}`));
  child.once("exit", (code, signal) => (failure ??= `ended with ${signal ?? `exit status ${code}`}.`));
  const deadline = performance.now() + seconds * 1000;
  for (;;) {
    const content = await readFile(readyFile, "utf8").catch(() => undefined);
    if (content !== undefined) {
      return (JSON.parse(content) as { url: string }).url;
    }
    if (failure !== undefined) {
      throw new Error(failure);
    }
    if (performance.now() > deadline) {
      throw new Error(`was not ready within ${seconds} s.`);
    }
    await pause(POLL_IN_MS);
  }
}

/** Ends the stub: by a signal, then by force. */
async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) {
    return;
  }
  child.ref(); // or else this process could end while it waits
  const exited = once(child, "exit");
  const force = setTimeout(() => child.kill("SIGKILL"), GRACE_PERIOD_IN_MS);
  child.stdin?.end();
  child.kill("SIGTERM");
  await exited;
  clearTimeout(force);
}
