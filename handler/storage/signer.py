"""S3 requests and links, signed by boto3; nothing here touches the network.

Uploads are presigned requests too: boto3 signs them and `delivery` sends them, so that an endpoint a job
brought is connected to at the address that was checked, and every try ends in time.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import threading
from typing import Any

from handler.media.urls import parse
from handler.storage.exchange import Request
from handler.storage.target import S3Target
from schemas.bucket import make_client

REQUEST_LIFE_S = 900
"""Seconds a signed upload stays valid: all tries, and a clock that is a little off."""

_client_lock = threading.Lock()


def put_request(target: S3Target, key: str, data: bytes, content_type: str) -> Request:
    """PUT of `data`. The server checks the body against the signed MD5 and keeps it whole or not at all."""
    digest = hashlib.md5(data, usedforsecurity=False).digest()
    name = key.rpartition("/")[2]
    signed = {
        "ContentType": content_type,
        "ContentDisposition": f'inline; filename="{name}"',
        "ContentMD5": base64.b64encode(digest).decode(),
    }
    headers = {
        "Content-Type": signed["ContentType"],
        "Content-Disposition": signed["ContentDisposition"],
        "Content-MD5": signed["ContentMD5"],
    }
    url = _sign(target, "put_object", key, REQUEST_LIFE_S, **signed)
    return Request("PUT", parse(url), headers, data)


def get_request(target: S3Target, key: str) -> Request:
    return Request("GET", parse(_sign(target, "get_object", key, REQUEST_LIFE_S)))


def delete_request(target: S3Target, key: str) -> Request:
    return Request("DELETE", parse(_sign(target, "delete_object", key, REQUEST_LIFE_S)))


def link(target: S3Target, key: str) -> str:
    """The URL to GET `key` with: below `public_url` if there is one, else signed for `presign_s` seconds."""
    if target.public_url:
        return f"{target.public_url}/{key}"
    return _sign(target, "get_object", key, target.presign_s)


def _sign(target: S3Target, operation: str, key: str, life_s: int, **parameters: str) -> str:
    url: str = _client(target).generate_presigned_url(
        operation, Params={"Bucket": target.bucket_name, "Key": key, **parameters}, ExpiresIn=life_s
    )
    return url


def _client(target: S3Target) -> Any:
    """One client per set of credentials; boto3 makes them safely only one at a time."""
    with _client_lock:
        return _make_client(target.endpoint_url, target.access_key_id, target.secret_access_key, target.signing_region)


@functools.lru_cache(maxsize=32)
def _make_client(endpoint_url: str, access_key_id: str, secret_access_key: str, region: str) -> Any:
    return make_client(endpoint_url, access_key_id, secret_access_key, region)
