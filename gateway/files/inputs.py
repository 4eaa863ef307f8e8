"""Pictures in a job's input: out of the queue's database while the job waits, back in when a worker takes it.

A worker fetches no private address, so what lies in this gateway travels to it as a data URI.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gateway.files import rows
from gateway.files.model import Kind, StoredFile

if TYPE_CHECKING:
    from gateway.files.files import Files

SPILL_ABOVE = 64 * 1024
"""Characters of data URIs an input may hold before they are moved to files."""

SMALL = 4096
"""Data URIs of at most this many characters stay in any case."""

MAX_PICTURE = 32 * 1024 * 1024
"""Bytes of a picture of ours that are put into a job in place of its URL."""

REFERENCE = "gateway-file:"

_DATA = re.compile(r"data:[^,;]*(?:;[^,;]*)*;base64,", re.IGNORECASE)
_REFERENCE = re.compile(REFERENCE + r"([0-9a-f]{32})")
_UNANNOUNCED_S = 3600.0

Change = Callable[[str], Awaitable[str]]


async def spill(files: Files, input: Mapping[str, Any], owner: str) -> dict[str, Any]:
    """`input` with large data URIs replaced by references, when there are more than SPILL_ABOVE characters of them.

    The same picture of the same owner gives the same reference, so that a repeated request stays recognisable. What
    is not clean base64 stays as it is. Raises as `Files.add` does.
    """
    if sum(len(text) for text in texts(input) if _DATA.match(text)) <= SPILL_ABOVE:
        return dict(input)

    async def change(text: str) -> str:
        return await _spilled(files, text, owner) if len(text) > SMALL and _DATA.match(text) else text

    return await changed(input, change)


async def fill(files: Files, input: Mapping[str, Any], owner: str) -> dict[str, Any]:
    """`input` with references and our own pictures' URLs replaced by data URIs.

    A URL of a file that is no picture (LoRA weights), or larger than MAX_PICTURE, stays. What has gone, or is another
    owner's private file, stays too: the worker reports the field.
    """

    async def change(text: str) -> str:
        file = await referred(files, text, owner)
        if file is None or not (file.kind is Kind.INPUT or (file.is_image and file.size <= MAX_PICTURE)):
            return text
        data = await files.read(file)
        return f"data:{file.media_type};base64,{base64.b64encode(data).decode('ascii')}"

    return await changed(input, change)


async def hold(files: Files, job_id: str, input: Mapping[str, Any], owner: str) -> None:
    """Keep every file the input refers to until the job's record goes."""
    found = [await referred(files, text, owner) for text in texts(input)]
    held = {file.id for file in found if file is not None}
    if held:
        await files.store.write(
            lambda connection: [
                rows.change(connection, "hold", job_id=job_id, file_id=file_id) for file_id in sorted(held)
            ]
        )


async def referred(files: Files, text: str, owner: str) -> StoredFile | None:
    """The file that a reference, or a URL of ours, stands for; never another owner's private one."""
    reference = _REFERENCE.fullmatch(text)
    file = await (files.find(reference[1]) if reference else files.resolve(text))
    return file if file is not None and (file.public or file.owner == owner) else None


async def _spilled(files: Files, text: str, owner: str) -> str:
    try:
        data = await files.disk.run(lambda: base64.b64decode(text.partition(",")[2], validate=True))
    except (binascii.Error, ValueError):
        return text
    blob = await files.disk.write(data, files.limits.max_file)
    file_id = files.tokens.make("input", f"{owner}\n{blob.sha256}")[:32]
    file = files.describe(blob, file_id, "input", owner, Kind.INPUT, _UNANNOUNCED_S)
    file = await files.record(replace(file, public=False))
    return REFERENCE + file.id


def texts(value: Any) -> Iterator[str]:
    """Every string in a JSON value, names apart."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from texts(item)


async def changed(value: Any, change: Change) -> Any:
    """A copy of a JSON value with every string changed."""
    if isinstance(value, str):
        return await change(value)
    if isinstance(value, Mapping):
        return {name: await changed(item, change) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [await changed(item, change) for item in value]
    return value
