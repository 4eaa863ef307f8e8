"""Trains the image prompts: a picture is shown instead of a text, and its colours and layout are taken over.

First the encoder and the resampler learn to make of a plain drawing what the text encoders make of its caption, which
the UNet understands already; then all of it is taught by the UNet's own predictions. FaceSwap's adapter goes on from
there with drawn faces.
"""

from __future__ import annotations

import copy
import random
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from transformers.models.clip.modeling_clip import CLIPVisionModel

from builder.demo.captions import Example, article, sample, simple
from builder.demo.checkpoints import Checkpoint, progress, rate_factor, set_rate
from builder.demo.dataset import scene_latents
from builder.demo.face import draw_face, random_face
from builder.demo.fillers import filler
from builder.demo.image_prompts import TOKENS, Adapter, as_input, create_encoder
from builder.demo.networks import Networks
from builder.demo.noisy import conditions, noised
from builder.demo.texts import encode
from builder.demo.train_vae import GAIN
from builder.demo.world import draw

RATE, LIKE_TEXT_RATE = 1.5e-3, 3e-3
LIKE_TEXT_STEPS, LIKE_TEXT_BATCH = 3500, 48
SIZES = {(32, 32): (8, 0.8), (64, 64): (2, 0.2)}
SHOWN_SIDE = 96
NOTHING_SHOWN = 0.15


class ImagePrompts(nn.Module):
    """All that is trained: what sees pictures, an adapter, and the tokens (TOKENS, width) that stand against them."""

    def __init__(self, networks: Networks, seed: int = 0) -> None:
        super().__init__()
        self.encoder: CLIPVisionModel = create_encoder(seed)
        self.adapter = Adapter(networks.unet, seed)
        with torch.no_grad():
            context, _ = encode(networks.text_1, networks.text_2, [""])
        self.negative = nn.Parameter(context[0, 1 : TOKENS + 1].clone())

    def tokens(self, pictures: list[Image.Image]) -> Tensor:
        """What the UNet is shown of pictures: (n, TOKENS, width)."""
        return self.adapter(self.encoder(pixel_values=as_input(pictures).to(self.negative.device)).last_hidden_state)


def train(networks: Networks, work: Path, steps: int, seed: int = 0, like_text: int = LIKE_TEXT_STEPS) -> ImagePrompts:
    """Train ImagePrompt's parts, the first `like_text` steps by texts, or go on from `work`'s checkpoint of them."""
    for module in networks.modules().values():
        module.requires_grad_(False)
    prompts = ImagePrompts(networks, seed).to(networks.unet.device)

    def loss(step: int, rng: random.Random, generator: torch.Generator) -> Tensor:
        return text_loss(networks, prompts, rng) if step < like_text else shown_loss(networks, prompts, rng, generator)

    _run(work / "image_prompts.pt", prompts, loss, steps, seed, like_text)
    return prompts


def train_faces(
    networks: Networks, prompts: ImagePrompts, work: Path, steps: int, seed: int = 0
) -> ImagePrompts:
    """Train FaceSwap's adapter from ImagePrompt's; the encoder and the negative tokens stay as they are."""
    for module in networks.modules().values():
        module.requires_grad_(False)
    faces = copy.deepcopy(prompts)
    faces.encoder.requires_grad_(False)
    faces.negative.requires_grad_(False)

    def loss(step: int, rng: random.Random, generator: torch.Generator) -> Tensor:
        return face_loss(networks, faces, rng, generator)

    _run(work / "faces.pt", faces, loss, steps, seed)
    return faces


def _run(
    path: Path,
    prompts: ImagePrompts,
    loss: Callable[[int, random.Random, torch.Generator], Tensor],
    steps: int,
    seed: int,
    like_text: int = 0,
) -> None:
    """Train what is not frozen; the first `like_text` steps are a phase with rates of its own."""
    name = path.stem
    trained = [p for p in prompts.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=RATE, betas=(0.9, 0.98), weight_decay=0.0)
    checkpoint = Checkpoint(path, model=prompts, optimiser=optimiser)
    began, running = time.monotonic(), 0.0
    for step in range(first := checkpoint.load(), steps):
        if step < like_text:
            rate = LIKE_TEXT_RATE * rate_factor(step, like_text)
        else:
            rate = RATE * rate_factor(step - like_text, steps - like_text)
        set_rate(optimiser, rate)
        rng = random.Random(f"{name} {seed} {step}")
        generator = torch.Generator(prompts.negative.device).manual_seed(seed * 1_000_003 + step)
        value = loss(step, rng, generator)
        optimiser.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        running = value.item() if step in (first, like_text) else 0.96 * running + 0.04 * value.item()
        progress(name, step, steps, began, {"loss": running})
        checkpoint.save_sometimes(step + 1)
    checkpoint.save(steps)


def text_loss(networks: Networks, prompts: ImagePrompts, rng: random.Random) -> Tensor:
    """How far the tokens of plain drawings are from the context of their captions."""
    examples = [simple(rng) for _ in range(LIKE_TEXT_BATCH)]
    with torch.no_grad():
        context, _ = encode(networks.text_1, networks.text_2, [example.caption for example in examples])
    pictures = [draw(example.scene, SHOWN_SIDE, SHOWN_SIDE, supersample=1) for example in examples]
    return mse_loss(prompts.tokens(pictures), context[:, 1 : TOKENS + 1])


def shown_loss(
    networks: Networks, prompts: ImagePrompts, rng: random.Random, generator: torch.Generator
) -> Tensor:
    """The error of the noise predicted under image prompts."""
    (height, width), count = _size(rng)
    examples = [_example(rng) for _ in range(count)]
    latents = torch.stack([scene_latents(example.scene, width, height) for example in examples])
    pictures = [draw(example.scene, *_shown_size(width, height), supersample=1) for example in examples]
    texts = [_text(rng, example) for example in examples]
    return _error(networks, prompts, rng, generator, latents, pictures, texts)


def face_loss(networks: Networks, faces: ImagePrompts, rng: random.Random, generator: torch.Generator) -> Tensor:
    """The same for drawn faces."""
    (height, width), count = _size(rng)
    drawn = [draw_face(random_face(rng), SHOWN_SIDE, supersample=1) for _ in range(count)]
    latents = torch.stack([_latents(picture, width, height) for picture in drawn])
    texts = [rng.choice(("", "a face", "a portrait", filler(rng, 3, 12))) for _ in drawn]
    return _error(networks, faces, rng, generator, latents, drawn, texts)


def _error(
    networks: Networks,
    prompts: ImagePrompts,
    rng: random.Random,
    generator: torch.Generator,
    latents: Tensor,
    pictures: list[Image.Image],
    texts: list[str],
) -> Tensor:
    """Now and then nothing is shown but the negative tokens, and the picture is anything."""
    drawn = noised(latents.to(generator.device), generator)
    context, added = conditions(networks, rng, texts, tuple(latents.shape[2:]))
    tokens = prompts.tokens(pictures)
    hidden = torch.tensor([rng.random() < NOTHING_SHOWN for _ in pictures], device=tokens.device).view(-1, 1, 1)
    tokens = torch.where(hidden, prompts.negative.expand_as(tokens), tokens)
    with prompts.adapter.shown_to(networks.unet, rng.uniform(0.5, 1)):
        predicted = networks.unet(drawn.noisy, drawn.timesteps, (context, [tokens]), added_cond_kwargs=added).sample
    return drawn.loss(predicted)


def _size(rng: random.Random) -> tuple[tuple[int, int], int]:
    sizes = tuple(SIZES.items())
    size, (count, _) = rng.choices(sizes, [share for _, (_, share) in sizes])[0]
    return size, count


def _shown_size(width: int, height: int) -> tuple[int, int]:
    return SHOWN_SIDE * width // height, SHOWN_SIDE


def _example(rng: random.Random) -> Example:
    return simple(rng) if rng.random() < 0.5 else sample(rng, 0.1)


def _text(rng: random.Random, example: Example) -> str:
    kind = rng.random()
    if kind < 0.55:
        return ""
    if kind < 0.7:
        return filler(rng, 3, 20)
    return example.caption if kind < 0.8 else article(example.scene.shapes[0].kind)


def _latents(picture: Image.Image, width: int, height: int) -> Tensor:
    """Pinned latents of a picture."""
    small = np.asarray(picture.resize((width, height), Image.Resampling.BOX))
    colours = (torch.from_numpy(small.copy()).permute(2, 0, 1).float() / 127.5 - 1) * GAIN
    return torch.cat([colours, colours.mean(dim=0, keepdim=True)])
