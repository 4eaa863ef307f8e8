"""URLs of pictures in a result, for one reader."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.files.files import Files


async def relink(files: Files, output: Mapping[str, Any], base_url: str) -> dict[str, Any]:
    """The canonical result with the URLs of our own pictures under `base_url`; pictures elsewhere stay."""
    if "images" not in output:
        return dict(output)
    return {**output, "images": [await _relinked(files, image, base_url) for image in output["images"]]}


async def _relinked(files: Files, image: Mapping[str, Any], base_url: str) -> dict[str, Any]:
    file = await files.resolve(image["url"])
    return dict(image) if file is None else {**image, "url": files.url(file, base_url)}
