"""What the commands show: progress bars, sizes, tables of text."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tqdm import tqdm

from builder.transfer import Advance


def human(size: int | None) -> str:
    """Bytes in decimal units, as model pages state them."""
    if size is None:
        return "?"
    value, unit = float(size), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 999.95 or unit == "TB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


@contextmanager
def bar(label: str, total: int | None) -> Iterator[Advance]:
    """A progress bar on stderr that each call sets to a position (bytes).

    Where stderr is no terminal it is a line every ten seconds.
    """
    interval = 0.2 if sys.stderr.isatty() else 10.0
    every = {"mininterval": interval, "maxinterval": interval}
    with tqdm(total=total, desc=label, unit="B", unit_scale=True, leave=False, **every) as progress:
        yield lambda position: _move(progress, position)


def _move(progress: tqdm, position: int) -> None:
    if progress.n == 0 or position < progress.n:
        # A download that is continued, or starts over, must not count the bytes before as its speed.
        progress.initial = progress.n = progress.last_print_n = position
    progress.update(position - progress.n)


def say(line: str) -> None:
    """A line on stderr that does not tear a progress bar."""
    tqdm.write(line, file=sys.stderr)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells in aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
