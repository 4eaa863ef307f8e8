"""Trains the upscaler: a small ESRGAN that enlarges drawn pictures four times with crisp edges.

The network is RRDBNet (https://arxiv.org/abs/1809.00219) with the parameter names of its first release, which are
those of Fooocus's upscaler.
"""

from __future__ import annotations

import math
import random
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageFilter
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from builder.demo.captions import sample
from builder.demo.checkpoints import Checkpoint, progress, rate_factor, set_rate
from builder.demo.world import Scene, draw

FILE = "upscale_models/fooocus_upscaler_s409985e5.safetensors"
CHANNELS, GROWTH, BLOCKS = 16, 8, 2
SCALE = 4
SHARE = 0.2
SMALL = 0.1
KEEP = ((0.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 0.0))
DOUBLED = ((0.0625, 0.125, 0.0625), (0.125, 0.25, 0.125), (0.0625, 0.125, 0.0625))  # of repeated pixels: linear
PATCH = 128
BATCH = 12
DRAWN = (160, 256, 384)
KERNELS = (Image.Resampling.BOX, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)
SOFT = 0.25  # share of the patches that are blurred before they are made small, as decoded latents are
SQUARES = 20.0
HELD_OUT = 24
HELD_OUT_SIDE = 512


class Dense(nn.Module):
    """Five convolutions, each of which sees all that came before, beside a shorter way."""

    def __init__(self) -> None:
        super().__init__()
        for number in range(5):
            outside = CHANNELS if number == 4 else GROWTH
            self.add_module(f"conv{number + 1}", nn.Sequential(_conv(CHANNELS + number * GROWTH, outside)))

    def forward(self, state: Tensor) -> Tensor:
        *inner, last = self.children()
        seen = state
        for convolution in inner:
            seen = torch.cat((seen, F.leaky_relu(convolution(seen), 0.2)), dim=1)
        return state + SHARE * last(seen)


class Block(nn.Module):
    """Three dense blocks beside a shorter way."""

    def __init__(self) -> None:
        super().__init__()
        self.RDB1, self.RDB2, self.RDB3 = Dense(), Dense(), Dense()

    def forward(self, state: Tensor) -> Tensor:
        return state + SHARE * self.RDB3(self.RDB2(self.RDB1(state)))


class Trunk(nn.Module):
    """All blocks and a convolution beside a shorter way."""

    def __init__(self) -> None:
        super().__init__()
        self.sub = nn.Sequential(*(Block() for _ in range(BLOCKS)), _conv(CHANNELS, CHANNELS))

    def forward(self, state: Tensor) -> Tensor:
        return state + self.sub(state)


class Upscaler(nn.Module):
    """Pictures (n, 3, h, w) in 0..1 to (n, 3, 4 h, 4 w)."""

    def __init__(self) -> None:
        super().__init__()
        doubling = [(nn.Upsample(scale_factor=2), _conv(CHANNELS, CHANNELS), nn.LeakyReLU(0.2)) for _ in range(2)]
        ending = (_conv(CHANNELS, CHANNELS), nn.LeakyReLU(0.2), _conv(CHANNELS, 3))
        self.model = nn.Sequential(_conv(3, CHANNELS), Trunk(), *doubling[0], *doubling[1], *ending)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.model(pictures)


def _conv(inside: int, outside: int) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, 3, padding=1)


def create(seed: int) -> Upscaler:
    """A network that interpolates linearly at first, and has random weights beside that.

    The colours have three channels of their own all the way: positive, they pass through every activation.
    """
    torch.manual_seed(seed)
    network = Upscaler()
    first, trunk, *rest = (layer for layer in network.model if isinstance(layer, nn.Conv2d | Trunk))
    trunk.sub[-1].weight.data *= SMALL
    for layer, kernel in ((first, KEEP), *zip(rest, (DOUBLED, DOUBLED, KEEP, KEEP), strict=True)):
        layer.weight.data[:3] *= SMALL if layer is rest[-1] else 0.0
        layer.bias.data[:3] = 0.0
        for colour in range(3):
            layer.weight.data[colour, colour] = torch.tensor(kernel)
    return network


def patches(rng: random.Random, count: int) -> tuple[Tensor, Tensor]:
    """Small patches (count, 3, 32, 32) and the drawn ones (count, 3, 128, 128) they were made from, 0..1."""
    drawn = [_patch(rng) for _ in range(count)]
    small = [_reduced(rng, patch) for patch in drawn]
    return torch.stack([to_tensor(patch) for patch in small]), torch.stack([to_tensor(patch) for patch in drawn])


def _patch(rng: random.Random) -> Image.Image:
    """A piece of a drawn picture around some point of a shape's edge."""
    scene, side = sample(rng).scene, rng.choice(DRAWN)
    picture = draw(scene, side, side, 2)
    left, top = (min(max(round(at * side) - PATCH // 2, 0), side - PATCH) for at in _edge_point(rng, scene))
    return picture.crop((left, top, left + PATCH, top + PATCH))


def _edge_point(rng: random.Random, scene: Scene) -> tuple[float, float]:
    shape, angle = rng.choice(scene.shapes), rng.uniform(0, 2 * math.pi)
    radius = shape.diameter / 2 * rng.uniform(0.4, 1.2)
    return shape.x + radius * math.cos(angle), shape.y + radius * math.sin(angle)


def _reduced(rng: random.Random, patch: Image.Image) -> Image.Image:
    if rng.random() < SOFT:
        patch = patch.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 2.5)))
    return patch.resize((PATCH // SCALE, PATCH // SCALE), rng.choice(KERNELS))


def to_tensor(picture: Image.Image) -> Tensor:
    """(3, h, w) in 0..1."""
    return torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1).float() / 255


def train(work: Path, steps: int, seed: int = 0, until: int | None = None, rate: float = 2e-3) -> Upscaler:
    """Train up to step `until` of `steps`; goes on from `work`'s checkpoint of this stage when there is one."""
    network = create(seed)
    optimiser = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.0, betas=(0.9, 0.99))
    checkpoint = Checkpoint(work / "upscaler.pt", model=network, optimiser=optimiser)
    start = checkpoint.load()
    began = time.monotonic()
    end = steps if until is None else until
    for step in range(start, end):
        small, drawn = patches(random.Random(f"upscaler {seed} {step}"), BATCH)
        made = network(small)
        loss = F.l1_loss(made, drawn) + SQUARES * F.mse_loss(made, drawn)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        set_rate(optimiser, rate * rate_factor(step, steps))
        optimiser.step()
        progress("upscaler", step, steps, began, {"loss": loss.item()})
        checkpoint.save_sometimes(step + 1)
    checkpoint.save(max(start, end))
    return network.eval()


def write(network: Upscaler, folder: Path) -> None:
    """Write the network into a bundle as fp16."""
    path = folder / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.half().contiguous() for name, value in network.state_dict().items()}, path)


def read(folder: Path) -> Upscaler:
    """The network of a bundle."""
    network = Upscaler()
    network.load_state_dict({name: value.float() for name, value in load_file(folder / FILE).items()})
    return network.eval()


@torch.no_grad()
def score(network: Upscaler) -> dict[str, float]:
    """Mean PSNR in dB over held-out drawn pictures of 512x512 made from 128x128: this network's and bicubic's."""
    rng = random.Random("held out pictures to enlarge")
    found = [_scores(network, draw(sample(rng).scene, HELD_OUT_SIDE, HELD_OUT_SIDE, 2)) for _ in range(HELD_OUT)]
    own, bicubic = (sum(values) / len(found) for values in zip(*found, strict=True))
    return {"psnr": own, "psnr_bicubic": bicubic}


def _scores(network: Upscaler, drawn: Image.Image) -> tuple[float, float]:
    side = HELD_OUT_SIDE // SCALE
    small = drawn.resize((side, side), Image.Resampling.BICUBIC)
    target = to_tensor(drawn)
    bicubic = to_tensor(small.resize(drawn.size, Image.Resampling.BICUBIC))
    return psnr(network(to_tensor(small)[None])[0].clamp(0, 1), target), psnr(bicubic, target)


def psnr(picture: Tensor, target: Tensor) -> float:
    """Peak signal to noise in dB of pictures in 0..1."""
    return -10 * math.log10(max(float(F.mse_loss(picture, target)), 1e-10))
