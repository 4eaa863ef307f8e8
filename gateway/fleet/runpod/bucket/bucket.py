"""What is done with the bucket. boto3 blocks, so it works in threads of its own."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Any, BinaryIO, TypeVar

from gateway.fleet.runpod.bucket.content import Content
from gateway.fleet.runpod.bucket.place import Place
from gateway.fleet.runpod.errors import BucketError
from schemas.bucket import Refusal, make_client

T = TypeVar("T")

THREADS = 16
CONNECT_S = 5
SILENCE_S = 30
"""Seconds without a byte moving."""

ATTEMPTS = 3
"""Tries of one request, with boto3's pauses between them."""

CHUNK = 1024 * 1024

_PROBED = b"This object shows that the gateway can write here. It may be deleted.\n"
_PASSING = (Refusal.FAILING, Refusal.SILENT)


class Bucket:
    """The bucket of `place`. Every method raises BucketError, whose text is for the operator.

    proven: whether everything that is needed worked, and nothing has failed since.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self.proven = False
        self._threads = ThreadPoolExecutor(THREADS, "bucket")
        self._making = threading.Lock()
        self._made: Any = None
        self._probe = place.folder(f"gateway-check-{secrets.token_hex(4)}")

    async def prove(self) -> None:
        """Write, read, list and delete a small object."""
        await self._run(self._prove)
        self.proven = True

    async def lend(self, key: str, file: BinaryIO, media_type: str, life_s: float) -> str:
        """Put a file there; the URL it can be read at for `life_s` seconds. OSError when the file cannot be read.

        A cancelled caller gets on only once nothing more is written.
        """
        content = Content(file)
        work = asyncio.ensure_future(self._run(lambda client: self._lend(client, key, content, media_type, life_s)))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            content.halt()
            with contextlib.suppress(BucketError, OSError):
                await work
            raise

    @asynccontextmanager
    async def open(self, key: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """The content of an object. Raises from inside while it is read, too."""
        body = await self._run(lambda client: client.get_object(Bucket=self.place.name, Key=key)["Body"])

        async def pieces() -> AsyncIterator[bytes]:
            while piece := await self._run(lambda _client: body.read(CHUNK)):
                yield piece

        try:
            yield pieces()
        finally:
            body.close()

    async def clear(self, folder: str) -> None:
        """Delete all that is in a folder."""
        await self._run(lambda client: self._clear(client, folder))

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[Any], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._guarded, work)
        except BucketError:
            self.proven = False
            raise

    def _guarded(self, work: Callable[[Any], T]) -> T:
        # Late: it takes a third of a second, which only a gateway with a bucket should wait for.
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return work(self._client())
        except ClientError as error:
            told = error.response
            refusal = Refusal.of(
                str(told.get("Error", {}).get("Code", "")), told.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            )
            raise self._error(refusal, f" ({error.operation_name})") from None
        except BotoCoreError:
            raise self._error(Refusal.SILENT) from None

    def _error(self, refusal: Refusal, step: str = "") -> BucketError:
        return BucketError(f"{self.place.shown} {refusal.value}{step}", passes=refusal in _PASSING)

    def _client(self) -> Any:
        with self._making:
            if self._made is None:
                place = self.place
                self._made = make_client(
                    place.endpoint_url, place.access_key_id, place.secret_access_key, place.signing_region,
                    connect_timeout=CONNECT_S, read_timeout=SILENCE_S, max_pool_connections=THREADS,
                    retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
                )  # fmt: skip
            return self._made

    def _prove(self, client: Any) -> None:
        where = {"Bucket": self.place.name, "Key": f"{self._probe}/check.txt"}
        client.put_object(**where, Body=BytesIO(_PROBED), ContentType="text/plain")
        client.get_object(**where)["Body"].read()
        self._clear(client, self._probe)

    def _lend(self, client: Any, key: str, content: Content, media_type: str, life_s: float) -> str:
        where = {"Bucket": self.place.name, "Key": key}
        try:
            client.put_object(**where, Body=content, ContentType=media_type)
        except Exception:
            if content.error is not None:
                raise content.error from None
            raise
        url: str = client.generate_presigned_url("get_object", Params=where, ExpiresIn=round(life_s))
        return url

    def _clear(self, client: Any, folder: str) -> None:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=self.place.name, Prefix=f"{folder}/")
        # One by one: not every server has the call for many, and a job has few.
        for entry in [entry for page in pages for entry in page.get("Contents", [])]:
            client.delete_object(Bucket=self.place.name, Key=entry["Key"])
