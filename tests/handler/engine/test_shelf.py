"""What is on the shelf is made once, goes when it was used longest ago, and makes room when memory is short."""

from __future__ import annotations

import gc
import weakref
from dataclasses import dataclass

import pytest
import torch

from handler.engine.shelf import Shelf, bytes_of, parameter_bytes
from schemas.errors import OutOfMemory


@dataclass(frozen=True)
class Block:
    bytes: int


class Maker:
    """Makes blocks, and counts them."""

    def __init__(self, size: int = 10) -> None:
        self.made = 0
        self._size = size

    def __call__(self) -> Block:
        self.made += 1
        return Block(self._size)


def test_an_item_is_made_once() -> None:
    shelf, make = Shelf(100), Maker()
    assert shelf.get("a", make) is shelf.get("a", make)
    assert (make.made, shelf.bytes) == (1, 10)


def test_the_least_recently_used_goes_first() -> None:
    shelf, makers = Shelf(30), {name: Maker() for name in "abcd"}
    for name in ("a", "b", "c", "a", "d", "a", "c", "d", "b"):
        shelf.get(name, makers[name])
        assert shelf.bytes <= 30
    assert {name: maker.made for name, maker in makers.items()} == {"a": 1, "b": 2, "c": 1, "d": 1}


def test_an_item_beyond_the_budget_is_kept_alone() -> None:
    shelf, large, small = Shelf(5), Maker(50), Maker(1)
    shelf.get("small", small)
    shelf.get("large", large)
    assert shelf.get("large", large).bytes == shelf.bytes == 50
    assert large.made == 1


def test_where_memory_is_short_everything_else_goes() -> None:
    shelf, kept = Shelf(1000), Maker()
    shelf.get("kept", kept)

    def make() -> Block:
        if shelf.bytes:
            raise OutOfMemory
        return Block(20)

    assert shelf.get("new", make).bytes == shelf.bytes == 20


def test_it_tries_again_also_when_there_is_nothing_to_drop() -> None:
    """What the rest of the process let go of is given back in between."""
    garbage = Cycle()
    held = weakref.ref(garbage)
    del garbage

    def make() -> Block:
        if held():
            raise torch.OutOfMemoryError
        return Block(20)

    gc.disable()
    try:
        assert Shelf(1000).get("new", make).bytes == 20
    finally:
        gc.enable()


class Cycle:
    def __init__(self) -> None:
        self.itself = self


def test_a_failure_leaves_the_rest() -> None:
    shelf, kept = Shelf(100), Maker()
    shelf.get("kept", kept)

    def fail() -> Block:
        raise KeyError

    with pytest.raises(KeyError):
        shelf.get("new", fail)
    shelf.get("kept", kept)
    assert kept.made == 1
    with pytest.raises(OutOfMemory):
        Shelf(100).get("new", lambda: (_ for _ in ()).throw(OutOfMemory()))


def test_what_is_made_during_a_job_can_be_used_outside_of_inference() -> None:
    with torch.inference_mode():
        tensor = Shelf(100).get("x", TensorItem).tensor
    assert not tensor.is_inference()


class TensorItem:
    def __init__(self) -> None:
        self.tensor = torch.zeros(3)
        self.bytes = bytes_of([self.tensor])


def test_bytes_of_networks_are_counted_without_making_them() -> None:
    with torch.device("meta"):
        assert parameter_bytes(torch.nn.Linear(10, 5, dtype=torch.float16)) == 2 * 55
