"""Command line of the demo bundle: `python -m builder demo create|train|score|grid`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from builder.demo import bundle, parts, stages, steering, train_checker
from builder.demo.grid import grid
from builder.demo.networks import create
from builder.demo.sampling import EXTREME_SPEED, LIGHTNING, SPEED, Mode
from builder.demo.score import held_out, score

MODES: dict[str, Mode] = {"speed": SPEED, "extreme-speed": EXTREME_SPEED, "lightning": LIGHTNING}


def parser() -> argparse.ArgumentParser:
    """The argument parser with all subcommands."""
    root = argparse.ArgumentParser(prog="builder demo", description="Make, train and judge the demo bundle.")
    commands = root.add_subparsers(dest="command", required=True)
    _create(commands.add_parser("create", help="write a bundle with random weights"))
    _train(commands.add_parser("train", help="run or resume the training, then write the bundle"))
    _score(commands.add_parser("score", help="measure how well held-out captions are followed"))
    _score_checker(commands.add_parser("score-checker", help="measure the safety checker on held-out pictures"))
    _grid(commands.add_parser("grid", help="write a picture grid"))
    parts.register(commands)
    steering.register(commands)
    return root


def _create(command: argparse.ArgumentParser) -> None:
    command.add_argument("--out", type=Path, default=bundle.FOLDER)
    command.add_argument("--seed", type=int, default=0)
    command.set_defaults(run=_run_create)


def _train(command: argparse.ArgumentParser) -> None:
    plan = stages.Plan()
    command.add_argument("--work", type=Path, default=stages.WORK, help="checkpoints; an earlier run is resumed")
    command.add_argument("--out", type=Path, default=bundle.FOLDER)
    command.add_argument("--text-steps", type=int, default=plan.text)
    command.add_argument("--vae-steps", type=int, default=plan.vae)
    command.add_argument("--unet-steps", type=int, default=plan.unet)
    command.add_argument("--lora-steps", type=int, default=plan.loras)
    command.add_argument("--checker-steps", type=int, default=plan.checker)
    command.add_argument("--until", type=int, help="stop the UNet's training after this step, and train no more parts")
    command.add_argument("--seed", type=int, default=plan.seed)
    command.add_argument("--device", default=plan.device, help="of the UNet's and the LoRAs' training: cpu or cuda")
    command.add_argument("--scale", type=int, default=plan.scale, help="times the pictures in a batch of the UNet's")
    command.add_argument("--workers", type=int, default=plan.workers, help="processes that draw these pictures")
    command.add_argument("--start", type=Path, help="a bundle to go on from: only its UNet and what follows is trained")
    command.add_argument("--begin", type=float, default=plan.begin, help="part of the curriculum to go on from, 0 to 1")
    command.add_argument("--rate", type=float, default=plan.rate, help="share of the usual rates to go on with, 0 to 1")
    command.set_defaults(run=_run_train)


def _score(command: argparse.ArgumentParser) -> None:
    command.add_argument("--bundle", type=Path, default=bundle.FOLDER)
    command.add_argument("--captions", type=int, default=300)
    command.add_argument("--seeds", type=int, default=2)
    command.add_argument("--plain", action="store_true", help="plain sentences only, not the whole grammar")
    _picture_options(command)
    command.set_defaults(run=_run_score)


def _score_checker(command: argparse.ArgumentParser) -> None:
    command.add_argument("--bundle", type=Path, default=bundle.FOLDER)
    command.add_argument("--pictures", type=int, default=1000)
    command.set_defaults(run=_run_score_checker)


def _grid(command: argparse.ArgumentParser) -> None:
    command.add_argument("--bundle", type=Path, default=bundle.FOLDER)
    command.add_argument("--out", type=Path, default=Path("demo-grid.png"))
    command.add_argument("--seed", type=int, default=1)
    _picture_options(command)
    command.set_defaults(run=_run_grid)


def _picture_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--width", type=int, default=512)
    command.add_argument("--height", type=int, default=512)
    command.add_argument("--mode", choices=tuple(MODES), default="speed")


def _run_create(options: argparse.Namespace) -> None:
    bundle.write(create(options.seed), options.out)
    print(f"{options.out}: {bundle.size(options.out)} bytes")


def _run_train(options: argparse.Namespace) -> None:
    steps = (options.text_steps, options.vae_steps, options.unet_steps, options.lora_steps, options.checker_steps)
    where = (options.device, options.scale, options.workers)
    plan = stages.Plan(*steps, options.seed, *where, options.start, options.begin, options.rate)
    networks = stages.train(plan, options.work, options.until)
    bundle.write(networks, options.out)
    if options.until is None:
        bundle.write_loras(stages.loras(networks, plan, options.work), options.out)
        bundle.write_safety_checker(train_checker.train(options.work, plan.checker, plan.seed), options.out)
    print(f"{options.out}: {bundle.size(options.out)} bytes")


def _run_score(options: argparse.Namespace) -> None:
    networks = bundle.read_for(MODES[options.mode], options.bundle)
    examples = held_out(options.captions, options.plain)
    result = score(networks, examples, options.width, options.height, options.seeds, MODES[options.mode])
    print(json.dumps({name: round(share, 3) for name, share in result.shares().items()}, indent=2))


def _run_score_checker(options: argparse.Namespace) -> None:
    alarms = train_checker.measure(*bundle.read_safety_checker(options.bundle), options.pictures)
    print(json.dumps({"recall": alarms.recall, "false alarms": alarms.false_alarms}, indent=2))


def _run_grid(options: argparse.Namespace) -> None:
    networks = bundle.read_for(MODES[options.mode], options.bundle)
    grid(networks, options.width, options.height, options.seed, MODES[options.mode]).save(options.out)


def main(argv: list[str]) -> int:
    """Run one subcommand; returns the exit code."""
    options = parser().parse_args(argv)
    options.run(options)
    return 0
