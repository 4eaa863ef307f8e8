// One call of RunPod's real JavaScript client: node call.mjs BASE KEY ENDPOINT METHOD [ARGUMENT…]; the arguments are
// JSON, the last line on stdout is the answer as JSON.
import runpodSdk from "runpod-sdk";

const [base, key, endpointId, method, ...args] = process.argv.slice(2);
const endpoint = runpodSdk(key, { baseUrl: base }).endpoint(endpointId);
const answer = endpoint[method](...args.map((text) => JSON.parse(text)));
const pieces = [];
if (method === "stream") for await (const piece of answer) pieces.push(piece);
console.log(JSON.stringify(method === "stream" ? pieces : await answer));
