"""Whether a job has a refiner, which one, and when it takes over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from handler.plan.plan import RefinerPlan
from schemas.enums import FalRefiner
from schemas.errors import Location
from schemas.request import GenerationRequest

FindModel = Callable[[str, Location], Path]
"""(name; the field that named it) -> the installed file or folder, or raises InvalidInput."""


def plan_refiner(
    request: GenerationRequest, steps: int, base: Path, find_checkpoint: FindModel
) -> tuple[RefinerPlan, ...]:
    """The refiner of a job of so many steps; none where the request names none, or the base checkpoint itself.

    base: the base checkpoint. Raises InvalidInput for one that is not installed.
    """
    advanced = request.advanced
    name, loc = str(request.refiner_model), ("body", "refiner_model")
    if advanced.refiner_model is not None:
        name, loc = advanced.refiner_model, ("body", "advanced", "refiner_model")
    if name == FalRefiner.NONE:
        return ()
    path = find_checkpoint(name, loc)
    if path == base:
        return ()
    switch = advanced.overwrite_switch or switch_step(steps, request.refiner_switch)
    return (RefinerPlan(path, loc, advanced.refiner_swap_method, switch, advanced.overwrite_switch is not None),)


def switch_step(steps: int, share: float) -> int:
    """The step after which the refiner begins, `share` of the way.

    Of the steps that are run: Fooocus takes those of the performance mode even where a request overwrites them.
    """
    return round(steps * share)
