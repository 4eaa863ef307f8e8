"""A Control-LoRA for the demo UNet: diffusers' ControlNet, of which only small parts are its own.

It shares the UNet's encoder. Its own are the hint's embedding, the convolutions before the residuals, and thin
products `up @ down` on the resnets' convolutions. The file has Stability's layout: LDM's names, and a marker.
"""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.func import functional_call

MARKER = "lora_controlnet"
HINT_CHANNELS = (4, 8, 16, 32)
RANK = 2
CARRIED = 4
"""Leading channels of the first features, in which `builder.demo.carry` hands the noise on: no residual goes there."""
LENT = ("conv_in", "time_proj", "time_embedding", "add_time_proj", "add_embedding", "down_blocks", "mid_block")
OWN = ("controlnet_cond_embedding", "controlnet_down_blocks", "controlnet_mid_block")
LEVELS_ADAPTED = 4
"""Levels, from the outermost, whose convolutions have a thin product."""

Calls = tuple[Tensor, Tensor, Tensor, dict[str, Tensor]]
"""What a UNet is called with: noisy latents, timesteps, context, and pooled texts and sizes."""


class ControlLora:
    """The trained parts beside a UNet, which itself stays as it is and lends its encoder."""

    def __init__(self, unet: UNet2DConditionModel, seed: int = 0) -> None:
        torch.manual_seed(seed)
        options = {"load_weights_from_unet": False, "conditioning_embedding_out_channels": HINT_CHANNELS}
        self.network = ControlNetModel.from_unet(unet, **options)
        for part in LENT:
            setattr(self.network, part, getattr(unet, part))
        self.network.to(unet.device)
        self.thin: dict[str, nn.Parameter] = {}
        modules = dict(self.network.named_modules())
        for path in adapted(self.network):
            weight = modules[path].weight
            down = torch.randn(RANK, *weight.shape[1:]) / weight[0].numel() ** 0.5
            self.thin[f"{path}.down"] = nn.Parameter(down.to(unet.device))
            self.thin[f"{path}.up"] = nn.Parameter(torch.zeros(len(weight), RANK, 1, 1, device=unet.device))

    def parameters(self) -> list[nn.Parameter]:
        """Its own parts, all of them trained."""
        own = [value for name, value in self.network.named_parameters() if name.startswith(OWN)]
        return own + list(self.thin.values())

    def state_dict(self) -> dict[str, Tensor]:
        """Its own parts by the names they have in files."""
        own = {ldm_name(name): value for name, value in self.network.named_parameters() if name.startswith(OWN)}
        return {name: value.detach() for name, value in (own | self._thin_by_name()).items()}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take over its own parts."""
        for name, value in self.state_dict().items():
            value.copy_(state[name])

    def __call__(self, calls: Calls, hint: Tensor) -> tuple[list[Tensor], Tensor]:
        """Residuals for the UNet's skip connections and its middle. hint: (n, 3, 8 h, 8 w) in 0..1."""
        noisy, timesteps, context, added = calls
        modules = dict(self.network.named_modules())
        weights = {f"{path}.weight": modules[path].weight + self._patch(path) for path in adapted(self.network)}
        options = {"added_cond_kwargs": added, "return_dict": False}
        residuals, middle = functional_call(self.network, weights, (noisy, timesteps, context, hint), options)
        return residuals, middle

    def keep_carried(self) -> None:
        """Take back what a training step changed where the noise is carried."""
        with torch.no_grad():
            for value in self.network.controlnet_down_blocks[0].parameters():
                value[:CARRIED] = 0

    def _patch(self, path: str) -> Tensor:
        down, up = self.thin[f"{path}.down"], self.thin[f"{path}.up"]
        return (up.flatten(1) @ down.flatten(1)).view(len(up), *down.shape[1:])

    def _thin_by_name(self) -> dict[str, nn.Parameter]:
        return {_thin_name(key): value for key, value in self.thin.items()}


def adapted(network: ControlNetModel) -> list[str]:
    """Paths of the convolutions that have a thin product."""
    prefixes = tuple(f"down_blocks.{level}.resnets." for level in range(LEVELS_ADAPTED))
    return [
        name
        for name, module in network.named_modules()
        if name.startswith(prefixes) and name.endswith((".conv1", ".conv2")) and isinstance(module, nn.Conv2d)
    ]


def steered(unet: UNet2DConditionModel, control: ControlLora, calls: Calls, hint: Tensor) -> Tensor:
    """The noise that `unet` sees under the control."""
    noisy, timesteps, context, added = calls
    residuals, middle = control(calls, hint)
    return unet(
        noisy,
        timesteps,
        context,
        added_cond_kwargs=added,
        down_block_additional_residuals=residuals,
        mid_block_additional_residual=middle,
    ).sample


def ldm_name(name: str) -> str:
    """LDM's name of a parameter of `OWN`."""
    path, _, kind = name.rpartition(".")
    parts = path.split(".")
    if parts[0] == "controlnet_mid_block":
        return f"middle_block_out.0.{kind}"
    if parts[0] == "controlnet_down_blocks":
        return f"zero_convs.{parts[1]}.0.{kind}"
    place = {"conv_in": 0, "conv_out": 2 * (2 * (len(HINT_CHANNELS) - 1) + 1)}.get(parts[1])
    return f"input_hint_block.{2 * (int(parts[2]) + 1) if place is None else place}.{kind}"


def _thin_name(key: str) -> str:
    """LDM's name of a thin matrix: `down_blocks.1.resnets.0.conv1.up` -> `input_blocks.4.0.in_layers.2.up`."""
    _, level, _, resnet, conv, side = key.split(".")
    layer = {"conv1": "in_layers.2", "conv2": "out_layers.3"}[conv]
    return f"input_blocks.{1 + 3 * int(level) + int(resnet)}.0.{layer}.{side}"


def write(control: ControlLora, path: Path) -> None:
    """Write the parts as fp16."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {name: value.half().contiguous() for name, value in control.state_dict().items()}
    save_file(state | {MARKER: torch.zeros(0, dtype=torch.float16)}, str(path))


def read(unet: UNet2DConditionModel, path: Path) -> ControlLora:
    """The Control-LoRA of a file."""
    control = ControlLora(unet)
    control.load_state_dict(load_file(str(path)))
    return control
