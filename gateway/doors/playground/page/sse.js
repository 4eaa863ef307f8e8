/** Server-sent events from a fetch body: EventSource can neither POST nor send a key. */

/** Split text into events and the rest. @param {string} text @returns {[string[], string]} */
export function split(text) {
  const blocks = text.split(/\r?\n\r?\n/);
  const rest = blocks.pop() ?? "";
  return [blocks.map(data).filter((value) => value !== ""), rest];
}

/** The data of one event; comments have none. @param {string} block */
function data(block) {
  const lines = block.split(/\r?\n/).filter((line) => line.startsWith("data:"));
  return lines.map((line) => line.slice(5).replace(/^ /, "")).join("\n");
}

/** @param {ReadableStream<Uint8Array>} body @returns {AsyncGenerator<any>} */
export async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const [found, left] = split(rest + value);
    rest = left;
    for (const text of found) yield JSON.parse(text);
  }
}
