"""Complete requests: from the request's fields to the picture and its log entries, by the worker's own engine."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.parity.areas.text import expand
from benchmarks.parity.kind import Kind, Results
from benchmarks.parity.networks import BASE, Networks
from benchmarks.parity.outcome import Omitted
from benchmarks.parity.vectors import Case
from handler.engine.engine import Engine, Prompts
from handler.engine.preview import Preview
from handler.engine.refiner.refiner import Finished
from handler.metadata import entries
from handler.plan.build import PlanSources, build_plan
from handler.plan.plan import Plan
from handler.plan.prompt.process import PromptSources
from handler.plan.prompt.styles import load_styles
from handler.plan.prompt.wildcards import Wildcards
from schemas.advanced import Advanced
from schemas.enums import ControlType, OutputFormat, Performance, RefinerSwapMethod, Sampler, Scheduler
from schemas.errors import Location
from schemas.parts import AdvancedLora, FreeU, ImagePrompt
from schemas.request import GenerationRequest, ImagePromptRequest, TextToImageRequest

OFF = -1
NONE = "None"


class WatchedEngine(Engine):
    """Keeps what a job is made of on its way to the picture."""

    prompts: Prompts
    latents: list[Tensor]

    def _encode(self, plan: Plan, *args: Any) -> Prompts:
        self.prompts = super()._encode(plan, *args)
        return self.prompts

    def _sample(self, *args: Any, **options: Any) -> Finished:
        finished = super()._sample(*args, **options)
        self.latents.append(finished.latent.clone())
        return finished


def request_of(case: Case) -> GenerationRequest:
    """Built unchecked: the vectors use styles of their own, and sizes that are no multiples of 8."""
    asked = case.parameters["request"]
    positive, negative, end = asked["adm"]
    advanced = Advanced.model_construct(
        performance=Performance(asked["performance"]),
        num_images=asked["image_number"],
        loras=tuple(AdvancedLora(path=name, scale=scale) for used, name, scale in asked["loras"] if used),
        overwrite_width=_given(asked["ov_w"]),
        overwrite_height=_given(asked["ov_h"]),
        overwrite_step=_given(asked["ov_step"]),
        overwrite_switch=_given(asked["ov_switch"]),
        refiner_model=None if asked["refiner"] == NONE else asked["refiner"],
        refiner_swap_method=RefinerSwapMethod(asked["swap"]),
        sampler_name=Sampler(asked["sampler"]),
        scheduler_name=Scheduler(asked["scheduler"]),
        adm_scaler_positive=positive,
        adm_scaler_negative=negative,
        adm_scaler_end=end,
        adaptive_cfg=asked["adaptive"],
        clip_skip=asked["clip_skip"],
        freeu=asked["freeu"] and FreeU(**dict(zip(("b1", "b2", "s1", "s2"), asked["freeu"], strict=True))),
        canny_low_threshold=asked["canny"][0],
        canny_high_threshold=asked["canny"][1],
        controlnet_softness=asked["softness"],
        skipping_cn_preprocessor=asked["skip_cn"],
        disable_seed_increment=asked["no_seed_inc"],
        read_wildcards_in_order=asked["in_order"],
    )
    slots = control_slots(case)
    kind = ImagePromptRequest if slots else TextToImageRequest
    return kind.model_construct(
        **slots,
        prompt=asked["prompt"],
        negative_prompt=asked["negative_prompt"],
        styles=tuple(asked["style_selections"]),
        guidance_scale=asked["cfg"],
        sharpness=asked["sharpness"],
        refiner_switch=asked["refiner_switch"],
        output_format=OutputFormat(asked["output_format"]),
        seed=asked["seed"],
        advanced=advanced,
    )


def control_slots(case: Case) -> dict[str, ImagePrompt]:
    """The image prompts of a request by their fields. A slot's picture is named as the case's file is."""
    controls = case.parameters["request"]["cn"] if case.parameters["request"]["use_image"] else []
    return {
        f"image_prompt_{index + 1}": ImagePrompt(
            type=ControlType(control["type"]),
            image_url=control["image"],
            stop_at=control["stop"],
            weight=control["weight"],
        )
        for index, control in enumerate(controls)
    }


def images_of(case: Case) -> dict[Location, np.ndarray]:
    """The pictures of a request by the fields that name them."""
    slots = control_slots(case)
    return {("body", name, "image_url"): case.picture(slot.image_url or "") for name, slot in slots.items()}


def _given(value: float) -> float | None:
    return None if value == OFF else value


def sources(case: Case, networks: Networks) -> PlanSources:
    """The set's own styles, wildcards and LoRAs."""
    assets = case.folder.parent / "assets"
    texts = case.root / "text"
    checkpoints = networks.models / "checkpoints"
    return PlanSources(
        prompts=PromptSources(
            load_styles(texts / "styles_loaded" / "styles"),
            expand,
            Wildcards.load(texts / "wildcards" / "wildcards"),
        ),
        lora_files=tuple(sorted(path.name for path in assets.glob("*.safetensors"))),
        find_lora=lambda name, loc: assets / name,
        allow_unchecked=True,
        base=checkpoints / BASE,
        find_checkpoint=lambda name, loc: networks.checkpoint(name),
        find_vae=lambda name, loc: networks.models / "vae" / name,
        find_inpaint_network=lambda engine, loc: (),
    )


def generation(case: Case, networks: Networks) -> Results:
    request = request_of(case)
    plan = build_plan(request, "", sources(case, networks), images_of(case))
    roots = (networks.with_controlnets() if plan.controls else networks.models,)
    engine = WatchedEngine(networks.model, None, Preview.load(networks.models, []), roots)
    engine.latents = []
    timesteps: list[float] = []
    with networks.told_timesteps(timesteps):
        pictures = [picture.pixels for picture in engine.render(plan, lambda step: None)]
    results: dict[str, Any] = {"eval_timestep": torch.tensor(timesteps)}
    for index, pixels in enumerate(pictures):
        results |= picture_results(plan, engine, index, pixels)
    return results | {"expected_json": {"log_entries": log_entries(case, plan)}}


def picture_results(plan: Plan, engine: WatchedEngine, index: int, pixels: np.ndarray) -> dict[str, Any]:
    results: dict[str, Any] = {
        f"final_latent_{index}": engine.latents[index],
        f"sigmas_{index}": torch.tensor(plan.sampling.sigmas),
        f"image_{index}.png": pixels,
    }
    for side in ("positive", "negative"):
        conditioning = getattr(engine.prompts, side)[index]
        used = side == "positive" or plan.guidance.cfg != 1
        nothing = Omitted("negative side of a run at CFG 1, which is never computed")
        results[f"{side}_cond_{index}"] = conditioning.cond if used else nothing
        results[f"{side}_pooled_{index}"] = conditioning.pooled if used else nothing
    return results


def log_entries(case: Case, plan: Plan) -> list[list[list[Any]]]:
    """Fooocus's entries have a label for people first, which this worker has no use for."""
    labels = {key: label for entry in case.expected_json["log_entries"] for label, key, _ in entry}
    return [
        [[labels.get(key), key, value] for key, value in entries(plan, image, BASE).items()] for image in plan.images
    ]


def _is_request(case: Case) -> bool:
    return "request" in case.parameters


KINDS = (
    Kind(lambda case: _is_request(case) and case.has("expected", "final_latent_0"), generation),
)
