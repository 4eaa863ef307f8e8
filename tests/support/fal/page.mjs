// What a page does with the real client, led to the gateway named in its address; it tells its own server the outcome.
import { fal } from "@fal-ai/client";

const asked = new URLSearchParams(location.search);
const base = asked.get("gateway");
const APP = "fal-ai/fooocus";

async function raised(work) {
  try {
    await work();
    return null;
  } catch (error) {
    return { name: error.name, status: error.status, id: error.requestId, detail: error.body?.detail };
  }
}

async function visit() {
  fal.config({ credentials: asked.get("key"), proxyUrl: `${base}/api/fal/proxy`, suppressLocalCredentialsWarning: true });
  const { request_id: requestId } = await fal.queue.submit(APP, {
    input: { prompt: "x" },
    priority: "low",
    hint: "gpu-1",
    startTimeout: 600,
    storageSettings: { expiresIn: "1h" },
    headers: { "X-Fal-Store-IO": "0", "X-Fal-No-Retry": "1" },
  });
  const status = await fal.queue.status(APP, { requestId, logs: true });
  await fal.queue.cancel(APP, { requestId });
  const events = [];
  const stream = await fal.queue.streamStatus(APP, { requestId, logs: true });
  stream.on("data", (event) => events.push(event.status));
  await stream.done();
  const cancelled = await raised(() => fal.queue.result(APP, { requestId }));
  const invalid = await raised(() => fal.subscribe(APP, { input: { num_images: 9 } }));
  const uploaded = await fal.storage.upload(new File([new Uint8Array(5000).fill(7)], "a.png", { type: "image/png" }));
  const back = new Uint8Array(await (await fetch(uploaded)).arrayBuffer());
  return { requestId, status, events, cancelled, invalid, uploaded, size: back.length, first: back[0] };
}

const outcome = await visit().catch((error) => ({ failed: `${error.name}: ${error.message}` }));
await fetch("/done", { method: "POST", body: JSON.stringify({ ...outcome, browser: navigator.userAgent }) });
