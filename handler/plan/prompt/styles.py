"""Styles: prompt templates by name, in Fooocus's JSON format.

An entry has `name`, `prompt` (with `{prompt}` where the prompt goes) and `negative_prompt`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

EXPANSION = "Fooocus V2"
"""A pseudo style: it asks for prompt expansion."""

RANDOM = "Random Style"
"""A pseudo style: each image draws a real one."""

BUNDLED = Path(__file__).parent.parent / "styles"
"""Our own templates for every style name of fal."""

_FAMILIES = ("fooocus", "sai", "mre", "twri", "diva", "marc_k3nt3l")
_SPELLINGS = (("3d", "3D"), ("Sai", "SAI"), ("Mre", "MRE"), ("(s", "(S"))


@dataclass(frozen=True)
class Style:
    """prompt: template, may be empty or hold several lines; negative_prompt likewise."""

    name: str
    prompt: str
    negative_prompt: str

    @property
    def wraps(self) -> bool:
        """Whether the template has a place for the prompt."""
        return "{prompt}" in self.prompt

    def apply(self, prompt: str) -> tuple[list[str], list[str]]:
        """Return (positive texts, negative texts), one per line of the templates."""
        return self.prompt.replace("{prompt}", prompt).splitlines(), self.negative_prompt.splitlines()


def style_name(key: str) -> str:
    """The display name of an entry's `name`: hyphens are spaces, words capitalised, known names respelled."""
    name = " ".join(word.capitalize() for word in key.replace("-", " ").split(" "))
    for wrong, right in _SPELLINGS:
        name = name.replace(wrong, right)
    return name


def load_styles(*folders: Path) -> dict[str, Style]:
    """Styles of all folders by name; a later folder replaces a style of an earlier one in its place.

    Within a folder, an operator's own files come first, then Fooocus's families in Fooocus's order.
    """
    styles: dict[str, Style] = {}
    for folder in folders:
        for path in sorted(_json_files(folder), key=_family_rank):
            for entry in json.loads(path.read_text("utf-8")):
                style = Style(
                    style_name(entry["name"]), entry.get("prompt") or "", entry.get("negative_prompt") or ""
                )
                styles[style.name] = style
    return styles


def _json_files(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        return
    entries = sorted(folder.iterdir())
    for path in entries:
        if path.is_dir():
            yield from _json_files(path)
    for path in entries:
        if path.is_file() and path.suffix.lower() == ".json":
            yield path


def _family_rank(path: Path) -> int:
    family = path.stem.removeprefix("sdxl_styles_")
    return _FAMILIES.index(family) if family in _FAMILIES else -1


def resolve_random(
    names: tuple[str, ...], styles: Mapping[str, Style], rng: random.Random
) -> tuple[str, ...]:
    """Replace every "Random Style" by a drawn name."""
    return tuple(rng.choice(list(styles)) if name == RANDOM else name for name in names)


def apply_styles(
    names: tuple[str, ...], styles: Mapping[str, Style], prompt: str
) -> tuple[list[str], list[str]]:
    """Return (positive texts, negative texts) of the named styles in order.

    Each style is a text of its own. When none of them has a place for the prompt, the prompt comes first.
    """
    chosen = [styles[name] for name in names]
    positive: list[str] = []
    negative: list[str] = []
    for style in chosen:
        texts = style.apply(prompt)
        positive += texts[0]
        negative += texts[1]
    if not any(style.wraps for style in chosen):
        positive.insert(0, prompt)
    return positive, negative
