/** The typed client of the API. Its paths, parameters and bodies come from docs/openapi.json. */
import createClient from "openapi-fetch";
import type { paths } from "./schema";
import type { Schemas } from "./types";

/** An answer with an error status; `message` is its sentence for people. */
export class ProblemError extends Error {
  constructor(
    readonly status: number,
    detail: string,
  ) {
    super(detail);
  }
}

let csrfToken = "";

/** Set the token that unsafe requests repeat; it is kept in memory only. */
export function setCsrfToken(token: string): void {
  csrfToken = token;
}

export function csrfHeaders(): Record<string, string> {
  return csrfToken ? { "X-CSRF-Token": csrfToken } : {};
}

export const api = createClient<paths>({ baseUrl: window.location.origin });

api.use({
  onRequest({ request }) {
    if (request.method !== "GET")
      for (const [name, value] of Object.entries(csrfHeaders())) request.headers.set(name, value);
  },
  onError() {
    return new ProblemError(0, "The service does not answer. Check that `driftline serve` runs.");
  },
});

interface Answered<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** The body of an answer, or a `ProblemError`. */
export async function body<T>(call: Promise<Answered<T>>): Promise<T> {
  const { data, error, response } = await call;
  if (!response.ok) throw problemOf(response.status, error);
  return data as T;
}

export function problemOf(status: number, error: unknown): ProblemError {
  const detail = isProblem(error) ? error.detail : `The service answered with status ${status}.`;
  return new ProblemError(status, detail);
}

function isProblem(error: unknown): error is Schemas["Problem"] {
  return typeof error === "object" && error !== null && "detail" in error && typeof error.detail === "string";
}
