"""What only some jobs need, kept between jobs within one budget; the least recently used goes first."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

from handler.engine.failures import free, ran_out


class Kept(Protocol):
    """bytes: the memory it holds for itself alone."""

    @property
    def bytes(self) -> int: ...


Item = TypeVar("Item", bound=Kept)

BUDGET = 8 * 2**30


class Shelf:
    """What is on it may be dropped at any time; whoever got an item keeps it alive while it is in use."""

    def __init__(self, budget: int = BUDGET) -> None:
        """budget: bytes. A single item beyond it is still kept, alone, until a job ends that did not use it."""
        self.budget = budget
        self._items: dict[Hashable, Kept] = {}
        self._used: set[Hashable] = set()

    @property
    def bytes(self) -> int:
        return sum(item.bytes for item in self._items.values())

    def __contains__(self, key: Hashable) -> bool:
        return key in self._items

    def get(self, key: Hashable, make: Callable[[], Item], size: int = 0) -> Item:
        """The item of this key, made when it is not there. What `make` raises passes through.

        size: bytes that are known to be needed for it; room for them is made first. Where memory does not suffice to
        make it, everything else is dropped and it is tried once more.
        """
        found = self._items.pop(key, None)
        if found is None:
            self._trim((), size)
        item = found if found is not None else self._made(make)
        self._items[key] = item
        self._used.add(key)
        self._trim((key,))
        return item  # type: ignore[return-value]

    def settle(self) -> None:
        """A job has ended: what it did not use goes as far as the budget asks, though it be the last item."""
        self._trim(self._used)
        self._used = set()

    def clear(self) -> bool:
        """Drop everything. Returns whether there was anything."""
        dropped = bool(self._items)
        self._items.clear()
        free()
        return dropped

    def _made(self, make: Callable[[], Item]) -> Item:
        # Items outlive the job that asked for them, which computes in inference mode.
        with torch.inference_mode(False), torch.no_grad():
            try:
                return make()
            except Exception as error:
                if not ran_out(error):
                    raise
                error.__traceback__ = None  # It keeps alive what was half made.
            self.clear()
            return make()

    def _trim(self, spared: Collection[Hashable], size: int = 0) -> None:
        """Make room for `size` bytes. The dictionary's order is that of last use."""
        for key in [key for key in self._items if key not in spared]:
            if self.bytes + size <= self.budget:
                return
            del self._items[key]


def bytes_of(tensors: Iterable[Tensor]) -> int:
    """What tensors occupy."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def parameter_bytes(network: nn.Module) -> int:
    """What a network's parameters and buffers occupy, or would: the meta device counts too."""
    return bytes_of([*network.parameters(), *network.buffers()])
