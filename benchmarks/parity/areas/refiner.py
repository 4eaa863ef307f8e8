"""Refiners: runs of two networks, what the second is told of the text, and who works when."""

from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from benchmarks.parity.areas.samplers import is_run
from benchmarks.parity.kind import Kind, Results, has_rows_of
from benchmarks.parity.networks import Networks
from benchmarks.parity.outcome import Omitted, Share
from benchmarks.parity.runs import (
    CPU,
    Log,
    WatchedDenoiser,
    conditionings,
    results_of,
    run_noise,
    sampling_plan,
    watched_stages,
)
from benchmarks.parity.tolerance import rule_for, tensor_error
from benchmarks.parity.vectors import EXPECTED, Case
from handler.engine.lora.file import LoraFiles
from handler.engine.lora.stack import LoraStack
from handler.engine.preview import Preview
from handler.engine.refiner import kinds
from handler.engine.refiner.model import RefinerModel
from handler.engine.refiner.refiner import Refiner
from handler.engine.sampling.latents import start_scale, to_sampler
from handler.engine.sampling.refining import Course, Handover, own_vae_course, second_noise
from handler.engine.types import Conditioning
from handler.plan.model_sampling import model_sampling
from handler.plan.plan import SamplingPlan
from handler.plan.refiner import plan_refiner
from schemas.advanced import Advanced
from schemas.enums import RefinerSwapMethod
from schemas.request import TextToImageRequest

OFF = -1
NAMES = {"sdxl": kinds.SDXL, "sdxl_refiner": kinds.SDXL_REFINER, "sd15": kinds.SD15}
VAES = {
    Course.BOTH: ("base_vae", "refiner_vae"),
    Course.BASE_ONLY: ("base_vae", None),
    Course.REFINER_ONLY: ("refiner_vae", None),
}


def run(case: Case, networks: Networks) -> Results:
    """A case that records the numbers its networks were told has a network of the SDXL refiner's type."""
    aesthetic = "encoded_numbers" in case.parameters
    kind = kinds.SDXL_REFINER if aesthetic else kinds.SDXL
    base = networks.model
    unet = _told_five_numbers(networks.refiner) if aesthetic else networks.refiner
    model = RefinerModel("refiner", kind, unet, base.vae)
    refiner = Refiner(base, model, LoraStack(model, LoraFiles()), torch.clone, Preview.load(networks.models, []))
    log, plan = Log(), sampling_plan(case)
    positive, negative = (model.cut(side, base) for side in conditionings(case))
    noise = run_noise(case, plan)
    handover = Handover(
        base=WatchedDenoiser(case, base.unet, log),
        refiner=WatchedDenoiser(case, unet, log, (positive, negative), kind.describe, by_refiner=True),
        switch=case.parameters["switch"],
        plan=plan,
        noise=noise,
        on_step=log.on_step,
        latent=case.tensors.get("input_latent"),
    )
    second = second_noise(plan, [case.parameters["seed"]], *case.parameters["latent_size_hw"], CPU, noise)
    with watched_stages(plan.sampler, log):
        latent = refiner.finish(handover, RefinerSwapMethod(case.parameters.get("swap_method", "joint")), second).latent
    return results_of(case, log, plan, latent) | _second_start(case, log, plan)


def _told_five_numbers(refiner: UNet2DConditionModel) -> UNet2DConditionModel:
    """The tiny refiner without the columns of the sixth number, as the vectors' networks of that type are made."""
    unet = copy.deepcopy(refiner)
    labels = unet.add_embedding.linear_1
    labels.weight = nn.Parameter(labels.weight[:, : kinds.REFINER_LABELS].clone(), requires_grad=False)
    return unet


def _second_start(case: Case, log: Log, plan: SamplingPlan) -> dict[str, Any]:
    """Latent (in VAE units) and noise of the second walk are recorded apart; here they are together when it begins."""
    if "stage2_noise" not in case.names(EXPECTED) or len(log.stages) < 2:
        return {}
    x, sigmas = log.stages[1]
    scale = start_scale(sigmas[0], float(model_sampling(plan.scheduler).table[-1]))
    latent = to_sampler(case.tensors["stage2_latent_in"], plan.scheduler)
    recorded = latent + scale * case.tensors["stage2_noise"]
    share = Share(tensor_error(x, recorded, rule_for(case, "stage2_latent_in")))
    return {"stage2_noise": share, "stage2_latent_in": share}


def cut_text(case: Case, networks: Networks) -> Results:
    """The conditioning of a full-size model, at two of its tokens, cut for each kind of refiner."""
    given = case.tensors
    norm = nn.LayerNorm(len(given["final_layer_norm_weight"]))
    norm.load_state_dict({"weight": given["final_layer_norm_weight"], "bias": given["final_layer_norm_bias"]})
    base = SimpleNamespace(text_encoder=SimpleNamespace(final_layer_norm=norm))
    whole = Conditioning(given["cond_tokens"][None], torch.zeros(1, 1280))
    results: dict[str, Any] = {}
    for name in case.names(EXPECTED):
        kind, _, part = name.partition(".")
        if kind in NAMES:
            dim = int(given[f"{kind}.shape"][-1])
            results[name] = _part(part, NAMES[kind].cut(whole, base, dim), given[name])
        else:
            results[name] = Omitted("text cut where there is no refiner; here nothing is cut then")
    return results


def _part(part: str, cut: Conditioning, recorded: Tensor) -> Any:
    if part == "has_pooled":
        return torch.tensor(cut.pooled.numel() > 0).to(recorded.dtype)
    if part == "shape":
        return torch.tensor([1, int(recorded[1]), cut.cond.shape[-1]])
    return cut.cond[0, 0 if part == "cond_first_token" else -1]


def switches(case: Case, networks: Networks) -> Results:
    """Fooocus does not rescale the switch of an overwritten step count; here it is the intended one."""
    return {"expected_json": [row | _switch(row) for row in case.expected_json]}


def _switch(row: dict[str, Any]) -> dict[str, int]:
    steps = row["steps"] if row["overwrite_step"] == OFF else row["overwrite_step"]
    overwritten = None if row["overwrite_switch"] == OFF else row["overwrite_switch"]
    request = TextToImageRequest.model_construct(
        refiner_switch=row["refiner_switch"],
        advanced=Advanced.model_construct(refiner_model="refiner", overwrite_switch=overwritten),
    )
    (plan,) = plan_refiner(request, steps, Path("base"), lambda name, loc: Path(name))
    return {"result_steps": steps, "intended_switch": plan.switch}


def courses(case: Case, networks: Networks) -> Results:
    rows = []
    for row in case.expected_json:
        first, then = VAES[own_vae_course(row["steps"], row["switch"], row["denoise"])]
        rows.append(row | {"encode_vae": first, "swap_vae": then})
    return {"expected_json": rows}


KINDS = (
    Kind(lambda case: is_run(case) and "switch" in case.parameters, run),
    Kind(lambda case: case.has("input", "cond_tokens", "final_layer_norm_weight"), cut_text),
    Kind(lambda case: has_rows_of(case, "steps", "refiner_switch", "overwrite_step", "intended_switch"), switches),
    Kind(lambda case: has_rows_of(case, "steps", "switch", "denoise", "encode_vae", "swap_vae"), courses),
)
