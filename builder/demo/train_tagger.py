"""Trains the tagger: a small convolutional network, stored as ONNX with the inputs and outputs of WD14's taggers.

Input [1, side, side, 3], BGR in 0..255; output [1, tags], probabilities in the order of the table beside it.
"""

from __future__ import annotations

import csv
import random
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean

import onnxruntime
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from builder.demo.captions import Example
from builder.demo.checkpoints import Checkpoint, progress, rate_factor, set_rate
from builder.demo.described import held_out, kind_number, of_owners, pictures, random_examples, views
from builder.demo.world import BACKGROUNDS, COLOURS, SHAPES, STYLES, Scene

NETWORK = "clip_vision/wd-v1-4-moat-tagger-v2.onnx"
TABLE = "clip_vision/wd-v1-4-moat-tagger-v2.csv"

RATING, GENERAL = 9, 0
RATINGS = ("general", "sensitive", "questionable", "explicit")
TAGS = (
    *(f"{colour}_{shape}" for colour in COLOURS for shape in SHAPES),
    *(f"{colour}_background" for colour in COLOURS),
    *(f"{kind}_background" for kind in BACKGROUNDS if kind != "plain"),
    *(style for style in STYLES if style != "flat"),
)
ROWS = (*RATINGS, *TAGS)
SHAPE_TAGS = {tag for tag in TAGS if tag.rpartition("_")[2] in SHAPES}

Recogniser = Callable[[Tensor], Tensor]
"""uint8 RGB (n, side, side, 3) -> probabilities (n, rows)."""

GROUND_TAGS = TAGS[len(COLOURS) * len(SHAPES) :]

SIDE, PATCH = 48, 12
GRID = SIDE // PATCH
CHANNELS = 112
BATCH = 64
BACKGROUND_WEIGHT = 0.2
NOWHERE = -100
THRESHOLD = 0.35


class Tagger(nn.Module):
    """Pictures (n, 48, 48, 3), BGR in 0..255, to probabilities (n, rows of the table).

    It says for each field of the picture which kind of shape is there and of which colour; a shape has its tag when
    some field is sure of both.
    """

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, CHANNELS, PATCH, stride=PATCH)
        self.around = nn.ModuleList(nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1) for _ in range(2))
        self.kinds = nn.Conv2d(CHANNELS, 1 + len(SHAPES), 1)
        self.colours = nn.Conv2d(CHANNELS, len(COLOURS), 1)
        self.ground = nn.Linear(CHANNELS, len(RATINGS) + len(GROUND_TAGS))

    def read(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits: kinds (n, 7, 4, 4), the first none; colours (n, 12, 4, 4); ratings and background (n, rest)."""
        state = self.patches(pictures.permute(0, 3, 1, 2) / 127.5 - 1).relu()
        for layer in self.around:
            state = layer(state).relu()
        return self.kinds(state), self.colours(state), self.ground(state.mean(dim=(2, 3)))

    def forward(self, pictures: Tensor) -> Tensor:
        kinds, colours, ground = self.read(pictures)
        sure = colours.softmax(1).flatten(2)[:, :, None] * kinds.softmax(1)[:, 1:].flatten(2)[:, None]
        rest = ground.sigmoid()
        ratings, others = rest[:, : len(RATINGS)], rest[:, len(RATINGS) :]
        return torch.cat((ratings, sure.flatten(1, 2).amax(2), others), dim=1)


def create(seed: int) -> Tagger:
    """A network with random weights."""
    torch.manual_seed(seed)
    return Tagger()


def tags_of(scene: Scene) -> set[str]:
    """The tags that are true of a scene."""
    ground = scene.background
    colours = {ground.colour, ground.second or ground.colour}
    found = {f"{colour}_background" for colour in colours} | {f"{ground.kind}_background"}
    found |= {f"{shape.colour}_{shape.kind}" for shape in scene.shapes} | {shape.style for shape in scene.shapes}
    return found & {*TAGS}


def losses(network: Tagger, pixels: Tensor, places: Tensor, examples: list[Example]) -> dict[str, Tensor]:
    """Mean cross-entropies of what the fields show, and of the tags of the background."""
    kinds, colours, ground = network.read(as_input(pixels))
    weights = torch.tensor([BACKGROUND_WEIGHT] + [1.0] * len(SHAPES))
    names = tuple(COLOURS)
    coloured = of_owners(places, examples, lambda shape: names.index(shape.colour), none=NOWHERE)
    return {
        "kinds": cross_entropy(kinds, of_owners(places, examples, kind_number, none=0), weights),
        "colours": cross_entropy(colours, coloured, ignore_index=NOWHERE),
        "ground": 3 * binary_cross_entropy_with_logits(ground, ground_targets(examples)),
    }


def ground_targets(examples: list[Example]) -> Tensor:
    """1 for what is true of ratings and background. Every drawn picture is of the rating "general"."""
    truths = [{RATINGS[0], *tags_of(example.scene)} for example in examples]
    return torch.tensor([[float(row in true) for row in (*RATINGS, *GROUND_TAGS)] for true in truths])


def as_input(pixels: Tensor) -> Tensor:
    """uint8 RGB (n, h, w, 3) as the network takes it."""
    return pixels.flip(-1).float()


def train(work: Path, steps: int, seed: int = 0, until: int | None = None, rate: float = 2e-3) -> Tagger:
    """Train up to step `until` of `steps`; goes on from `work`'s checkpoint of this stage when there is one."""
    network = create(seed)
    optimiser = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.01)
    checkpoint = Checkpoint(work / "tagger.pt", model=network, optimiser=optimiser)
    start = checkpoint.load()
    began = time.monotonic()
    end = steps if until is None else until
    for step in range(start, end):
        rng = random.Random(f"tagger {seed} {step}")
        examples = random_examples(rng, BATCH)
        parts = losses(network, *views(rng, examples, SIDE, GRID), examples)
        optimiser.zero_grad()
        sum(parts.values()).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        set_rate(optimiser, rate * rate_factor(step, steps))
        optimiser.step()
        progress("tagger", step, steps, began, {name: part.item() for name, part in parts.items()})
        checkpoint.save_sometimes(step + 1)
    checkpoint.save(max(start, end))
    return network.eval()


def write(network: Tagger, folder: Path) -> None:
    """Write the network, and the table of its outputs in the columns of WD14's, into a bundle."""
    # Imported here: only this command needs the package.
    from builder.demo.onnx_file import tagger_bytes

    (folder / NETWORK).parent.mkdir(parents=True, exist_ok=True)
    (folder / NETWORK).write_bytes(tagger_bytes(network, SIDE, len(RATINGS)))
    with (folder / TABLE).open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("tag_id", "name", "category", "count"))
        for number, row in enumerate(ROWS):
            table.writerow((number, row, RATING if row in RATINGS else GENERAL, 0))


def read(folder: Path) -> Recogniser:
    """The network of a bundle, as onnxruntime runs it."""
    session = onnxruntime.InferenceSession(folder / NETWORK, providers=["CPUExecutionProvider"])
    (taken,) = session.get_inputs()
    return lambda pixels: torch.from_numpy(session.run(None, {taken.name: as_input(pixels).numpy()})[0])


def score(recognise: Recogniser, count: int = 300) -> dict[str, float]:
    """Shares of held-out pictures whose shapes are tagged right with none invented, and whose tags are all right.

    For scenes of the whole grammar, for those of them with one shape, and for plain sentences.
    """
    scores: dict[str, float] = {}
    for group, examples in held_out(count).items():
        likely = recognise(pictures(random.Random("spoilt"), examples, SIDE)) > THRESHOLD
        found = [{tag for tag, on in zip(ROWS, row, strict=True) if on} & {*TAGS} for row in likely.tolist()]
        true = [tags_of(example.scene) for example in examples]
        right = [own & SHAPE_TAGS == wanted & SHAPE_TAGS for own, wanted in zip(found, true, strict=True)]
        exact = [own == wanted for own, wanted in zip(found, true, strict=True)]
        scores |= {f"colour and shape, {group}": mean(map(float, right)), f"all tags, {group}": mean(map(float, exact))}
    return scores
