"""Safetensors files, judged by their header before a byte of data is read or a tensor is allocated.

Format: 8 bytes little-endian header length, a JSON object `name -> {dtype, shape, data_offsets}`, then the data
(https://github.com/huggingface/safetensors). Data is read with plain reads straight into the tensor that keeps
it: one copy, and none of the file's pages counted as this process's memory as with mmap.
"""

from __future__ import annotations

import json
import math
import os
import struct
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from handler.engine.weight_files import WeightsError
from schemas.errors import Location, ModelLoadError

MAX_HEADER_BYTES = 8 * 2**20
MAX_TENSORS = 20_000
MAX_DIMENSIONS = 8
MAX_NAME = 512

DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8,
    "BOOL": torch.bool,
}  # fmt: skip


@contextmanager
def reported_at(loc: Location) -> Iterator[None]:
    """Turn a WeightsError into the ModelLoadError of the request field that named the file."""
    try:
        yield
    except WeightsError as error:
        raise ModelLoadError(loc, message=str(error)) from error


@dataclass(frozen=True)
class Entry:
    """One tensor of a file; `begin` and `end` are byte positions in the file."""

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    begin: int
    end: int


class WeightsFile:
    """An open safetensors file. Use as a context manager.

    Raises WeightsError when the file is no safetensors file, is cut off, or breaks a limit of this module.
    """

    def __init__(self, path: Path) -> None:
        self.name = path.name
        try:
            self._file: BinaryIO = path.open("rb", buffering=0)
        except OSError as error:
            raise WeightsError(f"{self.name} cannot be opened") from error
        try:
            self.entries = _entries(self._file, self.name)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> WeightsFile:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    def read(self, name: str, part: int = 0, parts: int = 1, staging: Staging | None = None) -> Tensor:
        """One tensor on the CPU in its stored type; with `parts`, only that share of its first dimension.

        With `staging`, the result lives there until the next read into it.
        """
        entry = self.entries[name]
        shape = entry.shape if parts == 1 else (entry.shape[0] // parts, *entry.shape[1:])
        size = (entry.end - entry.begin) // parts
        data = staging.space(size) if staging else torch.empty(size, dtype=torch.uint8)
        self._fill(data, entry.begin + part * size)
        return data.view(entry.dtype).view(shape)

    def _fill(self, data: Tensor, position: int) -> None:
        self._file.seek(position)
        space = memoryview(data.numpy())
        while space:
            count = self._file.readinto(space)
            if not count:
                raise WeightsError(f"{self.name} ended early while it was read")
            space = space[count:]


class Staging:
    """Buffers that files are read into on their way to another type or to `device`.

    For a GPU there are two, pinned: one is filled while the other is on its way.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        on_gpu = device.type == "cuda"
        self._buffers = deque(_Buffer(pinned=on_gpu) for _ in range(2 if on_gpu else 1))

    def space(self, size: int) -> Tensor:
        """`size` bytes, uint8 [size], until the next call."""
        self._buffers.rotate()
        return self._buffers[0].space(size)

    def send(self, tensor: Tensor) -> Tensor:
        """The tensor in the last space, on the device. What uses it there waits for it; the caller need not."""
        sent = tensor.to(self._device, non_blocking=True)
        self._buffers[0].mark_sent(self._device)
        return sent


class _Buffer:
    """Memory that grows, and is not written to before what was in it has left for the GPU."""

    def __init__(self, pinned: bool) -> None:
        self._pinned = pinned
        self._bytes = torch.empty(0, dtype=torch.uint8)
        self._sent: torch.cuda.Event | None = None

    def space(self, size: int) -> Tensor:
        if self._sent is not None:
            self._sent.synchronize()
        if size > len(self._bytes):
            self._bytes = torch.empty(0, dtype=torch.uint8)
            self._bytes = torch.empty(size, dtype=torch.uint8, pin_memory=self._pinned)
        return self._bytes[:size]

    def mark_sent(self, device: torch.device) -> None:
        if self._pinned:
            self._sent = torch.cuda.current_stream(device).record_event()


def _entries(file: BinaryIO, name: str) -> dict[str, Entry]:
    size = os.fstat(file.fileno()).st_size
    header, start = _header(file, size, name)
    header.pop("__metadata__", None)
    if not header or len(header) > MAX_TENSORS:
        raise WeightsError(f"{name} holds {len(header)} tensors; 1 to {MAX_TENSORS} are accepted")
    entries = {key: _entry(key, value, start, name) for key, value in header.items()}
    _check_places(list(entries.values()), start, size, name)
    return entries


def _header(file: BinaryIO, size: int, name: str) -> tuple[dict[str, Any], int]:
    lead = file.read(8)
    length = struct.unpack("<Q", lead)[0] if len(lead) == 8 else 0
    if not 2 <= length <= min(MAX_HEADER_BYTES, max(size - 8, 0)):
        raise WeightsError(f"{name} is not a complete safetensors file")
    try:
        header = json.loads(file.read(length), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{name} has an unreadable safetensors header") from error
    if not isinstance(header, dict):
        raise WeightsError(f"{name} has an unreadable safetensors header")
    return header, 8 + length


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a name appears twice")
    return result


def _entry(key: str, value: Any, start: int, name: str) -> Entry:
    if not key.isprintable() or not 0 < len(key) <= MAX_NAME:
        raise WeightsError(f"{name} holds a tensor with an odd name")
    try:
        dtype, shape, (begin, end) = DTYPES[value["dtype"]], value["shape"], value["data_offsets"]
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{name}: tensor {key!r} has an unknown type or layout") from error
    if not _is_sizes(shape) or len(shape) > MAX_DIMENSIONS or not _is_sizes([begin, end]):
        raise WeightsError(f"{name}: tensor {key!r} has an impossible shape")
    if end - begin != math.prod(shape) * dtype.itemsize:
        raise WeightsError(f"{name}: the size of tensor {key!r} does not fit its shape")
    return Entry(key, dtype, tuple(shape), start + begin, start + end)


def _is_sizes(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)


def _check_places(entries: Sequence[Entry], start: int, size: int, name: str) -> None:
    """Tensors must lie one after the other inside the file."""
    position = start
    for entry in sorted(entries, key=lambda entry: (entry.begin, entry.end)):
        if entry.begin < position:
            raise WeightsError(f"{name}: tensor {entry.name!r} overlaps another")
        position = entry.end
    if position > size:
        raise WeightsError(f"{name} is cut off: {size} of {position} bytes are there")
