"""RetinaFace (Deng et al. 2019, https://arxiv.org/abs/1905.00641) on a ResNet-50: faces and five marks of each.

The weights are facexlib's `detection_Resnet50_Final.pth` (MIT), which Fooocus uses; parameters are named as there.
Only the best face of a picture is asked for, so overlapping finds need not be sorted out.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, relu

from handler.engine.control.state import read_state
from handler.engine.shelf import parameter_bytes
from handler.engine.weights import WeightsError

MEAN_BGR = (104.0, 117.0, 123.0)
CONFIDENCE = 0.97
STRIDES = (8, 16, 32)
ANCHOR_SIDES = ((16, 32), (64, 128), (256, 512))
"""Per stride, pixels."""
ANCHORS = 2
PLACE_VARIANCE = 0.1
MARKS = 5
WIDTH = 256
STAGES = (3, 4, 6, 3)
SEARCHED_SIDE = 1024
"""Larger pictures are made so small for the search."""
WRAPPER = "module."


class RetinaFace(nn.Module):
    """BGR pixels less their mean, [1, 3, h, w] -> scores [anchors] and marks [anchors, 5, 2] relative to anchors."""

    def __init__(self) -> None:
        super().__init__()
        self.body = _Body()
        self.fpn = _Pyramid()
        self.ssh1, self.ssh2, self.ssh3 = _Context(), _Context(), _Context()
        self.ClassHead = _heads(2)
        self.BboxHead = _heads(4)
        self.LandmarkHead = _heads(2 * MARKS)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        levels = self.fpn(self.body(pixels))
        seen = [context(level) for context, level in zip((self.ssh1, self.ssh2, self.ssh3), levels, strict=True)]
        scores = torch.cat([head(level).view(-1, 2) for head, level in zip(self.ClassHead, seen, strict=True)])
        marks = torch.cat([head(level).view(-1, MARKS, 2) for head, level in zip(self.LandmarkHead, seen, strict=True)])
        return scores.softmax(dim=-1)[:, 1], marks


class _Body(nn.Module):
    """ResNet-50 (He et al. 2015, with the stride in the 3x3 convolution) up to its last three stages."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        inside = 64
        for index, blocks in enumerate(STAGES):
            width = 64 * 2**index
            first = _Bottleneck(inside, width, stride=1 if index == 0 else 2)
            inside = 4 * width
            stage = nn.Sequential(first, *(_Bottleneck(inside, width) for _ in range(blocks - 1)))
            self.add_module(f"layer{index + 1}", stage)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        state = self.layer1(self.maxpool(relu(self.bn1(self.conv1(pixels)))))
        second = self.layer2(state)
        third = self.layer3(second)
        return [second, third, self.layer4(third)]


class _Bottleneck(nn.Module):
    def __init__(self, inside: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inside, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width)
        self.downsample: nn.Module = nn.Identity()
        if stride > 1 or inside != 4 * width:
            short = nn.Conv2d(inside, 4 * width, 1, stride=stride, bias=False)
            self.downsample = nn.Sequential(short, nn.BatchNorm2d(4 * width))

    def forward(self, state: Tensor) -> Tensor:
        inner = relu(self.bn1(self.conv1(state)))
        inner = relu(self.bn2(self.conv2(inner)))
        return relu(self.bn3(self.conv3(inner)) + self.downsample(state))


class _Pyramid(nn.Module):
    """Feature pyramid (Lin et al. 2016): coarse levels added to finer ones."""

    def __init__(self) -> None:
        super().__init__()
        self.output1, self.output2, self.output3 = (
            _normed(inside, WIDTH, 1, nn.ReLU()) for inside in (512, 1024, 2048)
        )
        self.merge1, self.merge2 = (_normed(WIDTH, WIDTH, 3, nn.ReLU()) for _ in range(2))

    def forward(self, levels: list[Tensor]) -> list[Tensor]:
        fine, middle, coarse = self.output1(levels[0]), self.output2(levels[1]), self.output3(levels[2])
        middle = self.merge2(middle + interpolate(coarse, size=middle.shape[-2:], mode="nearest"))
        fine = self.merge1(fine + interpolate(middle, size=fine.shape[-2:], mode="nearest"))
        return [fine, middle, coarse]


class _Context(nn.Module):
    """SSH's context module (Najibi et al. 2017): what 3x3, 5x5 and 7x7 pixels around show."""

    def __init__(self) -> None:
        super().__init__()
        self.conv3X3 = _normed(WIDTH, WIDTH // 2, 3)
        self.conv5X5_1 = _normed(WIDTH, WIDTH // 4, 3, nn.ReLU())
        self.conv5X5_2 = _normed(WIDTH // 4, WIDTH // 4, 3)
        self.conv7X7_2 = _normed(WIDTH // 4, WIDTH // 4, 3, nn.ReLU())
        self.conv7x7_3 = _normed(WIDTH // 4, WIDTH // 4, 3)

    def forward(self, state: Tensor) -> Tensor:
        first = self.conv5X5_1(state)
        parts = [self.conv3X3(state), self.conv5X5_2(first), self.conv7x7_3(self.conv7X7_2(first))]
        return relu(torch.cat(parts, dim=1))


class _Head(nn.Module):
    """So many numbers for each anchor: [1, rows, columns, anchors * numbers]."""

    def __init__(self, numbers: int) -> None:
        super().__init__()
        self.conv1x1 = nn.Conv2d(WIDTH, ANCHORS * numbers, 1)

    def forward(self, state: Tensor) -> Tensor:
        return self.conv1x1(state).permute(0, 2, 3, 1).contiguous()


def _heads(numbers: int) -> nn.ModuleList:
    return nn.ModuleList(_Head(numbers) for _ in STRIDES)


def _normed(inside: int, outside: int, size: int, *then: nn.Module) -> nn.Sequential:
    convolution = nn.Conv2d(inside, outside, size, padding=size // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outside), *then)


def anchors(height: int, width: int) -> Tensor:
    """Centre and side of every anchor of a picture, in pixels: [anchors, 3] as (x, y, side), in the network's order."""
    levels = []
    for stride, sides in zip(STRIDES, ANCHOR_SIDES, strict=True):
        y, x = ((torch.arange(-(-length // stride)) + 0.5) * stride for length in (height, width))
        grid = torch.stack(torch.meshgrid(y, x, indexing="ij"), dim=-1).flip(-1).view(-1, 1, 2).expand(-1, ANCHORS, 2)
        side = torch.tensor(sides, dtype=grid.dtype).view(1, ANCHORS, 1).expand(len(grid), -1, 1)
        levels.append(torch.cat([grid, side], dim=-1).view(-1, 3))
    return torch.cat(levels)


@dataclass(frozen=True)
class FaceDetector:
    """A `FindFace` of five marks, on the CPU in float32."""

    network: RetinaFace

    @property
    def bytes(self) -> int:
        return parameter_bytes(self.network)

    def __call__(self, pixels: np.ndarray) -> np.ndarray | None:
        scale = min(1.0, SEARCHED_SIDE / max(pixels.shape[:2]))
        small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else pixels
        bgr = small[..., ::-1].astype(np.float32) - np.float32(MEAN_BGR)
        scores, marks = self.network(torch.from_numpy(bgr).permute(2, 0, 1)[None])
        best = int(scores.argmax())
        if scores[best] < CONFIDENCE:
            return None
        place = anchors(*small.shape[:2])[best]
        found = place[:2] + marks[best] * PLACE_VARIANCE * place[2]
        return (found / scale).numpy().astype(np.float32)


def load_face_detector(path: Path) -> FaceDetector:
    """Raises WeightsError when the file is not the catalogue's, or is damaged."""
    state = {name.removeprefix(WRAPPER): value for name, value in read_state(path).items()}
    network = RetinaFace()
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise WeightsError(f"{path.name} is no RetinaFace") from error
    return FaceDetector(network.eval().requires_grad_(False))
