/** The call of the form as a program: what to write to make it from elsewhere. */

/** Long data URIs are not for reading. @param {any} value @returns {any} */
export function shortened(value) {
  if (typeof value === "string" && value.startsWith("data:")) return value.slice(0, value.indexOf(",") + 1) + "…";
  if (Array.isArray(value)) return value.map(shortened);
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, shortened(item)]));
  return value;
}

/** A JSON value as Python writes it. @param {any} value @param {string} indent @returns {string} */
export function python(value, indent = "") {
  const inner = indent + "    ";
  if (value === true) return "True";
  if (value === false) return "False";
  if (value === null) return "None";
  if (Array.isArray(value)) return `[${value.map((item) => python(item, inner)).join(", ")}]`;
  if (typeof value === "object") {
    const rows = Object.entries(value).map(([name, item]) => `${inner}${JSON.stringify(name)}: ${python(item, inner)},\n`);
    return `{\n${rows.join("")}${indent}}`;
  }
  return JSON.stringify(value);
}

const indented = (text, spaces) => text.replaceAll("\n", "\n" + " ".repeat(spaces));

/** @type {Object<string, {title: string, write: (base: string, endpoint: string, input: any, key: boolean) => string}>} */
export const LANGUAGES = {
  javascript: {
    title: "JavaScript",
    write: (base, endpoint, input) => `import { fal } from "@fal-ai/client";

fal.config({
  credentials: process.env.FAL_KEY ?? "none",
  proxyUrl: { url: "${base}/api/fal/proxy", when: "always" },
});
const { data } = await fal.subscribe("${endpoint}", {
  input: ${indented(JSON.stringify(input, null, 2), 2)},
});
console.log(data.images[0].url);
`,
  },
  python: {
    title: "Python",
    write: (base, endpoint, input) => `import fal_client.client as client

client.RUN_URL_FORMAT, client.QUEUE_URL_FORMAT = "${base}/run/", "${base}/queue/"
client.REST_URL, client.CDN_URL = "${base}/rest", "${base}/cdn"

import fal_client

result = fal_client.subscribe("${endpoint}", arguments=${python(input)})
print(result["images"][0]["url"])
`,
  },
  curl: {
    title: "curl",
    write: (base, endpoint, input, key) => `curl -s ${base}/run/${endpoint} \\
  -H 'Content-Type: application/json' \\${key ? "\n  -H 'Authorization: Key '\"$FAL_KEY\" \\" : ""}
  -d '${JSON.stringify(input).replaceAll("'", "'\\''")}'
`,
  },
};
