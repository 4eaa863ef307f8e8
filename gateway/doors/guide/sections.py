"""What `/docs` says: for each door who it is for, its calls, and one example to copy. `BASE` stands for our address."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Call:
    """One call of a door. `path` may hold `{names}`."""

    method: str
    path: str
    words: str


@dataclass(frozen=True)
class Section:
    """One door. example: what to type, run by a test."""

    title: str
    words: str
    calls: tuple[Call, ...]
    example: str


PICTURE = '{"prompt": "a red circle on a blue background", "aspect_ratio": "512x512"}'

FAL = Section(
    "fal",
    "For programs that call fal-ai/fooocus, fal-ai/fooocus/inpaint, …/image-prompt or …/upscale-or-vary with "
    "@fal-ai/client or fal-client, or over HTTP. Change where they point; everything else stays.",
    (
        Call("POST", "/queue/fal-ai/fooocus", "Queue a request: the input is the body. The answer has its URLs"),
        Call("GET", "/queue/fal-ai/fooocus/requests/{id}/status", "Its state; logs=1 adds the log"),
        Call("GET", "/queue/fal-ai/fooocus/requests/{id}/status/stream", "The same as events until it is done"),
        Call("GET", "/queue/fal-ai/fooocus/requests/{id}", "Its output, or the error it failed with"),
        Call("PUT", "/queue/fal-ai/fooocus/requests/{id}/cancel", "Cancel it, waiting or running"),
        Call("POST", "/run/fal-ai/fooocus", "Call and wait; hanging up cancels"),
        Call("POST", "/run/fal-ai/fooocus/stream", "Call and watch: a preview at each step, then the output"),
        Call("POST", "/rest/storage/upload/initiate", "Announce an upload; its answer says where to PUT the file"),
        Call("*", "/api/fal/proxy", "The proxyUrl of @fal-ai/client. Nothing is ever passed on to fal"),
        Call("GET", "/rest/.well-known/jwks.json", "The key that webhooks (fal_webhook=URL) are signed with"),
        Call("GET", "/api/openapi/queue/openapi.json", "OpenAPI of an endpoint, chosen by endpoint_id"),
    ),
    f"curl -s BASE/run/fal-ai/fooocus -H 'Content-Type: application/json' -d '{PICTURE}'",
)

FOOOCUS_API = Section(
    "Fooocus-API",
    "For programs written against Fooocus-API. v1 takes forms with files (text-to-image: JSON), v2 takes JSON with "
    "base64, data URIs or URLs. async_process answers at once; query-job tells how far it is.",
    (
        Call("POST", "/v1/generation/text-to-image", "Pictures from a prompt"),
        Call("POST", "/v2/generation/text-to-image-with-ip", "The same with image prompts"),
        Call("POST", "/v1/generation/image-upscale-vary", "Upscale or vary a picture, as a form"),
        Call("POST", "/v2/generation/image-upscale-vary", "The same as JSON"),
        Call("POST", "/v1/generation/image-inpaint-outpaint", "Repaint what a mask shows, or grow the picture"),
        Call("POST", "/v2/generation/image-inpaint-outpaint", "The same as JSON"),
        Call("POST", "/v1/generation/image-prompt", "Up to four image prompts, with inpaint if you like"),
        Call("POST", "/v2/generation/image-prompt", "The same as JSON"),
        Call("GET", "/v1/generation/query-job", "State, progress, preview and result of a job"),
        Call("GET", "/v1/generation/job-queue", "How many jobs wait and are done; also at /v1/engines/job-queue"),
        Call("GET", "/v1/engines/job-queue", "The same"),
        Call("GET", "/v1/generation/job-history", "Jobs by page, one by job_id; delete=true removes it"),
        Call("POST", "/v1/generation/stop", "Stop what runs now"),
        Call("POST", "/v1/tools/describe-image", "A picture in words: Photo or Anime"),
        Call("GET", "/v1/engines/all-models", "Installed checkpoints and LoRAs"),
        Call("POST", "/v1/engines/refresh-models", "The same; folders are read at each call"),
        Call("GET", "/v1/engines/styles", "The 277 styles"),
        Call("GET", "/ping", "Whether anybody is here"),
        Call("POST", "/v1/generation/image-enhance", "Not implemented: 501"),
        Call("POST", "/v2/generation/image-enhance", "Not implemented: 501"),
        Call("POST", "/v1/tools/generate_mask", "Not implemented: 501"),
    ),
    "curl -s BASE/v1/generation/text-to-image -H 'Content-Type: application/json' "
    '-d \'{"prompt": "a red circle on a blue background", "aspect_ratios_selection": "512*512"}\'',
)

RUNPOD = Section(
    "RunPod",
    "For programs that call a RunPod Serverless endpoint, with its SDKs or over HTTP: the same calls below "
    "/runpod/v2/ and a name of your choice. The input is fal's.",
    (
        Call("POST", "/runpod/v2/{endpoint}/run", "Queue a job"),
        Call("POST", "/runpod/v2/{endpoint}/runsync", "Queue a job and wait, up to wait milliseconds"),
        Call("GET", "/runpod/v2/{endpoint}/status/{job_id}", "State, progress or result"),
        Call("GET", "/runpod/v2/{endpoint}/status-sync/{job_id}", "The same, waiting for the end"),
        Call("GET", "/runpod/v2/{endpoint}/stream/{job_id}", "The result as a stream"),
        Call("POST", "/runpod/v2/{endpoint}/cancel/{job_id}", "Cancel it"),
        Call("POST", "/runpod/v2/{endpoint}/retry/{job_id}", "Run a failed job again"),
        Call("POST", "/runpod/v2/{endpoint}/purge-queue", "Cancel all that wait"),
        Call("GET", "/runpod/v2/{endpoint}/health", "Jobs and workers in numbers"),
    ),
    f"curl -s BASE/runpod/v2/fooocus/runsync -H 'Content-Type: application/json' -d '{{\"input\": {PICTURE}}}'",
)

OPERATOR = Section(
    "For the operator",
    "What is here beside the doors. Keys are made by `python -m gateway keys add NAME`; "
    "they go into Authorization (Key or Bearer) or X-API-KEY.",
    (
        Call("GET", "/", "The playground: try it in the browser"),
        Call("GET", "/files/{id}/{name}", "Results and uploads, for whoever knows the address"),
        Call("GET", "/jobs", "Your jobs of all doors, newest first: door, state, before=ID, limit"),
        Call("GET", "/webhooks/jobs/{job_id}", "What became of a job's webhooks"),
        Call("POST", "/webhooks/jobs/{job_id}/{delivery_id}/redeliver", "Send one again"),
        Call("GET", "/healthz", "This process answers"),
        Call("GET", "/readyz", "A worker is warm"),
        Call("GET", "/metrics", "Figures for Prometheus"),
    ),
    "curl -s BASE/readyz",
)

SECTIONS = (FAL, FOOOCUS_API, RUNPOD, OPERATOR)
