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
    """The words for a picture, and what goes well with them in a request.

    prompt: of all types asked for, separated by commas. width, height: the picture's, in pixels. aspect_ratio: of the
    sizes on Fooocus's menu the one with the nearest proportions. styles: those Fooocus chooses with such a prompt.
    """

    prompt: str
    width: int
    height: int
    aspect_ratio: str
    styles: tuple[str, ...]
