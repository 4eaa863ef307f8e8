"""From a request's prompt and settings to the texts of each image."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from handler.plan.plan import ImagePlan
from handler.plan.prompt.arrays import apply_arrays
from handler.plan.prompt.lines import clean_line
from handler.plan.prompt.styles import EXPANSION, Style, apply_styles, resolve_random
from handler.plan.prompt.wildcards import Wildcards
from schemas.fields import MAX_SEED

Expand = Callable[[str, int], str]
"""(prompt, seed of the image) -> the prompt with fitting words appended."""


@dataclass(frozen=True)
class PromptSettings:
    """What the prompt pipeline needs to know of a request.

    prompt: the main line (inline LoRA tags already taken out); extra: its further lines; alike negatives.
    seed: 0..2**63-1, of the first image; later images count up unless `seed_increment` is off.
    """

    prompt: str
    negative_prompt: str
    styles: tuple[str, ...]
    images: int
    seed: int
    extra: tuple[str, ...] = ()
    negative_extra: tuple[str, ...] = ()
    seed_increment: bool = True
    wildcards_in_order: bool = False


@dataclass(frozen=True)
class PromptSources:
    """Where texts come from: style templates, wildcard files, and what answers "Fooocus V2"."""

    styles: Mapping[str, Style]
    expand: Expand
    wildcards: Wildcards = field(default_factory=Wildcards)


def process_prompts(settings: PromptSettings, sources: PromptSources) -> tuple[ImagePlan, ...]:
    """Resolve the texts of every image.

    One `random.Random` per image, seeded with the image's seed, draws in this order: wildcards of the main
    prompt, of the negative prompt, of extra lines, of extra negative lines, then random styles.
    """
    return tuple(_image(settings, sources, index) for index in range(settings.images))


def _image(settings: PromptSettings, sources: PromptSources, index: int) -> ImagePlan:
    seed = (settings.seed + index * settings.seed_increment) % (MAX_SEED + 1)
    rng = random.Random(seed)

    def draw(text: str) -> str:
        return sources.wildcards.apply(text, rng, index, settings.wildcards_in_order)

    prompt = apply_arrays(draw(settings.prompt), index)
    negative_prompt = draw(settings.negative_prompt)
    extra = [draw(line) for line in settings.extra]
    negative_extra = [draw(line) for line in settings.negative_extra]

    selected = tuple(name for name in settings.styles if name != EXPANSION)
    styles = resolve_random(selected, sources.styles, rng)
    positive, negative = apply_styles(styles, sources.styles, prompt)
    positive = _texts([*positive, *extra], prompt)
    negative = _texts([*negative, negative_prompt, *negative_extra], negative_prompt)

    expansion = ""
    if EXPANSION in settings.styles and settings.prompt:
        expansion = sources.expand(clean_line(prompt), seed)
    return ImagePlan(
        seed=seed,
        positive=(*positive, expansion) if expansion else positive,
        negative=negative,
        positive_pooled=len(positive),
        negative_pooled=len(negative),
        prompt="\n".join([prompt, *extra]),
        negative_prompt="\n".join([negative_prompt, *negative_extra]),
        expansion=expansion,
        styles=styles,
    )


def _texts(texts: list[str], fallback: str) -> tuple[str, ...]:
    return tuple(text for text in texts if text) or (fallback,)
