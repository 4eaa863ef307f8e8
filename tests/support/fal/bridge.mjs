// The real JavaScript client, driven line by line: {"call", "args"} in, {"value"} or {"error"} out.
// usage: node bridge.mjs PACKAGE MODE BASE [KEY]     MODE: proxy, proxy-string, middleware or fetch
import { File } from "node:buffer";
import readline from "node:readline";

const [packageName, mode, base, key = "any-local-key"] = process.argv.slice(2);
// What tells the client that it runs in a page; it looks when it is loaded.
if (mode === "proxy-string") globalThis.window = { document: {} };
const { fal } = await import(packageName);

const ROOTS = { "queue.fal.run": "queue", "fal.run": "run", "rest.fal.ai": "rest", "rest.alpha.fal.ai": "rest" };

function moved(url) {
  const target = new URL(url);
  const root = ROOTS[target.hostname];
  return root ? `${base}/${root}${target.pathname}${target.search}` : url;
}

const proxyUrl = `${base}/api/fal/proxy`;
const MODES = {
  proxy: { proxyUrl: { url: proxyUrl, when: "always" } },
  "proxy-string": { proxyUrl, suppressLocalCredentialsWarning: true },
  middleware: { requestMiddleware: async (request) => ({ ...request, url: moved(request.url) }) },
  fetch: { fetch: (url, options) => fetch(moved(url), options) },
};
fal.config({ credentials: key, ...MODES[mode] });

function blob({ size, type, name, fill = 7, base64 }) {
  const data = base64 ? Buffer.from(base64, "base64") : new Uint8Array(size).fill(fill);
  return name ? new File([data], name, { type }) : new Blob([data], { type });
}

// Input from Python names a file as {"$file": {size, type, name}}.
function revived(value) {
  if (Array.isArray(value)) return value.map(revived);
  if (value === null || typeof value !== "object") return value;
  if ("$file" in value) return blob(value.$file);
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, revived(item)]));
}

const CALLS = {
  submit: ({ id, ...options }) => fal.queue.submit(id, options),
  status: ({ id, ...options }) => fal.queue.status(id, options),
  result: ({ id, ...options }) => fal.queue.result(id, options),
  cancel: async ({ id, ...options }) => (await fal.queue.cancel(id, options)) ?? null,
  run: ({ id, ...options }) => fal.run(id, options),
  subscribe: async ({ id, ...options }) => {
    const updates = [];
    const onQueueUpdate = (update) => updates.push(structuredClone(update));
    return { ...(await fal.subscribe(id, { ...options, onQueueUpdate })), updates };
  },
  statusEvents: async ({ id, ...options }) => {
    const events = [];
    const stream = await fal.queue.streamStatus(id, options);
    stream.on("data", (event) => events.push(event));
    return { last: await stream.done(), events };
  },
  stream: async ({ id, ...options }) => {
    const stream = await fal.stream(id, options);
    const events = [];
    stream.on("data", (event) => events.push(event));
    return { last: await stream.done(), events };
  },
  streamAndLeave: async ({ id, ...options }) => {
    const stream = await fal.stream(id, options);
    const first = await new Promise((resolve) => stream.on("data", resolve));
    stream.abort();
    return first;
  },
  upload: ({ file, ...options }) => fal.storage.upload(blob(file), options),
};

for await (const line of readline.createInterface({ input: process.stdin })) {
  const { call, args } = JSON.parse(line);
  let answer;
  try {
    answer = { value: await CALLS[call](revived(args)) };
  } catch (error) {
    answer = {
      error: { name: error.name, message: error.message, status: error.status, body: error.body, id: error.requestId },
    };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
