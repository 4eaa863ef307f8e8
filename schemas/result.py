"""The canonical result: fal's output, key for key."""

from __future__ import annotations

from schemas.parts import Image, Part


class GenerationResult(Part):
    """images and has_nsfw_concepts run in parallel; timings are seconds by phase."""

    images: tuple[Image, ...]
    timings: dict[str, float]
    has_nsfw_concepts: tuple[bool, ...]


class DescribeResult(Part):
    """The words for a picture."""

    prompt: str
