"""From pictures to Image records: encode, store, describe."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from handler.engine.picture import Picture
from handler.media.encode import content_type, encode
from handler.media.metadata import Metadata
from handler.plan.plan import Plan
from handler.storage.base import Store
from handler.storage.names import safe_name
from schemas.enums import OutputFormat
from schemas.parts import Image


def file_name(plan: Plan, index: int) -> str:
    """`<stem>-<index>.<format>`, index from 0."""
    return safe_name(f"{plan.output.stem}-{index}.{plan.output.format}")


async def deliver(
    pictures: Sequence[Picture], metadata: Sequence[Metadata | None], plan: Plan, store: Store
) -> tuple[Image, ...]:
    """Encode and store all pictures at once, in threads.

    If one cannot be stored, or the job is cancelled meanwhile, none stays behind. Raises StorageUnavailable.
    """
    names = [file_name(plan, index) for index in range(len(pictures))]
    tasks = [
        asyncio.create_task(asyncio.to_thread(_deliver_one, picture, data, name, plan.output.format, store))
        for picture, data, name in zip(pictures, metadata, names, strict=True)
    ]
    try:
        await asyncio.wait(tasks)
        failure = next((error for error in [task.exception() for task in tasks] if error), None)
        if failure is not None:
            raise failure
    except BaseException:
        await asyncio.wait(tasks)
        await asyncio.gather(*(asyncio.to_thread(store.remove, name) for name in names))
        raise
    return tuple(task.result() for task in tasks)


def _deliver_one(
    picture: Picture, metadata: Metadata | None, name: str, output_format: OutputFormat, store: Store
) -> Image:
    data = encode(picture.pixels, output_format, metadata)
    kind = content_type(output_format)
    height, width = picture.pixels.shape[:2]
    url = store.put(name, data, kind)
    return Image(url=url, content_type=kind, file_name=name, file_size=len(data), width=width, height=height)
