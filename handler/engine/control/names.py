"""Names of a ControlNet's parameters in single files with LDM naming."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from handler.engine.ldm_keys import unet_modules, unet_name

HINT_FIRST = "controlnet_cond_embedding.conv_in"
HINT_LAST = "controlnet_cond_embedding.conv_out"
HINT_BLOCK = "controlnet_cond_embedding.blocks"
HINT_CHANNELS = (16, 32, 96, 256)
"""Of the hint's embedding in all ControlNets of SDXL; each level but the first halves the sides."""
HINT_STRIDE = 2
"""Between two convolutions of LDM's hint block stands an activation."""


def controlnet_names(config: Mapping[str, Any], parameters: Iterable[str]) -> dict[str, str]:
    """diffusers parameter name -> LDM name without prefix. config: of the ControlNet."""
    parameters = tuple(parameters)
    # A ControlNet has no decoder; what its blocks would be called does no harm.
    modules = unet_modules({"up_block_types": config["down_block_types"], **config}) | _own_modules(parameters)
    names = {parameter: unet_name(modules, parameter) for parameter in parameters}
    return {parameter: name for parameter, name in names.items() if name is not None}


def _own_modules(parameters: tuple[str, ...]) -> dict[str, str]:
    """The modules a ControlNet has beyond the UNet's encoder."""
    hints = len({name.split(".")[2] for name in parameters if name.startswith(HINT_BLOCK)})
    zeros = len({name.split(".")[1] for name in parameters if name.startswith("controlnet_down_blocks.")})
    names = {
        HINT_FIRST: "input_hint_block.0",
        HINT_LAST: f"input_hint_block.{HINT_STRIDE * (hints + 1)}",
        "controlnet_mid_block": "middle_block_out.0",
    }
    names |= {f"{HINT_BLOCK}.{index}": f"input_hint_block.{HINT_STRIDE * (index + 1)}" for index in range(hints)}
    return names | {f"controlnet_down_blocks.{index}": f"zero_convs.{index}.0" for index in range(zeros)}


def hint_channels(shapes: Mapping[str, tuple[int, ...]], prefix: str) -> tuple[int, ...]:
    """Channels of the hint's embedding, level by level, in a file with LDM's names behind `prefix`; SDXL's own where
    the file says nothing."""
    first = [f"{prefix}input_hint_block.{2 * HINT_STRIDE * level}.weight" for level in range(len(HINT_CHANNELS))]
    found = tuple(shapes[name][0] for name in first if shapes.get(name))
    return found if len(found) == len(HINT_CHANNELS) else HINT_CHANNELS
