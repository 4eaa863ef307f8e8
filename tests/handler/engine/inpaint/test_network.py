"""Head and patch: what they change, that they leave no trace, and files that are refused."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from handler.engine.checkpoint import SdxlModel
from handler.engine.inpaint.network import InpaintNetworks, fed, head_feature, read_head, read_patch, unpickled_patch
from handler.engine.pickled import load_pickled
from handler.engine.shelf import Shelf
from handler.engine.weights import WeightsError
from handler.plan.plan import InpaintNetworkPlan
from schemas.enums import RefinerSwapMethod
from schemas.errors import ModelLoadError
from tests.support.golden import GOLDEN

PATCH = GOLDEN / "inpaint" / "patch_merge" / "tiny.fooocus.patch"
WEIGHT = "diffusion_model.input_blocks.0.0.weight"
LOC = ("body", "inpaint_engine")
MASKED, MASK = torch.randn(1, 4, 8, 8), torch.ones(1, 1, 8, 8)


def state(model: SdxlModel) -> list[tuple[int, Tensor]]:
    return [(parameter.data_ptr(), parameter.clone()) for parameter in model.unet.parameters()]


def assert_untouched(model: SdxlModel, before: list[tuple[int, Tensor]]) -> None:
    assert model.variant == ()
    assert not model.unet.conv_in._forward_hooks
    for (pointer, value), parameter in zip(before, model.unet.parameters(), strict=True):
        assert parameter.data_ptr() == pointer
        assert torch.equal(parameter, value)


def files(folder: Path, model: SdxlModel, weight: str = WEIGHT, channels: int | None = None) -> InpaintNetworkPlan:
    head, patch = folder / "head.safetensors", folder / "a.safetensors"
    conv = model.unet.conv_in
    save_file({"head": torch.randn(channels or conv.out_channels, 5, 3, 3)}, head)
    save_file({weight: torch.full_like(conv.weight, 0.5)}, patch)
    return InpaintNetworkPlan(head, patch, LOC, 3, RefinerSwapMethod.JOINT)


def test_both_are_on_inside_and_off_afterwards_whatever_happened(tiny: SdxlModel, tmp_path: Path) -> None:
    plan, networks, before = files(tmp_path, tiny), InpaintNetworks(tiny, Shelf()), state(tiny)
    conv, latent = tiny.unet.conv_in, torch.randn(2, 4, 8, 8)
    plain = conv(latent)
    with contextlib.suppress(KeyError), networks.applied(plan, MASKED, MASK):
        assert torch.allclose(conv.weight, before[0][1] + 0.5)
        assert not torch.allclose(conv(latent), plain)
        assert tiny.variant != ()
        raise KeyError
    assert_untouched(tiny, before)
    assert torch.equal(conv(latent), plain)


def test_patched_weights_are_made_once(tiny: SdxlModel, tmp_path: Path) -> None:
    plan, networks = files(tmp_path, tiny), InpaintNetworks(tiny, Shelf())
    pointers = set()
    for _ in range(2):
        with networks.applied(plan, MASKED, MASK):
            pointers.add(tiny.unet.conv_in.weight.data_ptr())
    assert len(pointers) == 1
    assert networks._shelf.bytes == 2 * tiny.unet.conv_in.weight.nbytes  # the patch and what it was merged to


@pytest.mark.parametrize("wrong", [{"weight": "diffusion_model.nowhere.weight"}, {"channels": 7}])
def test_files_for_another_model_are_refused_at_the_field(tiny: SdxlModel, tmp_path: Path, wrong: dict) -> None:
    before = state(tiny)
    with (
        pytest.raises(ModelLoadError) as raised,
        InpaintNetworks(tiny, Shelf()).applied(files(tmp_path, tiny, **wrong), MASKED, MASK),
    ):
        pass
    assert raised.value.details[0]["loc"] == list(LOC)
    assert_untouched(tiny, before)


def test_pickled_files_are_read_only_when_the_catalogue_knows_them(tmp_path: Path) -> None:
    patch, head = tmp_path / "inpaint_v26.fooocus.patch", tmp_path / "fooocus_inpaint_head.pth"
    patch.write_bytes(PATCH.read_bytes())
    torch.save({"head": torch.zeros(4, 5, 3, 3)}, head)
    for read, path in ((read_patch, patch), (read_head, head)):
        with pytest.raises(WeightsError, match="catalogue"):
            read(path)


def test_a_pickled_patch_holds_steps_between_two_values() -> None:
    stored = load_pickled(PATCH, hashlib.sha256(PATCH.read_bytes()).hexdigest())
    deltas = unpickled_patch(stored, PATCH.name)
    steps, low, high = stored[WEIGHT]  # type: ignore[index]
    values = deltas[WEIGHT].tensor(torch.empty(0))
    assert values.shape == steps.shape
    assert torch.allclose(values, steps.float() / 255 * (high - low) + low)
    steps = torch.zeros(2, dtype=torch.uint8)
    for damaged in ({}, [], {"a": 1}, {"a": (torch.zeros(2), 0, 1)}, {"a": (steps, "x", 1)}):
        with pytest.raises(WeightsError):
            unpickled_patch(damaged, "a.patch")


def test_a_feature_is_added_for_every_row(tiny: SdxlModel) -> None:
    conv, latent = tiny.unet.conv_in, torch.randn(3, 4, 8, 8)
    feature = head_feature(torch.randn(conv.out_channels, 5, 3, 3), MASKED, MASK)
    plain = conv(latent)
    with fed(tiny.unet, feature):
        assert torch.allclose(conv(latent), plain + feature)
