/** The gateway, called as any client of fal calls it. */

import { events } from "./sse.js";

/** @param {string} key */
const headers = (key) => ({ "Content-Type": "application/json", ...(key ? { Authorization: `Key ${key}` } : {}) });

/** What a refused or failed call said: `errors` has one text for each wrong field. */
export class CallFailed extends Error {
  /** @param {string} message @param {Object<string, string>} errors */
  constructor(message, errors = {}) {
    super(message);
    this.errors = errors;
  }
}

/** Run an endpoint; yields `{images, progress?}` for each step and at the end the output.
 * @param {string} endpoint @param {object} input @param {string} key @param {AbortSignal} signal */
export async function* run(endpoint, input, key, signal) {
  const response = await fetch(`run/${endpoint}/stream`, {
    method: "POST", headers: headers(key), body: JSON.stringify(input), signal,
  });
  if (!response.ok) throw failure(await response.json().catch(() => ({})), response.status);
  for await (const event of events(response.body)) {
    if (event.detail !== undefined) throw failure(event, 0);
    yield event;
  }
}

/** @param {any} body @param {number} status */
export function failure(body, status) {
  const detail = body.detail;
  if (Array.isArray(detail)) {
    const errors = Object.fromEntries(detail.map((item) => [String(item.loc[1] ?? ""), `${item.loc.slice(2).join(".")} ${item.msg}`.trim()]));
    return new CallFailed(detail.map((item) => `${item.loc.slice(1).join(".")}: ${item.msg}`).join("\n"), errors);
  }
  if (status === 401) return new CallFailed("This gateway needs a key: enter it at the top");
  return new CallFailed(typeof detail === "string" ? detail : `The gateway answered HTTP ${status}`);
}

/** Names of all styles. @param {string} key @returns {Promise<string[]>} */
export async function styles(key) {
  const response = await fetch("v1/engines/styles", { headers: key ? { "X-API-KEY": key } : {} });
  return response.ok ? response.json() : [];
}

/** One line about the workers. */
export async function readiness() {
  const response = await fetch("readyz").catch(() => null);
  if (response === null) return "The gateway does not answer";
  const body = await response.json().catch(() => ({}));
  const workers = body.workers ?? {};
  const ready = (workers.idle ?? 0) + (workers.running ?? 0);
  if (ready > 0) return `${ready} worker${ready > 1 ? "s" : ""} ready`;
  return workers.starting > 0 ? "A worker is loading its model …" : "No worker is ready";
}
