"""Trains the text encoders to name a caption's attributes; they are frozen afterwards.

Two sets of linear readers look at the encoders: one at the sum of the pooled vectors of a caption and of fillers,
one at `hidden_states[-2]` from the first end token on. Both must name shape, colour, place and the rest, whatever
words surround the caption.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from builder.demo.captions import Example, fragment, sample
from builder.demo.checkpoints import Checkpoint, progress, rate_factor, set_rate
from builder.demo.fillers import filler, wrapped
from builder.demo.networks import POOLED, WIDTH_1, WIDTH_2, Networks
from builder.demo.texts import encode, first_end, token_ids
from builder.demo.world import BACKGROUNDS, COLOURS, POSITIONS, SHAPES, SIZES, STYLES

NONE = "none"
SINGLE = {"shape": SHAPES, "colour": COLOURS, "size": SIZES, "style": STYLES, "position": POSITIONS}
CLASSES: dict[str, tuple[str, ...]] = {
    **{name: (NONE, *values) for name, values in SINGLE.items()},
    **{f"{name}2": (NONE, *values) for name, values in SINGLE.items()},
    "background": (NONE, *COLOURS),
    "background2": (NONE, *COLOURS),
    "pattern": (NONE, *BACKGROUNDS),
}
BATCH = 96


class Readers(nn.Module):
    """One linear reader per attribute."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = nn.ModuleDict({name: nn.Linear(width, len(values)) for name, values in CLASSES.items()})

    def loss(self, vectors: torch.Tensor, labels: dict[str, torch.Tensor]) -> torch.Tensor:
        """Mean cross-entropy over the attributes for vectors (n, width)."""
        return torch.stack([F.cross_entropy(head(vectors), labels[name]) for name, head in self.heads.items()]).mean()

    def right(self, vectors: torch.Tensor, labels: dict[str, torch.Tensor]) -> float:
        """Share of attributes named correctly."""
        hits = [(head(vectors).argmax(-1) == labels[name]).float().mean() for name, head in self.heads.items()]
        return float(torch.stack(hits).mean())


def labels_of(examples: list[Example]) -> dict[str, torch.Tensor]:
    """Class numbers per attribute, each (n,)."""
    return {
        name: torch.tensor([values.index(example.named.get(name, NONE)) for example in examples])
        for name, values in CLASSES.items()
    }


def random_examples(rng: random.Random, count: int) -> tuple[list[Example], list[str]]:
    """Examples and their texts, a third of them wrapped in fillers."""
    examples = [fragment(rng) if rng.random() < 0.08 else sample(rng, 0.4) for _ in range(count)]
    return examples, [wrapped(rng, e.caption) if rng.random() < 0.35 else e.caption for e in examples]


def end_vectors(context: torch.Tensor, texts: list[str], rng: random.Random) -> torch.Tensor:
    """One context vector per text: at its first end token or at one of the pads behind it."""
    ends = first_end(token_ids(texts)[0]).tolist()
    positions = [end if rng.random() < 0.5 else rng.randint(end, context.shape[1] - 1) for end in ends]
    return context[torch.arange(len(context)), torch.tensor(positions)]


def train(networks: Networks, work: Path, steps: int, seed: int = 0, rate: float = 3e-3) -> None:
    """Train both encoders in place; continues from `work`'s checkpoint of this stage when there is one."""
    torch.manual_seed(seed)
    parts = nn.ModuleDict(
        {
            "text_1": networks.text_1,
            "text_2": networks.text_2,
            "pooled": Readers(POOLED),
            "context": Readers(WIDTH_1 + WIDTH_2),
            "context_1": Readers(WIDTH_1),
        }
    )
    optimiser = torch.optim.AdamW(parts.parameters(), lr=rate, weight_decay=0.01)
    checkpoint = Checkpoint(work / "text.pt", model=parts, optimiser=optimiser)
    began = time.monotonic()
    for step in range(checkpoint.load(), steps):
        set_rate(optimiser, rate * rate_factor(step, steps))
        values = _step(networks, parts, random.Random(f"text {seed} {step}"), optimiser)
        progress("text", step, steps, began, values)
        checkpoint.save_sometimes(step + 1)
    checkpoint.save(steps)


def _step(
    networks: Networks, parts: nn.ModuleDict, rng: random.Random, optimiser: torch.optim.Optimizer
) -> dict[str, float]:
    examples, texts = random_examples(rng, BATCH)
    labels = labels_of(examples)
    context, pooled = encode(networks.text_1, networks.text_2, texts)
    _, noise = encode(networks.text_1, networks.text_2, [filler(rng) for _ in range(BATCH // 3)])
    summed = pooled + F.pad(noise, (0, 0, 0, BATCH - len(noise)))
    vectors = end_vectors(context, texts, rng)
    # A filler alone should be close to nothing in the pooled sum.
    quiet = noise.square().mean()
    loss = parts["pooled"].loss(summed, labels) + parts["context"].loss(vectors, labels)
    loss = loss + 0.5 * parts["context_1"].loss(vectors[:, :WIDTH_1], labels) + 0.05 * quiet
    optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(parts.parameters(), 1.0)
    optimiser.step()
    return {
        "loss": loss.item(),
        "pooled_right": parts["pooled"].right(summed, labels),
        "context_right": parts["context"].right(vectors, labels),
        "filler": quiet.item(),
        "pooled_size": pooled.detach().square().mean().item(),
    }
