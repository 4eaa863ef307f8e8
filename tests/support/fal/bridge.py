"""The real Python client, driven line by line: {"call", "args"} in, {"value"} or {"error"} out.

usage: python bridge.py MODE BASE     MODE: `plain` (whatever the environment says) or `module`. Names no code of ours.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
import sys
import tempfile
from pathlib import Path

import fal_client
import fal_client.client

MODE, BASE = sys.argv[1:3]
if MODE == "module":
    fal_client.client.RUN_URL_FORMAT, fal_client.client.QUEUE_URL_FORMAT = f"{BASE}/run/", f"{BASE}/queue/"
    fal_client.client.REST_URL, fal_client.client.CDN_URL = f"{BASE}/rest", f"{BASE}/cdn"


def plain(status):
    """A status object as JSON types, with the name of its class."""
    return {"is": type(status).__name__, **dataclasses.asdict(status)}


def content(file):
    if "base64" in file:
        return base64.b64decode(file["base64"])
    return bytes([file.get("fill", 7)]) * file["size"]


def submit(id, **options):
    handle = fal_client.submit(id, **options)
    return {name: getattr(handle, name) for name in ("request_id", "response_url", "status_url", "cancel_url")}


def subscribe(id, **options):
    updates = []
    data = fal_client.subscribe(id, on_queue_update=lambda update: updates.append(plain(update)), **options)
    return {"data": data, "updates": updates}


async def _subscribe_async(id, options):
    updates = []
    data = await fal_client.subscribe_async(id, on_queue_update=lambda update: updates.append(plain(update)), **options)
    return {"data": data, "updates": updates}


async def _upload_async(file):
    return await fal_client.AsyncClient().upload(content(file), file["type"], file.get("name"))


def upload_kept(file, expires_in, **options):
    """An upload that says how long it is to be kept."""
    lifecycle = fal_client.client.StorageSettings(expires_in=expires_in)
    return fal_client.upload(content(file), file["type"], file.get("name"), lifecycle=lifecycle, **options)


def upload_file(file):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / file["name"]
        with path.open("wb") as sink:
            sink.truncate(file["size"])
        return fal_client.upload_file(path)


CALLS = {
    "submit": submit,
    "status": lambda id, request_id, logs=False: plain(fal_client.status(id, request_id, with_logs=logs)),
    "result": lambda id, request_id: fal_client.result(id, request_id),
    "cancel": lambda id, request_id: fal_client.cancel(id, request_id),
    "run": lambda id, **options: fal_client.run(id, **options),
    "subscribe": subscribe,
    "subscribe_async": lambda id, **options: asyncio.run(_subscribe_async(id, options)),
    "stream": lambda id, **options: list(fal_client.stream(id, **options)),
    "upload": lambda file: fal_client.upload(content(file), file["type"], file.get("name")),
    "upload_async": lambda file: asyncio.run(_upload_async(file)),
    "upload_file": upload_file,
    "upload_kept": upload_kept,
}


def failure(error):
    return {
        "name": type(error).__name__,
        "message": getattr(error, "message", str(error)),
        "status": getattr(error, "status_code", None),
        "error_type": getattr(error, "error_type", None),
        "headers": dict(getattr(error, "response_headers", {})),
    }


for line in sys.stdin:
    order = json.loads(line)
    try:
        answer = {"value": CALLS[order["call"]](**order["args"])}
    except Exception as error:
        answer = {"error": failure(error)}
    print(json.dumps(answer), flush=True)
