"""Checkpoints are found by themselves: RunPod's cached model, then the image's folder, then the network volume."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from handler.engine import checkpoint
from handler.engine.engine import Engine
from handler.models_folders import ModelsFolders, checkpoint_name, holder
from handler.settings import Settings
from handler.start import DEMO_BUNDLE, DEMO_CHECKPOINT, model_folders
from schemas.errors import ModelMissing
from tests.support.models import make_models
from tests.support.networks import CHECKPOINT

NAME = "some.safetensors"
REPOSITORY = "models--Some-Org--Some--XL"
REVISION = "0123abc"


@pytest.fixture
def folders(tmp_path: Path) -> ModelsFolders:
    return ModelsFolders(tmp_path / "baked", tmp_path / "volume")


def put(path: Path, data: bytes = b"weights") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def cache(folders: ModelsFolders, *files: str, revision: str = REVISION, main: str | None = REVISION) -> Path:
    """A cached model as Hugging Face's library writes it: files are links to blobs. Returns the snapshot."""
    repository = folders.hub / REPOSITORY
    snapshot = repository / "snapshots" / revision
    for number, file in enumerate(files):
        blob = put(repository / "blobs" / f"{revision}{number}")
        (snapshot / file).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / file).symlink_to(blob)
    if main is not None:
        put(repository / "refs" / "main", main.encode())
    return snapshot


def test_cached_comes_before_baked_and_baked_before_the_volume(folders: ModelsFolders) -> None:
    layout = put(folders.volume / "checkpoints" / NAME)
    assert folders.find(NAME) == layout
    models = put(folders.volume / "models" / "checkpoints" / NAME)
    assert folders.find(NAME) == models
    baked = put(folders.baked / "checkpoints" / NAME)
    assert folders.find(NAME) == baked
    snapshot = cache(folders, NAME)
    assert folders.find(NAME) == snapshot / NAME


def test_roots_are_the_folders_that_are_there(folders: ModelsFolders) -> None:
    assert folders.roots() == (folders.baked,)
    (folders.volume / "models").mkdir(parents=True)
    (folders.volume / "checkpoints").mkdir()
    assert folders.roots() == (folders.baked, folders.volume / "models", folders.volume)
    same = ModelsFolders(folders.volume / "models", folders.volume)
    assert same.roots() == (folders.volume / "models", folders.volume)


def test_refs_main_chooses_the_snapshot(folders: ModelsFolders) -> None:
    cache(folders, "model_index.json", revision="000", main=None)
    chosen = cache(folders, "model_index.json", revision="fff", main="fff\n")
    assert folders.find("hf:Some-Org/Some--XL") == chosen
    assert checkpoint_name(chosen) == "Some-Org/Some--XL"


@pytest.mark.parametrize("main", [None, "gone", "", ".."])
def test_without_a_usable_ref_it_is_the_first_snapshot(folders: ModelsFolders, main: str | None) -> None:
    cache(folders, "model_index.json", revision="fff", main=None)
    first = cache(folders, "model_index.json", revision="000", main=main)
    assert folders.find("hf:Some-Org/Some--XL") == first


@pytest.mark.parametrize("name", ["hf:some-org/some--xl/SUB/File.safetensors", "sub/file.SAFETENSORS"])
def test_case_does_not_matter_in_the_cache(folders: ModelsFolders, name: str) -> None:
    snapshot = cache(folders, "sub/file.safetensors", "other.safetensors")
    assert folders.find(name) == snapshot / "sub" / "file.safetensors"


def test_a_repository_with_one_file_needs_no_file_name(folders: ModelsFolders) -> None:
    snapshot = cache(folders, NAME, "README.md")
    assert folders.find("hf:Some-Org/Some--XL") == snapshot / NAME


def test_a_repository_with_several_files_says_which(folders: ModelsFolders) -> None:
    cache(folders, "a.safetensors", "b.safetensors")
    for name in ("hf:Some-Org/Some--XL", "hf:Some-Org/Some--XL/c.safetensors"):
        with pytest.raises(ModelMissing, match=r"a\.safetensors, b\.safetensors"):
            folders.find(name)


def test_a_link_whose_blob_is_gone_is_not_found(folders: ModelsFolders) -> None:
    cache(folders, NAME)
    (folders.hub / REPOSITORY / "blobs" / f"{REVISION}0").unlink()
    with pytest.raises(ModelMissing, match="no safetensors file"):
        folders.find(f"hf:Some-Org/Some--XL/{NAME}")
    with pytest.raises(ModelMissing):
        folders.find(NAME)


def test_what_is_not_there_names_every_place(folders: ModelsFolders) -> None:
    (folders.volume / "models").mkdir(parents=True)
    with pytest.raises(ModelMissing) as caught:
        folders.find(NAME)
    for place in (folders.hub, folders.baked / "checkpoints", folders.volume / "models" / "checkpoints"):
        assert str(place) in str(caught.value)
    assert "cached models: none" in str(caught.value)
    cache(folders, NAME)
    with pytest.raises(ModelMissing, match="cached models: Some-Org/Some--XL"):
        folders.find("hf:another/model")


def test_a_cached_diffusers_folder_loads(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    snapshot = volume / "huggingface-cache/hub/models--us--demo/snapshots/1"
    shutil.copytree(DEMO_CHECKPOINT, snapshot)
    settings = Settings(checkpoint="hf:us/demo", volume_dir=volume, models_dir=tmp_path / "none")
    path, roots = model_folders(settings)
    assert (path, roots) == (snapshot, (tmp_path / "none",))
    assert checkpoint.load(path, torch.device("cpu"), torch.float32).unet.device.type == "cpu"


def test_a_volume_serves_a_worker_whose_image_has_no_models(tmp_path: Path) -> None:
    """One file, which needs the tokenizer and the description that lie on the volume."""
    models = tmp_path / "volume" / "models"
    models.mkdir(parents=True)
    make_models(models)
    settings = Settings(checkpoint=CHECKPOINT.name, volume_dir=tmp_path / "volume", models_dir=tmp_path / "none")
    path, roots = model_folders(settings)
    assert holder(roots, "clip/tokenizer") == models
    assert Engine.load(path, roots, "cpu", check_safety=False)


def test_a_file_beside_a_diffusers_folder_is_described_by_it(tmp_path: Path) -> None:
    file = put(tmp_path / NAME)
    assert checkpoint.description(file, None) == checkpoint.BUILT_IN
    put(tmp_path / "model_index.json", b"{}")
    assert checkpoint.description(file, None) == tmp_path


def test_the_demo_model_takes_further_models_from_the_volume(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    _, roots = model_folders(Settings(volume_dir=tmp_path, models_dir=tmp_path / "none"))
    assert roots == (DEMO_BUNDLE, tmp_path / "none", tmp_path / "models")
