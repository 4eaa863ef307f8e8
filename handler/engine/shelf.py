"""Models of single features, kept between jobs within a budget; the least recently used go first."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

from handler.engine.failures import free, ran_out


class Kept(Protocol):
    """bytes: the memory it holds for itself alone."""

    @property
    def bytes(self) -> int: ...


Item = TypeVar("Item", bound=Kept)


class Shelf:
    """What is on it may be dropped at any time; whoever got an item keeps it alive while it is in use."""

    def __init__(self, budget: int) -> None:
        """budget: bytes. A single item beyond it is still kept, alone."""
        self._budget = budget
        self._items: dict[Hashable, Kept] = {}

    @property
    def bytes(self) -> int:
        return sum(item.bytes for item in self._items.values())

    def get(self, key: Hashable, make: Callable[[], Item]) -> Item:
        """The item of this key, made when it is not there. What `make` raises passes through.

        Where memory does not suffice to make it, everything else is dropped and it is tried once more.
        """
        found = self._items.pop(key, None)
        item = found if found is not None else self._made(make)
        self._items[key] = item
        self._trim()
        return item  # type: ignore[return-value]

    def clear(self) -> None:
        """Drop everything."""
        if self._items:
            self._items.clear()
            free()

    def _made(self, make: Callable[[], Item]) -> Item:
        # Items outlive the job that asked for them, which computes in inference mode.
        with torch.inference_mode(False), torch.no_grad():
            try:
                return make()
            except Exception as error:
                if not ran_out(error):
                    raise
                error.__traceback__ = None  # It keeps alive what was half made.
            self._items.clear()
            free()
            return make()

    def _trim(self) -> None:
        """The dictionary's order is that of last use."""
        oldest = list(self._items)[:-1]
        while oldest and self.bytes > self._budget:
            del self._items[oldest.pop(0)]


def bytes_of(tensors: Iterable[Tensor]) -> int:
    """What tensors occupy."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def parameter_bytes(network: nn.Module) -> int:
    """What a network's parameters and buffers occupy, or would: the meta device counts too."""
    return bytes_of([*network.parameters(), *network.buffers()])
