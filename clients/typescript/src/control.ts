import type { components, paths } from "./schema.js";

// Taken now, so that a test that replaces fetch for its client does not replace it here.
const { fetch } = globalThis;

const TIMEOUT_IN_MS = 90_000; // a verification may wait for 60 s

/** The schemas of the control API by their names, such as `Schemas["Exchange"]`. */
export type Schemas = components["schemas"];

type Method = "get" | "post" | "delete";
type JsonOf<T> = T extends { content: { "application/json": infer Body } } ? Body : never;
type Success<T> = T extends { responses: infer All } ? JsonOf<All[keyof All & (200 | 201)]> : never;

/** The paths that have this method. */
export type PathWith<M extends Method> = {
  [P in keyof paths]: paths[P][M] extends { responses: unknown } ? P : never;
}[keyof paths];

/** The body of a request, without null for no body. */
export type Body<M extends Method, P extends PathWith<M>> = paths[P][M] extends {
  requestBody?: infer Given;
}
  ? NonNullable<JsonOf<NonNullable<Given>>>
  : never;

/** What a call may be given. */
export interface Input<M extends Method, P extends PathWith<M>> {
  path?: paths[P][M] extends { parameters: { path: infer Values } } ? Values : never;
  query?: paths[P][M] extends { parameters: { query?: infer Values } } ? Values : never;
  body?: Body<M, P>;
}

/** The body of a successful response; undefined for a 204. */
export type Output<M extends Method, P extends PathWith<M>> = [Success<paths[P][M]>] extends [never]
  ? undefined
  : Success<paths[P][M]>;

/** The control API refused a call. The message is the problem's detail: what is wrong, and the remedy. */
export class ControlFailed extends Error {
  override readonly name = "ControlFailed";

  constructor(
    /** The HTTP status. */
    readonly status: number,
    readonly detail: string,
    /** What is wrong with which field of the body. */
    readonly violations: Schemas["Violations"] = {},
  ) {
    super(detail);
  }
}

/** No stub responds at the URL: it has ended, or it refuses connections. */
export class StubUnreachable extends Error {
  override readonly name = "StubUnreachable";
}

/** The control API of one stub, with one token. */
export class Control {
  constructor(
    readonly url: string,
    readonly token: string,
    readonly controlToken?: string,
  ) {}

  /** The same stub with another token. */
  withToken(token: string): Control {
    return new Control(this.url, token, this.controlToken);
  }

  /** Raises `ControlFailed` for a refusal and `StubUnreachable` without a response. */
  async call<M extends Method, P extends PathWith<M>>(
    method: M,
    path: P,
    input: Input<M, P> = {},
  ): Promise<Output<M, P>> {
    const { path: names = {}, query = {}, body } = input as LooseInput;
    const target = path.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(String(names[name])));
    const parameters = new URLSearchParams();
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined) {
        parameters.append(name, String(value));
      }
    }
    const response = await this.#send(method, `${target}?${parameters}`, body);
    const text = await response.text();
    if (!response.ok) {
      throw refusal(response.status, text);
    }
    return (text ? JSON.parse(text) : undefined) as Output<M, P>;
  }

  async #send(method: Method, target: string, body: unknown): Promise<Response> {
    const headers: Record<string, string> = {
      authorization: `Bearer ${this.token}`, // whatever the readings ask of a client
      connection: "close", // an idle connection may be closed just when the next call uses it
      "content-type": "application/json",
    };
    if (this.controlToken !== undefined) {
      headers["x-stepstub-control-token"] = this.controlToken;
    }
    try {
      return await fetch(this.url + target, {
        method: method.toUpperCase(),
        headers,
        signal: AbortSignal.timeout(TIMEOUT_IN_MS),
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
    } catch (error) {
      const cause = error instanceof Error ? (error.cause ?? error) : error;
      throw new StubUnreachable(`No stub responds at ${this.url}: ${cause}`, { cause: error });
    }
  }
}

interface LooseInput {
  path?: Record<string, unknown>;
  query?: Record<string, unknown>;
  body?: unknown;
}

function refusal(status: number, text: string): ControlFailed {
  let problem: Partial<Schemas["Problem"]> | undefined;
  try {
    problem = JSON.parse(text) as Partial<Schemas["Problem"]>;
  } catch {
    // A proxy in between may respond in any form.
  }
  const detail = problem?.detail ?? `The control API responded with ${status}.`;
  return new ControlFailed(status, detail, problem?.violations);
}
