"""Files of inpaint engines: safetensors before pickles, the first folder first, and what to run without them."""

from __future__ import annotations

from pathlib import Path

import pytest

from handler.inpaint_files import FOLDER, HEAD, PATCHES, InpaintLibrary
from schemas.enums import InpaintEngine
from schemas.errors import ModelMissing

LOC = ("body", "inpaint_engine")


def put(root: Path, *names: str) -> None:
    (root / FOLDER).mkdir(parents=True, exist_ok=True)
    for name in names:
        (root / FOLDER / name).touch()


def test_each_engine_has_its_patch_and_all_one_head(tmp_path: Path) -> None:
    put(tmp_path, HEAD, *PATCHES.values())
    library = InpaintLibrary((tmp_path,), required=True)
    for engine, name in PATCHES.items():
        ((head, patch),) = library.find(engine, LOC)
        assert (head.name, patch.name) == (HEAD, name)
    assert library.find(InpaintEngine.NONE, LOC) == ()


def test_safetensors_and_the_first_folder_are_preferred(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    put(first, "inpaint_v26.fooocus.safetensors")
    put(second, HEAD, "fooocus_inpaint_head.safetensors", PATCHES[InpaintEngine.V26])
    ((head, patch),) = InpaintLibrary((first, second), required=True).find(InpaintEngine.V26, LOC)
    assert head == second / FOLDER / "fooocus_inpaint_head.safetensors"
    assert patch == first / FOLDER / "inpaint_v26.fooocus.safetensors"


def test_what_is_missing_is_told_with_its_command(tmp_path: Path) -> None:
    put(tmp_path, HEAD)
    with pytest.raises(ModelMissing, match=r"builder fetch inpaint_v25\.fooocus\.patch$"):
        InpaintLibrary((tmp_path,), required=True).find(InpaintEngine.V25, LOC)
    assert InpaintLibrary((tmp_path,), required=False).find(InpaintEngine.V25, LOC) == ()
