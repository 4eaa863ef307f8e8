"""`__name__` wildcards: each stands for a line of a file `name.txt` somewhere below the wildcards folder."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

MAX_PASSES = 64
"""Passes over one text; lines may hold further wildcards."""

MAX_LENGTH = 65_536
"""Characters a text may grow to; a file that names itself several times would otherwise grow without end."""

_PLACEHOLDER = re.compile(r"__([\w-]+)__")


@dataclass(frozen=True)
class Wildcards:
    """The non-empty lines of each wildcard file, by stem."""

    lines: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path) -> Wildcards:
        """Read every `*.txt` below `folder` (which may be missing); of equal stems the first path wins."""
        lines: dict[str, tuple[str, ...]] = {}
        for path in sorted(folder.rglob("*.txt")):
            found = tuple(line for line in path.read_text("utf-8", "replace").splitlines() if line)
            lines.setdefault(path.stem, found)
        return cls(lines)

    def apply(self, text: str, rng: random.Random, index: int, in_order: bool) -> str:
        """Replace the wildcards of `text`: every occurrence draws from `rng`, or all take line `index`.

        A wildcard without file or lines becomes its bare name.
        """
        choose: Callable[[tuple[str, ...]], str] = rng.choice
        if in_order:
            choose = lambda lines: lines[index % len(lines)]  # noqa: E731
        for _ in range(MAX_PASSES):
            names = _PLACEHOLDER.findall(text)
            if not names or len(text) > MAX_LENGTH:
                break
            for name in names:
                lines = self.lines.get(name, ())
                mark = f"__{name}__"
                text = text.replace(mark, choose(lines), 1) if lines else text.replace(mark, name)
        return text
