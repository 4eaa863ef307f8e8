"""A job that puts a picture into words."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from handler.engine.step import Interrupted
from handler.gpu import GpuThread
from handler.images import load_images
from handler.media.policy import FetchPolicy
from handler.pixels.resize import three_channels
from handler.plan.build import kernel_seed
from handler.plan.sizes import nearest_size
from schemas.enums import DescribeType
from schemas.errors import Location
from schemas.request import DEFAULT_STYLES, DescribeRequest
from schemas.result import DescribeResult

IMAGE: Location = ("body", "image_url")
STYLES = {DescribeType.PHOTO: DEFAULT_STYLES, DescribeType.ANIME: ("Fooocus V2", "Fooocus Masterpiece")}

Describe = Callable[[np.ndarray, Sequence[DescribeType], int, Callable[[], None]], str]
"""(uint8 [h, w, 3], types, seed, check) -> words; `check` is called now and then and may raise Interrupted."""


@dataclass(frozen=True)
class Description:
    """What describing jobs need; it lives as long as the process. image_policy: the limits on their pictures."""

    gpu: GpuThread
    describe: Describe
    image_policy: FetchPolicy

    async def run(self, job: dict[str, Any], request: DescribeRequest) -> dict[str, Any]:
        """A DescribeResult as plain JSON types. Raises FooocusError."""
        images = await load_images({IMAGE: request.image_url}, self.image_policy)
        pixels = three_channels(images[IMAGE])
        height, width = pixels.shape[:2]
        across, down = nearest_size(width, height)
        return DescribeResult(
            prompt=await self.gpu.run(lambda cancelled: self._words(pixels, request, cancelled)),
            width=width,
            height=height,
            aspect_ratio=f"{across}x{down}",
            styles=tuple(dict.fromkeys(style for kind in request.types for style in STYLES[kind])),
        ).model_dump(mode="json")

    def _words(self, pixels: np.ndarray, request: DescribeRequest, cancelled: threading.Event) -> str:
        def check() -> None:
            if cancelled.is_set():
                raise Interrupted

        return self.describe(pixels, request.types, kernel_seed(), check)
