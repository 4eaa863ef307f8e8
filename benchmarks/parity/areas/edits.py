"""Complete requests that repaint, vary or upscale a picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from safetensors.torch import save_file
from torch import Generator, Tensor

from benchmarks.parity.areas.end_to_end import (
    WatchedEngine,
    images_of,
    log_entries,
    picture_results,
    request_of,
    sources,
)
from benchmarks.parity.areas.esrgan import model_of_set
from benchmarks.parity.areas.inpaint import PATCH_ENDING, read_unknown_patch
from benchmarks.parity.kind import Kind, Results
from benchmarks.parity.networks import Networks
from benchmarks.parity.tolerance import error
from benchmarks.parity.vectors import EXPECTED, INPUT, Case, cases
from handler.engine.inpaint.network import HEAD
from handler.engine.preview import Preview
from handler.engine.shelf import Shelf
from handler.engine.start import Start
from handler.engine.starts import Starts
from handler.engine.step import OnStep
from handler.engine.upscaler import FOLDER as UPSCALERS
from handler.engine.upscaler import STEMS
from handler.engine.vae import Draw
from handler.plan.build import build_plan
from handler.plan.images import INPAINT_IMAGE, MASK_IMAGE, UOV_IMAGE
from handler.plan.inpaint import NetworkFiles
from handler.plan.plan import Plan
from schemas.enums import InpaintEngine, OutpaintSide, UovMethod
from schemas.errors import Location
from schemas.request import GenerationRequest, ImagePromptRequest, InpaintRequest, UpscaleOrVaryRequest

OFF = -1
REQUESTS = {"inpaint": InpaintRequest, "uov": UpscaleOrVaryRequest, "ip": ImagePromptRequest}
"""By the tab that is open."""
METHODS = {method.lower(): method for method in UovMethod}


class WatchedStarts(Starts):
    """Keeps what the last job began with, and takes the noise of the session the case was recorded in.

    Fooocus draws a posterior's noise from torch's global generator. A session's first request to upscale makes the
    upscaler's network, whose weights are drawn from there before they are read; no record says which request was.
    """

    start: Start

    def __init__(self, case: Case, networks: Networks) -> None:
        super().__init__(networks.model, (with_upscaler(case, networks),), Shelf(0), self._draw)
        self._case = case
        self._before = 0

    def of(self, plan: Plan, on_step: OnStep) -> Start:
        self.start = super().of(plan, on_step)
        if any(part.upscaled for part in (*plan.uov, *plan.inpaint)) and not self._fits():
            self._before = sum(weight.numel() for weight in self._upscaler().network.parameters())
            self.start = super().of(plan, on_step)
        return self.start

    def _draw(self) -> Draw:
        return recorded_draw(self._case, self._before)

    def _fits(self) -> bool:
        """Whether the job begins as the case says it did."""
        found = _parts(self._case, begun(self.start, self._model.vae))
        told = {*found} & {*self._case.names(EXPECTED)}
        return all(error(self._case, name, found[name]) <= 1.0 for name in told)


def edited_request(case: Case) -> GenerationRequest:
    asked, common = case.parameters["request"], dict(request_of(case))
    strengths = {
        "overwrite_vary_strength": _given(asked["ov_vary"]),
        "overwrite_upscale_strength": _given(asked["ov_up"]),
    }
    fields = common | {
        "advanced": common["advanced"].model_copy(update=strengths),
        "inpaint_image_url": asked["inpaint"],
        "mask_image_url": asked["inpaint"],
        "inpaint_additional_prompt": asked["inpaint_prompt"],
        "outpaint_selections": tuple(OutpaintSide(side) for side in asked["outpaint"]),
        "override_inpaint_options": True,
        "inpaint_disable_initial_latent": asked["no_init_latent"],
        "inpaint_engine": InpaintEngine(asked["engine"]),
        "inpaint_strength": asked["strength"],
        "inpaint_respective_field": asked["field"],
        "inpaint_erode_or_dilate": asked["erode"],
        "invert_mask": asked["invert"],
        "uov_image_url": asked["uov_image"],
        "uov_method": METHODS[asked["uov_method"].lower()],
        "mixing_image_prompt_and_inpaint": asked["mix_inp"],
        "mixing_image_prompt_and_vary_upscale": asked["mix_vu"],
    }
    model = REQUESTS[asked["tab"]]
    return model.model_construct(**{name: value for name, value in fields.items() if name in model.model_fields})


def _given(value: float) -> float | None:
    return None if value == OFF else value


def pictures(case: Case) -> dict[Location, np.ndarray]:
    """By the fields that name them; a mask is a brush's strokes."""
    names = {INPAINT_IMAGE: "input.png", UOV_IMAGE: "input.png", MASK_IMAGE: "mask.png"}
    found = {loc: case.picture(name) for loc, name in names.items() if name in case.files(INPUT)}
    if MASK_IMAGE in found:
        found[MASK_IMAGE] = np.repeat(found[MASK_IMAGE][:, :, None], 3, axis=2)
    return images_of(case) | found


def edited(case: Case, networks: Networks) -> Results:
    network = inpaint_network(case, networks)
    own = replace(sources(case, networks), find_inpaint_network=lambda engine, loc: network(engine))
    plan = build_plan(edited_request(case), "", own, pictures(case))
    roots = (with_upscaler(case, networks),)
    engine = WatchedEngine(networks.model, None, Preview.load(networks.models, []), roots)
    starts = WatchedStarts(case, networks)
    engine._starts = starts
    engine.latents = []
    timesteps: list[float] = []
    with networks.told_timesteps(timesteps):
        (picture,) = [picture.pixels for picture in engine.render(plan, lambda step: None)]
    results: dict[str, Any] = {"image_0.png": picture, "image_0_stride16": torch.tensor(picture[::16, ::16].copy())}
    if engine.latents:
        results |= picture_results(plan, engine, 0, picture) | {"eval_timestep": torch.tensor(timesteps)}
        results |= _parts(case, {"final": engine.latents[0], **begun(starts.start, networks.model.vae)})
    return results | {"expected_json": {"log_entries": log_entries(case, plan)}}


def begun(start: Start, vae: AutoencoderKL) -> dict[str, Tensor]:
    """What sampling began with, and what repainting kept."""
    beginning = start.beginning(vae)
    named = {"initial": beginning.latent, "fill": getattr(beginning, "kept", None)}
    named["mask"] = getattr(beginning, "mask", None)
    return {name: tensor for name, tensor in named.items() if tensor is not None}


def _parts(case: Case, latents: dict[str, Tensor]) -> dict[str, Any]:
    """Large latents are recorded by their values at some places, their shape, and mean and standard deviation."""
    names = {"final": "final_latent_0", "initial": "initial_latent_0", "fill": "latent_fill_0", "mask": "latent_mask_0"}
    results: dict[str, Any] = {}
    for key, latent in latents.items():
        name = names[key]
        results |= {name: latent, f"{name}_shape": torch.tensor(latent.shape)}
        results[f"{name}_mean_std"] = torch.stack([latent.double().mean(), latent.double().std()])
        if f"{name}_index" in case.tensors:
            results[f"{name}_values"] = latent.flatten()[case.tensors[f"{name}_index"]]
    return results


def recorded_draw(case: Case, before: int = 0) -> Draw:
    """What the original's global generator gave. before: how many uniform numbers it had given already."""
    generator = Generator().manual_seed(case.parameters["global_seed_before_request"])
    torch.empty(before).uniform_(generator=generator)
    return lambda shape: torch.randn(shape, generator=generator)


def with_upscaler(case: Case, networks: Networks) -> Path:
    """The models folder, with the set's upscaler."""
    path = networks.models / UPSCALERS / f"{STEMS[0]}.safetensors"
    if not path.exists():
        path.parent.mkdir()
        path.symlink_to(model_of_set(case))
    return networks.models


def inpaint_network(case: Case, networks: Networks) -> Callable[[InpaintEngine], NetworkFiles]:
    """Engine to files: those of the set's one head and one patch, as safetensors."""
    folder = networks.models / "inpaint"
    head, patch = folder / "head.safetensors", folder / "patch.safetensors"
    if not folder.exists():
        folder.mkdir()
        with_head = cases("inpaint", case.root, lambda other: other.has(INPUT, HEAD) and other.has(EXPECTED, "feature"))
        save_file({HEAD: with_head[0].tensors[HEAD]}, head)
        source = sorted((case.root / "inpaint").glob(f"*/*{PATCH_ENDING}"))[0]
        deltas = read_unknown_patch(source)
        save_file({name: delta.tensor(delta.values) for name, delta in deltas.items()}, patch)
    return lambda engine: () if engine is InpaintEngine.NONE else ((head, patch),)


def _edits(case: Case) -> bool:
    asked = case.parameters.get("request", {})
    return bool(asked.get("use_image") and (asked["uov_image"] or asked["inpaint"]))


KINDS = (Kind(_edits, edited),)
