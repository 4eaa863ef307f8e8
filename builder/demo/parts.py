"""Commands for the bundle's small parts beside the checkpoint: upscaler, captioner, tagger, LoRAs of style."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from builder.demo import score_words, train_captioner, train_tagger, train_upscaler
from builder.demo.bundle import FOLDER, read
from builder.demo.stages import WORK

UPSCALER_STEPS, CAPTIONER_STEPS, TAGGER_STEPS = 732, 450, 1000


def register(commands: Any) -> None:
    """Add the commands to the subparsers of `builder demo`."""
    upscaler = training_command(commands, "train-upscaler", "train or go on training the upscaler", _train_upscaler)
    upscaler.add_argument("--steps", type=int, default=UPSCALER_STEPS)
    describe = training_command(commands, "train-describe", "train captioner and tagger", _train_describe)
    describe.add_argument("--captioner-steps", type=int, default=CAPTIONER_STEPS)
    describe.add_argument("--tagger-steps", type=int, default=TAGGER_STEPS)
    score = commands.add_parser("score-parts", help="measure upscaler, captioner and tagger on held-out pictures")
    score.add_argument("--bundle", type=Path, default=FOLDER)
    score.add_argument("--pictures", type=int, default=300)
    score.set_defaults(run=_score)
    words = commands.add_parser("score-words", help="measure negative prompts and the style LoRAs")
    words.add_argument("--bundle", type=Path, default=FOLDER)
    words.add_argument("--side", type=int, default=512, help="width and height of the pictures in pixels")
    words.add_argument("--seeds", type=int, default=8, help="pictures per shape, and captions per style")
    words.set_defaults(run=_score_words)


def training_command(
    commands: Any, name: str, text: str, run: Callable[[argparse.Namespace], None]
) -> argparse.ArgumentParser:
    """Add a command that trains something, with the options that all of them have."""
    command: argparse.ArgumentParser = commands.add_parser(name, help=text)
    command.add_argument("--work", type=Path, default=WORK, help="checkpoints; an earlier run is resumed")
    command.add_argument("--out", type=Path, default=FOLDER)
    command.add_argument("--seed", type=int, default=0)
    command.set_defaults(run=run)
    return command


def _train_upscaler(options: argparse.Namespace) -> None:
    train_upscaler.write(train_upscaler.train(options.work, options.steps, options.seed), options.out)


def _train_describe(options: argparse.Namespace) -> None:
    captioner = train_captioner.train(options.work, options.captioner_steps, options.seed)
    train_captioner.write(captioner, options.out)
    tagger = train_tagger.train(options.work, options.tagger_steps, options.seed)
    train_tagger.write(tagger, options.out)


def _score_words(options: argparse.Namespace) -> None:
    networks = read(options.bundle)
    found = {
        "negative prompt": score_words.negatives(networks, options.side, options.seeds),
        "style LoRAs": score_words.styles(networks, options.side, options.seeds, options.bundle),
    }
    print(json.dumps(found, indent=2))


def _score(options: argparse.Namespace) -> None:
    found = {
        "upscaler": train_upscaler.score(train_upscaler.read(options.bundle)),
        "captioner": train_captioner.score(train_captioner.read(options.bundle), options.pictures),
        "tagger": train_tagger.score(train_tagger.read(options.bundle), options.pictures),
    }
    rounded = {part: {name: round(value, 3) for name, value in scores.items()} for part, scores in found.items()}
    print(json.dumps(rounded, indent=2))
