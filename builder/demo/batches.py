"""Training batches made ahead, by processes of their own where there are cores to spare."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from torch.utils.data import DataLoader, Dataset

T = TypeVar("T")
AHEAD = 4


class _Steps(Dataset):
    def __init__(self, make: Callable[[int], Any]) -> None:
        self._make = make

    def __getitem__(self, step: int) -> Any:
        return self._make(step)


def batches(make: Callable[[int], T], first: int, end: int, workers: int = 0) -> Iterator[tuple[int, T]]:
    """(step, `make(step)`) for each step. workers: processes that make them; 0 makes them here, when they are needed.

    `make` draws its random numbers from the step, so that how many processes there are changes nothing.
    """
    steps = range(first, end)
    options: dict[str, Any] = {"prefetch_factor": AHEAD} if workers else {}
    loader = DataLoader(_Steps(make), batch_size=None, sampler=steps, num_workers=workers, **options)
    return zip(steps, loader, strict=True)
