"""The canonical result: fal's output, key for key."""

from __future__ import annotations

from schemas.parts import Image, Part


class GenerationResult(Part):
    """images, has_nsfw_concepts and seeds run in parallel; timings are seconds by phase.

    Seeds are text: they reach 2**63 - 1, which JavaScript numbers cannot hold. fal's own output has none.
    """

    images: tuple[Image, ...]
    timings: dict[str, float]
    has_nsfw_concepts: tuple[bool, ...]
    seeds: tuple[str, ...]


class DescribeResult(Part):
    """The words for a picture."""

    prompt: str
