"""The network of ESRGAN upscalers: residual-in-residual dense blocks, then nearest-neighbour steps of two.

https://arxiv.org/abs/1809.00219 (RRDBNet), and https://arxiv.org/abs/2107.10833 for the variant that takes reduced
pictures with more channels. Parameters are named as in Real-ESRGAN; `renamed` knows the two older layouts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import count

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu, pad, pixel_unshuffle

from handler.engine.weights import WeightsError

SLOPE = 0.2
SHARE = 0.2
"""How much of a block's result is added to what went in."""
COLOURS = 3
DENSE_BLOCKS, CONVOLUTIONS = 3, 5
MOST_CHANNELS, MOST_BLOCKS, MOST_STEPS = 512, 64, 3

_SEQUENTIAL = "model."
_TRUNK = re.compile(r"model\.1\.sub\.(\d+)\.(?:RDB|residual_block_)(\d)\.conv(\d)\.0\.(weight|bias)")
_MIDDLE_AGED = (
    (re.compile(r"^RRDB_trunk\.(\d+)\.RDB(\d)\."), r"body.\1.rdb\2."),
    (re.compile(r"^trunk_conv\."), "conv_body."),
    (re.compile(r"^upconv(\d)\."), r"conv_up\1."),
    (re.compile(r"^HRconv\."), "conv_hr."),
)


class Esrgan(nn.Module):
    """Pictures [n, 3, h, w] in 0..1 -> [n, 3, scale * h, scale * w], about 0..1, not clamped.

    channels: of the features; growth: channels each convolution of a dense block adds; steps: doublings of the size;
    fold: the pictures are first reduced by this factor into as many more channels.
    """

    def __init__(self, channels: int, growth: int, blocks: int, steps: int, fold: int = 1) -> None:
        super().__init__()
        self.fold = fold
        self.steps = steps
        self.scale = 2**steps // fold
        self.conv_first = _conv(COLOURS * fold**2, channels)
        self.body = nn.Sequential(*(_Rrdb(channels, growth) for _ in range(blocks)))
        self.conv_body = _conv(channels, channels)
        for step in range(1, steps + 1):
            self.add_module(f"conv_up{step}", _conv(channels, channels))
        self.conv_hr = _conv(channels, channels)
        self.conv_last = _conv(channels, COLOURS)

    def forward(self, picture: Tensor) -> Tensor:
        height, width = picture.shape[2:]
        features = self.conv_first(self._folded(picture))
        features = features + self.conv_body(self.body(features))
        for step in range(1, self.steps + 1):
            doubled = interpolate(features, scale_factor=2, mode="nearest")
            features = _active(self.get_submodule(f"conv_up{step}")(doubled))
        enlarged = self.conv_last(_active(self.conv_hr(features)))
        return enlarged[:, :, : height * self.scale, : width * self.scale]

    def _folded(self, picture: Tensor) -> Tensor:
        """Sides that are no multiples of `fold` are filled up with their last pixels."""
        if self.fold == 1:
            return picture
        missing = [-side % self.fold for side in picture.shape[2:]]
        return pixel_unshuffle(pad(picture, (0, missing[1], 0, missing[0]), mode="replicate"), self.fold)


class _Rrdb(nn.Module):
    """Three dense blocks in a row beside a shorter way."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        for number in range(1, DENSE_BLOCKS + 1):
            self.add_module(f"rdb{number}", _Dense(channels, growth))

    def forward(self, state: Tensor) -> Tensor:
        result = state
        for block in self.children():
            result = block(result)
        return state + SHARE * result


class _Dense(nn.Module):
    """Five convolutions, each of which sees all that came before."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        for number in range(CONVOLUTIONS):
            last = number == CONVOLUTIONS - 1
            self.add_module(f"conv{number + 1}", _conv(channels + number * growth, channels if last else growth))

    def forward(self, state: Tensor) -> Tensor:
        *inner, last = self.children()
        seen = state
        for convolution in inner:
            seen = torch.cat((seen, _active(convolution(seen))), dim=1)
        return state + SHARE * last(seen)


def _conv(inside: int, outside: int) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, 3, padding=1)


def _active(state: Tensor) -> Tensor:
    return leaky_relu(state, SLOPE)


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of any of the three layouts, in this network's names; what belongs to none stays as it is.

    The oldest layout numbers the layers of one sequence: 0 the first convolution, 1 the trunk, then one for each
    doubling, and the two last ones.
    """
    if not any(name.startswith(_SEQUENTIAL) for name in state):
        return {_modern(name): value for name, value in state.items()}
    numbers = sorted({int(match[1]) for name in state if (match := re.fullmatch(r"model\.(\d+)\.weight", name))})
    places = dict(zip(numbers[-2:], ("conv_hr", "conv_last"), strict=False))
    places |= {number: f"conv_up{step}" for step, number in enumerate(numbers[1:-2], start=1)} | {0: "conv_first"}
    trunk = [int(match[1]) for name in state if (match := re.match(r"model\.1\.sub\.(\d+)\.", name))]
    after = f"model.1.sub.{max(trunk, default=0)}."
    return {_from_sequence(name, places, after): value for name, value in state.items()}


def _modern(name: str) -> str:
    for pattern, replacement in _MIDDLE_AGED:
        name = pattern.sub(replacement, name)
    return name


def _from_sequence(name: str, places: Mapping[int, str], after_trunk: str) -> str:
    if match := _TRUNK.fullmatch(name):
        block, dense, convolution, kind = match.groups()
        return f"body.{block}.rdb{dense}.conv{convolution}.{kind}"
    if name.startswith(after_trunk):
        return "conv_body." + name.removeprefix(after_trunk)
    match = re.fullmatch(r"model\.(\d+)\.(weight|bias)", name)
    return f"{places[int(match[1])]}.{match[2]}" if match and int(match[1]) in places else name


def esrgan(stored: Mapping[str, Tensor]) -> Esrgan:
    """The float32 network of these weights, as wide and deep as they say. Raises WeightsError for those of another."""
    state = {name: value.float() for name, value in renamed(stored).items()}
    try:
        channels, inside = state["conv_first.weight"].shape[:2]
        growth = len(state["body.0.rdb1.conv1.weight"])
    except (KeyError, ValueError) as error:
        raise WeightsError("this is no ESRGAN upscaler") from error
    blocks = next(number for number in count() if f"body.{number}.rdb1.conv1.weight" not in state)
    steps = next(number for number in count() if f"conv_up{number + 1}.weight" not in state)
    folds = {COLOURS * fold**2: fold for fold in (1, 2, 4)}
    sizes = (max(channels, growth) <= MOST_CHANNELS, blocks <= MOST_BLOCKS, steps <= MOST_STEPS, inside in folds)
    if not all(sizes) or 2**steps <= folds[inside]:
        raise WeightsError("this is no ESRGAN upscaler of a known kind")
    network = Esrgan(channels, growth, blocks, steps, folds[inside])
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise WeightsError("this ESRGAN upscaler is damaged, or of an unknown kind") from error
    return network.eval().requires_grad_(False)
