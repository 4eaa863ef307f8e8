"""Memory is refused only when giving back what is not in use does not help."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch

from handler.engine import device as devices
from handler.engine.failures import translated
from schemas.errors import OutOfMemory

CPU = torch.device("cpu")
GIB = 2**30


class Garbage:
    """Frees itself only when the collector looks, as torch's cache does only when it is told to."""

    def __init__(self) -> None:
        self.itself = self


def test_what_is_held_without_use_counts_as_free(monkeypatch: pytest.MonkeyPatch) -> None:
    held = weakref.ref(Garbage())
    monkeypatch.setattr(devices, "_free", lambda device: GIB if held() else 4 * GIB)
    gc.disable()
    try:
        devices.require_memory(CPU, 2 * GIB)
    finally:
        gc.enable()
    with pytest.raises(OutOfMemory, match=r"needs 5\.0 GiB of memory and 4\.0 GiB are free"):
        devices.require_memory(CPU, 5 * GIB)


def test_our_own_refusal_also_releases_what_can_be_made_again() -> None:
    released = []
    refusal = OutOfMemory("the model needs more")
    with pytest.raises(OutOfMemory) as raised, translated(lambda: released.append(True)):
        raise refusal
    assert raised.value is refusal
    assert released == [True]
