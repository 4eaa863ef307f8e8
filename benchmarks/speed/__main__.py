"""`python -m benchmarks.speed [--checkpoint PATH] [--device cuda] [--side 1024]`: the engine beside its bare UNet.

Both take turns in one process on the same weights: a step of the engine (guidance with sharpness, dpmpp_2m_sde_gpu,
the whole loop) and one call of the UNet with the batch of two that such a step needs. The ratio of their quickest
turns is what Fooocus's recipe costs. Then whole pictures, and on a GPU the most memory they took.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from handler.engine import device as devices
from handler.engine.engine import WARM_UP, Engine
from handler.models_folders import DEMO_BUNDLE, DEMO_CHECKPOINT
from handler.plan.plan import Plan, SamplingPlan
from handler.plan.sigmas import schedule, sigma_range
from schemas.enums import Sampler, Scheduler

STEPS = 10
GIB = 2**30


def speed_plan(side: int, steps: int, cfg: float) -> Plan:
    """A plain picture of a square, on Karras's noise levels."""
    sampler, scheduler = Sampler.DPMPP_2M_SDE_GPU, Scheduler.KARRAS
    sigmas = schedule(scheduler, steps, 1.0, sampler=sampler)
    sampling = SamplingPlan(sampler, scheduler, steps, sigmas, *sigma_range(sigmas), 1.0)
    guidance = replace(WARM_UP.guidance, cfg=cfg)
    return replace(WARM_UP, width=side, height=side, guidance=guidance, sampling=sampling, check_safety=False)


def wait(where: torch.device) -> None:
    """Until the device has done what it was asked."""
    if where.type == "cuda":
        torch.cuda.synchronize(where)


def step_seconds(engine: Engine, plan: Plan, where: torch.device) -> float:
    """Mean seconds of a step after the first."""
    times: list[float] = []

    def note(step: object) -> None:
        wait(where)
        times.append(time.perf_counter())

    for _ in engine.render(plan, note):
        pass
    return (times[-1] - times[0]) / (len(times) - 1)


@torch.inference_mode()
def call_seconds(engine: Engine, side: int, where: torch.device) -> float:
    """Mean seconds of one bare call of the UNet with a batch of two."""
    unet = engine._model.unet
    width = unet.config.projection_class_embeddings_input_dim - 6 * unet.config.addition_time_embed_dim
    kind = {"device": where, "dtype": unet.dtype}
    noisy = torch.randn(2, 4, side // 8, side // 8, **kind)
    context = torch.randn(2, 77, unet.config.cross_attention_dim, **kind)
    ids = torch.tensor([[side, side, 0, 0, side, side]] * 2, **kind)
    added = {"text_embeds": torch.randn(2, width, **kind), "time_ids": ids}

    def call() -> None:
        unet(noisy, torch.tensor([500.0, 500.0], device=where), context, added_cond_kwargs=added, return_dict=False)

    call()
    return mean_seconds(call, where)


def mean_seconds(call: Callable[[], object], where: torch.device) -> float:
    """Of `STEPS` calls."""
    wait(where)
    began = time.perf_counter()
    for _ in range(STEPS):
        call()
    wait(where)
    return (time.perf_counter() - began) / STEPS


def picture_row(engine: Engine, plan: Plan, where: torch.device) -> str:
    """Seconds of one whole picture, and what it took of a GPU's memory."""
    if where.type == "cuda":
        torch.cuda.reset_peak_memory_stats(where)
    began = time.perf_counter()
    for _ in engine.render(plan, lambda step: None):
        pass
    wait(where)
    row = f"{plan.sampling.steps} steps, guidance {plan.guidance.cfg:g}: {time.perf_counter() - began:.2f} s"
    if where.type == "cuda":
        row += f", at most {torch.cuda.max_memory_allocated(where) / GIB:.1f} GiB"
    return row


def main(argv: list[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    ask = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    ask.add_argument("--checkpoint", type=Path, default=DEMO_CHECKPOINT)
    ask.add_argument("--device", default="auto")
    ask.add_argument("--side", type=int, default=1024, help="of the square pictures, in pixels")
    ask.add_argument("--rounds", type=int, default=3)
    options = ask.parse_args(argv)
    where = devices.choose(options.device)
    roots = (options.checkpoint.parents[1], DEMO_BUNDLE)
    began = time.perf_counter()
    engine = Engine.load(options.checkpoint, roots, options.device, check_safety=False)
    wait(where)
    print(f"{options.checkpoint.name} on {where}, {options.side}x{options.side}")
    print(f"loaded in {time.perf_counter() - began:.2f} s")
    plan = speed_plan(options.side, STEPS, 4.0)
    step_seconds(engine, plan, where)
    turns = [
        (step_seconds(engine, plan, where), call_seconds(engine, options.side, where)) for _ in range(options.rounds)
    ]
    step, call = (min(turn) for turn in zip(*turns, strict=True))
    print(f"a step of the engine {step * 1000:.1f} ms, its UNet alone {call * 1000:.1f} ms: ratio {step / call:.2f}")
    for steps, cfg in ((30, 4.0), (8, 1.0)):
        print(picture_row(engine, speed_plan(options.side, steps, cfg), where))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
