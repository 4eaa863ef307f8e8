"""Textual inversion files: found by plain name only, of the right width, harmless when damaged."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from handler.engine.embeddings import Embeddings
from handler.engine.tokens import Vector
from schemas.errors import ModelLoadError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "embeddings"
    folder.mkdir()
    vectors = {"clip_l": torch.arange(6.0).reshape(2, 3).half(), "clip_g": torch.ones(1, 4)}
    save_file(vectors, folder / "style one.safetensors")
    save_file(vectors, tmp_path / "outside.safetensors")
    save_file(vectors, folder / ".hidden.safetensors")
    return folder


def test_vectors_by_encoder(folder: Path) -> None:
    found = Embeddings(folder)
    assert found.count("clip_l", "style one", 3) == 2
    assert found.count("clip_g", "style one", 4) == 1
    assert torch.equal(found.vector("clip_l", Vector("style one", 1)), torch.tensor([3.0, 4.0, 5.0]))


def test_another_models_width_does_not_count(folder: Path) -> None:
    assert Embeddings(folder).count("clip_l", "style one", 768) == 0


@pytest.mark.parametrize("name", ["", ".", "..", "../outside", "/etc/passwd", ".hidden", "a\0b", "none", "x" * 5000])
def test_names_that_reach_nothing(name: str, folder: Path) -> None:
    assert Embeddings(folder).count("clip_l", name, 3) == 0


def test_no_folder() -> None:
    assert Embeddings(None).count("clip_l", "style", 3) == 0


def test_files_of_other_kinds_have_no_vectors(folder: Path) -> None:
    save_file({"clip_l": torch.ones(3)}, folder / "flat.safetensors")
    save_file({"clip_l": torch.ones(76, 3)}, folder / "long.safetensors")
    save_file({"emb_params": torch.ones(1, 3)}, folder / "sd15.safetensors")
    assert [Embeddings(folder).count("clip_l", name, 3) for name in ("flat", "long", "sd15")] == [0, 0, 0]


def test_a_damaged_file_is_blamed_on_the_prompt(folder: Path) -> None:
    (folder / "bad.safetensors").write_bytes(b"not a file of tensors")
    with pytest.raises(ModelLoadError) as caught:
        Embeddings(folder).count("clip_l", "bad", 3)
    assert caught.value.details[0]["loc"] == ["body", "prompt"]


def test_a_changed_file_is_read_anew(folder: Path) -> None:
    found = Embeddings(folder)
    assert found.count("clip_l", "style one", 3) == 2
    save_file({"clip_l": torch.ones(5, 3)}, folder / "style one.safetensors")
    assert found.count("clip_l", "style one", 3) == 5
