"""Safetensors files are judged by their header: what is damaged or hostile is refused before anything is allocated."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from handler.engine import weights
from handler.engine.weights import Staging, WeightsError, WeightsFile, reported_at
from schemas.errors import ModelLoadError


def write(path: Path, header: object, data: bytes = b"", length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


def entry(shape: list[object], begin: object, end: object, dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


FOUR = entry([1], 0, 4)
REFUSED = {
    "empty file": (b"", b""),
    "header is no JSON": (b"{nonsense", b""),
    "header is a list": ([1, 2], b""),
    "header nested too deep": (b"[" * 100_000 + b"]" * 100_000, b""),
    "no tensors": ({"__metadata__": {"a": "b"}}, b""),
    "a name twice": (b'{"a":%b,"a":%b}' % ((json.dumps(FOUR).encode(),) * 2), bytes(4)),
    "unknown type": ({"a": entry([1], 0, 4, "F6_E3M2")}, bytes(4)),
    "type is a list": ({"a": {"dtype": [], "shape": [1], "data_offsets": [0, 4]}}, bytes(4)),
    "no offsets": ({"a": {"dtype": "F32", "shape": [1]}}, bytes(4)),
    "entry is text": ({"a": "tensor"}, bytes(4)),
    "negative side": ({"a": entry([-1], 0, 4)}, bytes(4)),
    "side is a float": ({"a": entry([1.0], 0, 4)}, bytes(4)),
    "side is a bool": ({"a": entry([True], 0, 4)}, bytes(4)),
    "nine dimensions": ({"a": entry([1] * 9, 0, 4)}, bytes(4)),
    "size does not fit shape": ({"a": entry([2], 0, 4)}, bytes(4)),
    "huge shape, little data": ({"a": entry([2**40, 2**40], 0, 4)}, bytes(4)),
    "offsets backwards": ({"a": entry([0], 4, 0)}, bytes(4)),
    "overlap": ({"a": FOUR, "b": entry([1], 2, 6)}, bytes(6)),
    "cut off": ({"a": entry([4], 0, 16)}, bytes(15)),
    "control character in a name": ({"a\n": FOUR}, bytes(4)),
    "endless name": ({"a" * 513: FOUR}, bytes(4)),
}


@pytest.mark.parametrize("case", REFUSED)
def test_hostile_files_are_refused(case: str, tmp_path: Path) -> None:
    header, data = REFUSED[case]
    path = write(tmp_path / "model.safetensors", header, data)
    with pytest.raises(WeightsError, match=r"^model\.safetensors"):
        WeightsFile(path)


@pytest.mark.parametrize("length", [0, 2**63, 8 * 2**20 + 1])
def test_a_header_of_impossible_length_is_refused(length: int, tmp_path: Path) -> None:
    path = write(tmp_path / "model.safetensors", {"a": FOUR}, bytes(4), length=length)
    with pytest.raises(WeightsError, match="not a complete safetensors file"):
        WeightsFile(path)


def test_a_header_over_the_limit_is_refused_even_where_it_is_there(tmp_path: Path) -> None:
    text = json.dumps({"a": FOUR}).encode()
    text += b" " * (weights.MAX_HEADER_BYTES + 1 - len(text))
    with pytest.raises(WeightsError, match="not a complete safetensors file"):
        WeightsFile(write(tmp_path / "model.safetensors", text, bytes(4)))


def test_too_many_tensors_are_refused(tmp_path: Path) -> None:
    header = {f"t{number}": entry([0], 0, 0) for number in range(weights.MAX_TENSORS + 1)}
    with pytest.raises(WeightsError, match="20001 tensors"):
        WeightsFile(write(tmp_path / "model.safetensors", header))


@pytest.mark.parametrize("name", ["absent.safetensors", "."])
def test_what_is_no_file_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="cannot be opened"):
        WeightsFile(tmp_path / name)


def test_a_file_that_shrinks_while_read_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path / "model.safetensors", {"a": entry([64], 0, 256)}, bytes(256))
    with WeightsFile(path) as file:
        path.write_bytes(path.read_bytes()[:-8])
        with pytest.raises(WeightsError, match="ended early"):
            file.read("a")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.int64])
def test_every_type_reads_as_stored(dtype: torch.dtype, tmp_path: Path) -> None:
    value = torch.arange(24).reshape(2, 3, 4).to(dtype)
    save_file({"a": value, "scalar": torch.tensor(3).to(dtype), "none": torch.zeros(0, 4).to(dtype)}, tmp_path / "x")
    with WeightsFile(tmp_path / "x") as file:
        assert torch.equal(file.read("a").float(), value.float())
        assert file.read("a").dtype == dtype
        assert file.read("scalar").shape == ()
        assert file.read("none").shape == (0, 4)


def test_a_part_is_the_rows_of_that_part(tmp_path: Path) -> None:
    value = torch.arange(18.0).reshape(6, 3)
    save_file({"before": torch.zeros(5), "a": value}, tmp_path / "x")
    with WeightsFile(tmp_path / "x") as file:
        parts = [file.read("a", part, 3) for part in range(3)]
    assert torch.equal(torch.cat(parts), value)


def test_staging_is_reused_and_grows(tmp_path: Path) -> None:
    save_file({"small": torch.ones(4), "large": torch.arange(100.0)}, tmp_path / "x")
    staging = Staging(torch.device("cpu"))
    with WeightsFile(tmp_path / "x") as file:
        assert torch.equal(file.read("small", staging=staging), torch.ones(4))
        large = file.read("large", staging=staging)
        assert torch.equal(large, torch.arange(100.0))
        assert file.read("small", staging=staging).data_ptr() == large.data_ptr()


def test_errors_are_reported_at_the_field_that_named_the_file() -> None:
    with pytest.raises(ModelLoadError) as caught, reported_at(("body", "loras", 0, "path")):
        raise WeightsError("x is damaged")
    assert caught.value.details == [
        {"loc": ["body", "loras", 0, "path"], "msg": "x is damaged", "type": "model_load_error"}
    ]
