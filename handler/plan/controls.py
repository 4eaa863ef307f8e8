"""The pictures that guide a job's sampling."""

from __future__ import annotations

from handler.pixels.resize import three_channels
from handler.plan.images import Images, control_slots, goals
from handler.plan.plan import ControlPlan
from schemas.request import GenerationRequest


def plan_controls(request: GenerationRequest, images: Images) -> tuple[ControlPlan, ...]:
    """In the order of the slots; one of weight 0 guides nothing and is left out. Transparency shows white."""
    if not goals(request).controls:
        return ()
    advanced = request.advanced
    return tuple(
        ControlPlan(
            kind=slot.type,
            image=three_channels(images[loc]),
            weight=slot.weight,
            stop_at=slot.stop_at,
            skip_preprocessing=advanced.skipping_cn_preprocessor,
            canny_low=advanced.canny_low_threshold,
            canny_high=advanced.canny_high_threshold,
            softness=advanced.controlnet_softness,
            loc=loc,
        )
        for loc, slot in control_slots(request)
        if slot.weight > 0
    )
