"""The pictures of a request, loaded before anything else is done for it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import numpy as np

from handler.media.policy import FetchPolicy
from handler.media.source import load_image
from schemas.errors import InvalidInput, Location


async def load_images(sources: Mapping[Location, str], policy: FetchPolicy) -> dict[Location, np.ndarray]:
    """Load all at once, off the event loop: uint8 [h, w, 3] or [h, w, 4] by field.

    sources: a URL or data URI by the field that holds it. Raises InvalidInput with one detail for every picture that
    cannot be had.
    """
    loading = (asyncio.to_thread(_load, source, loc, policy) for loc, source in sources.items())
    results = await asyncio.gather(*loading, return_exceptions=True)
    refused = [result for result in results if isinstance(result, InvalidInput)]
    if refused:
        raise refused[0] if len(refused) == 1 else InvalidInput.joined(refused)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return dict(zip(sources, results, strict=True))


def _load(source: str, loc: Location, policy: FetchPolicy) -> np.ndarray:
    return np.asarray(load_image(source, loc, policy))
