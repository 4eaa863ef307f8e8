"""A patch swaps parameters and puts the very same tensors back, also when patches nest."""

from __future__ import annotations

import pytest
import torch

from handler.engine.checkpoint import SdxlModel
from handler.engine.patch import swapped

KEY = ("vae", "decoder.conv_out.bias")


def test_nested_patches_come_off_in_turn(tiny: SdxlModel) -> None:
    bias = tiny.vae.get_parameter(KEY[1])
    original = bias.data_ptr()
    with swapped(tiny, {KEY: torch.ones(3)}, ("outer",)):
        assert tiny.variant == ("outer",)
        with swapped(tiny, {KEY: torch.zeros(3)}, ("inner",)):
            assert tiny.variant == ("outer", "inner")
            assert bias.sum() == 0
        assert tiny.variant == ("outer",)
        assert bias.sum() == 3
    assert tiny.variant == ()
    assert bias.data_ptr() == original
    assert tiny.vae.get_parameter(KEY[1]) is bias


def test_a_patch_that_cannot_be_put_on_leaves_nothing(tiny: SdxlModel) -> None:
    bias = tiny.vae.get_parameter(KEY[1])
    original = bias.data_ptr()
    wrong = {KEY: torch.ones(3), ("vae", "decoder.conv_in.bias"): "no tensor"}
    with pytest.raises(TypeError), swapped(tiny, wrong, ("x",)):  # type: ignore[arg-type]
        pass
    assert bias.data_ptr() == original
    assert tiny.variant == ()
