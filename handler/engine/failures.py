"""Torch's failures in our words: out of memory frees and goes on, a broken device asks for a new worker."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch

from schemas.errors import DeviceLost, FooocusError, OutOfMemory

_ALLOCATION = (
    "not enough memory", "can't allocate memory", "Cannot allocate memory", "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED",
)  # fmt: skip
_BROKEN_CONTEXT = (
    "CUDA error", "device-side assert", "illegal memory access", "CUBLAS_STATUS", "CUDNN_STATUS", "device lost",
)  # fmt: skip

T = TypeVar("T")


@contextmanager
def translated(release: Callable[[], object]) -> Iterator[None]:
    """Turn torch's exceptions into OutOfMemory (after `release()` dropped what can be made again) or DeviceLost."""
    try:
        yield
    except Exception as error:
        failure = classify(error)
        if failure is None:
            raise
        if isinstance(failure, OutOfMemory):
            error.__traceback__ = None
            release()
            free()
        raise failure from None


def given_room(make: Callable[[], Iterator[T]], release: Callable[[], bool]) -> Iterator[T]:
    """What `make()` yields. Where memory runs out before the first of it, it is made once more.

    release: drops what can be made again, and says whether there was anything; where not, the failure passes through.
    """
    begun = False
    try:
        for item in make():
            begun = True
            yield item
        return
    except Exception as error:
        if begun or not ran_out(error):
            raise
        error.__traceback__ = None
        if not release():
            raise
    free()
    yield from make()


def or_smaller(whole: Callable[[], T], smaller: Callable[[], T]) -> T:
    """`whole()`, or where memory does not suffice for it, `smaller()`."""
    try:
        return whole()
    except Exception as error:
        if not ran_out(error):
            raise
        error.__traceback__ = None
    free()
    return smaller()


def classify(error: BaseException) -> FooocusError | None:
    """The failure `error` stands for, None when it is not the device's."""
    text = str(error)
    if isinstance(error, OutOfMemory):
        return error
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return OutOfMemory()
    if isinstance(error, RuntimeError) and _allocation_failed(text):
        return OutOfMemory()
    if isinstance(error, torch.AcceleratorError):
        return DeviceLost()
    if isinstance(error, RuntimeError) and any(mark in text for mark in _BROKEN_CONTEXT):
        return DeviceLost()
    return None


def ran_out(error: BaseException) -> bool:
    """Whether `error` says that memory did not suffice."""
    return isinstance(classify(error), OutOfMemory)


def _allocation_failed(text: str) -> bool:
    # oneDNN says only this when memory for generated code cannot be had.
    return text == "could not create a primitive" or any(mark in text for mark in _ALLOCATION)


def free() -> None:
    """Give unused device memory back."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
