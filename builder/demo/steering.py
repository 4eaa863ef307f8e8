"""Commands for what is done with a picture: training of what steers the finished UNet, and the features' scores."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from builder.demo import score_features, showcase, train_control, train_ip_adapter
from builder.demo.bundle import FOLDER, read
from builder.demo.image_prompts import write_adapter, write_encoder, write_negative
from builder.demo.networks import Networks
from builder.demo.parts import training_command
from builder.demo.worker import running

CONTROL_STEPS, IMAGE_PROMPT_STEPS, FACE_STEPS = 1200, 6000, 1300


def register(commands: Any) -> None:
    """Add the commands to the subparsers of `builder demo`."""
    control = _on_a_device(training_command(commands, "train-control", "train the Control-LoRAs", _control))
    control.add_argument("--steps", type=int, default=CONTROL_STEPS)
    control.add_argument("--kind", choices=tuple(train_control.KINDS), help="only this one")
    prompts = _on_a_device(
        training_command(commands, "train-image-prompts", "train what image prompts and faces need", _prompts)
    )
    prompts.add_argument("--steps", type=int, default=IMAGE_PROMPT_STEPS)
    prompts.add_argument("--face-steps", type=int, default=FACE_STEPS)
    features = commands.add_parser("score-features", help="measure what a whole worker does with pictures")
    features.add_argument("--bundle", type=Path, default=FOLDER)
    features.add_argument("--pictures", type=int, default=30, help="per feature")
    features.add_argument("--feature", choices=tuple(score_features.FEATURES), help="only this one")
    features.add_argument("--performance", default="Extreme Speed")
    features.set_defaults(run=_score_features)
    pictures = commands.add_parser("showcase", help="write one picture of everything a worker does with pictures")
    pictures.add_argument("--bundle", type=Path, default=FOLDER)
    pictures.add_argument("--out", type=Path, default=Path("features.png"))
    pictures.add_argument("--performance", default="Extreme Speed")
    pictures.set_defaults(run=_showcase)


def _on_a_device(command: argparse.ArgumentParser) -> argparse.ArgumentParser:
    command.add_argument("--device", default="cpu", help="cpu or cuda")
    return command


def _networks(options: argparse.Namespace) -> Networks:
    networks = read(options.out)
    for module in networks.modules().values():
        module.to(options.device)
    return networks


def _control(options: argparse.Namespace) -> None:
    networks = _networks(options)
    for kind in [options.kind] if options.kind else train_control.KINDS:
        trained = train_control.train(networks, kind, options.work, options.steps, options.seed)
        train_control.write(trained, kind, options.out)


def _prompts(options: argparse.Namespace) -> None:
    networks = _networks(options)
    prompts = train_ip_adapter.train(networks, options.work, options.steps, options.seed)
    faces = train_ip_adapter.train_faces(networks, prompts, options.work, options.face_steps, options.seed)
    write_encoder(prompts.encoder, options.out)
    write_negative(prompts.negative, options.out)
    write_adapter(prompts.adapter, "plus", options.out)
    write_adapter(faces.adapter, "plus-face", options.out)


def _score_features(options: argparse.Namespace) -> None:
    settings = {"performance": options.performance, "styles": [], "loras": []}
    names = [options.feature] if options.feature else list(score_features.FEATURES)
    with running(options.bundle) as worker:
        for name in names:
            found = score_features.score(worker, name, options.pictures, **settings)
            print(json.dumps({name: found}), flush=True)


def _showcase(options: argparse.Namespace) -> None:
    with running(options.bundle) as worker:
        showcase.sheet(worker, options.performance).save(options.out)
