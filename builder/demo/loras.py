"""LoRA files in kohya's naming for the demo UNet.

Keys are `lora_unet_<diffusers module path, dots as underscores>` with `.lora_down.weight`, `.lora_up.weight` and
`.alpha`; the patch to a weight is `up @ down * alpha / rank`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file

BLOCKS = ("down_blocks.", "mid_block.", "up_blocks.")


@dataclass(frozen=True)
class Reach:
    """The rank of a LoRA, and the beginnings of the paths of the modules it covers."""

    rank: int
    blocks: tuple[str, ...] = BLOCKS


# The accelerators that every preset may ask for, by the names of the real files.
ACCELERATORS = {
    "sd_xl_offset_example-lora_1.0": Reach(1, ("mid_block.",)),
    "sdxl_lcm_lora": Reach(2),
    "sdxl_lightning_4step_lora": Reach(1),
    "sdxl_hyper_sd_4step_lora": Reach(1),
}
# A style is drawn where the picture is: in the outer blocks.
STYLES = {
    name: Reach(4, ("up_blocks.2.", "up_blocks.3.", "up_blocks.4.")) for name in ("demo_outlined", "demo_glowing")
}
REACHES = ACCELERATORS | STYLES


def targets(unet: UNet2DConditionModel, blocks: tuple[str, ...] = BLOCKS) -> dict[str, torch.nn.Module]:
    """Modules that a LoRA file covers, by dotted path: linear and convolutional ones whose path begins so.

    The last block is left out: `builder.demo.carry` has set it by hand.
    """
    last = f"up_blocks.{len(unet.up_blocks) - 1}.resnets.{len(unet.up_blocks[-1].resnets) - 1}."
    return {
        name: module
        for name, module in unet.named_modules()
        if isinstance(module, torch.nn.Linear | torch.nn.Conv2d)
        and name.startswith(blocks)
        and not name.startswith(last)
    }


def key(path: str) -> str:
    """kohya's name for a UNet module."""
    return "lora_unet_" + path.replace(".", "_")


def neutral(unet: UNet2DConditionModel, reach: Reach, seed: int = 0) -> dict[str, torch.Tensor]:
    """A LoRA that changes nothing: random `down`, zero `up`."""
    generator = torch.Generator().manual_seed(seed)
    tensors: dict[str, torch.Tensor] = {}
    rank = reach.rank
    for path, module in targets(unet, reach.blocks).items():
        shape = module.weight.shape
        down = torch.randn(rank, *shape[1:], generator=generator)
        tensors[f"{key(path)}.lora_down.weight"] = down / module.weight[0].numel() ** 0.5
        tensors[f"{key(path)}.lora_up.weight"] = torch.zeros(shape[0], rank, *([1] * (len(shape) - 2)))
        tensors[f"{key(path)}.alpha"] = torch.tensor(float(rank))
    return tensors


def save(tensors: dict[str, torch.Tensor], path: Path) -> None:
    """Write a LoRA file as fp16."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.half().contiguous() for name, tensor in tensors.items()}, str(path))


@torch.no_grad()
def merge(unet: UNet2DConditionModel, path: Path, weight: float = 1.0) -> None:
    """Add a LoRA file's patch, times `weight`, to the UNet's weights."""
    tensors = {name: tensor.float() for name, tensor in load_file(str(path)).items()}
    covered = {path: module for path, module in targets(unet).items() if f"{key(path)}.alpha" in tensors}
    for module_path, module in covered.items():
        down, up, alpha = (
            tensors[f"{key(module_path)}.{part}"] for part in ("lora_down.weight", "lora_up.weight", "alpha")
        )
        patch = (up.flatten(1) @ down.flatten(1)).view_as(module.weight)
        module.weight += weight * float(alpha) / len(down) * patch
