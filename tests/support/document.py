"""The Python samples of a Markdown document whose indentation was lost, as code that runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_FENCE = re.compile(r"^```(\w*)\s*$")
_HEADING = re.compile(r"^#{1,6}\s+(.*\S)\s*$")
_DEF = re.compile(r"^(async\s+)?def\b")
_OPEN, _CLOSE = "([{", ")]}"


@dataclass(frozen=True)
class Sample:
    """One code block: the heading it stands under, its number below that heading, its text with indentation."""

    heading: str
    number: int
    code: str


def samples(markdown: str, language: str = "python") -> Iterator[Sample]:
    """Every block of `language`, in order."""
    heading, block, number = "", None, 0
    for line in markdown.splitlines():
        fence = _FENCE.match(line)
        title = _HEADING.match(line)
        if block is not None and fence:
            yield Sample(heading, number, indented("\n".join(block)))
            block, number = None, number + 1
        elif block is not None:
            block.append(line)
        elif fence and fence[1] == language:
            block = []
        elif title:
            heading, number = title[1], 0


def indented(code: str) -> str:
    """`code` with the bodies of its functions indented: up to and with `return`, or one statement without one."""
    lines: list[str] = []
    inside = ends = False
    depth, header = 0, False
    for line in code.splitlines():
        lines.append("    " + line if inside and line.strip() else line)
        starts_statement = depth == 0
        if starts_statement and _DEF.match(line):
            header, ends = True, False
        elif inside and starts_statement and not _is_text(line):
            ends = line.startswith("return") or "return" not in code
        depth += _brackets(line)
        if header and depth == 0:
            header, inside = False, True
        elif inside and ends and depth == 0:
            inside = ends = False
    return "\n".join(lines) + "\n"


def _is_text(line: str) -> bool:
    """Whether a line is blank, a comment, or part of a docstring, which has no brackets or returns to count."""
    return not line.strip() or line.startswith(("#", '"""')) or not re.search(r"[=(\[{]|\breturn\b", line)


def _brackets(line: str) -> int:
    """How many more brackets open than close on a line, strings and comments apart."""
    code = re.sub(r"\"[^\"]*\"|'[^']*'", "", line).partition("#")[0]
    return sum(code.count(bracket) for bracket in _OPEN) - sum(code.count(bracket) for bracket in _CLOSE)
