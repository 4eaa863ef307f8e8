"""Inpainting: the network made for it, what it is shown, and runs that keep a part of a picture."""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from benchmarks.parity.areas.lora import LOC, weight
from benchmarks.parity.areas.samplers import is_run
from benchmarks.parity.kind import Kind, Results
from benchmarks.parity.networks import Networks
from benchmarks.parity.outcome import Omitted
from benchmarks.parity.runs import CPU, Log, WatchedDenoiser, results_of, run_noise, sampling_plan, watched_stages
from benchmarks.parity.vectors import EXPECTED, INPUT, Case
from handler.engine.inpaint.latents import encode_masked, latent_mask
from handler.engine.inpaint.mixing import Repainted
from handler.engine.inpaint.network import InpaintNetworks, Patch, fed, head_feature, unpickled_patch
from handler.engine.lora import LoraStack
from handler.engine.lora.file import FileKey
from handler.engine.pickled import load_pickled
from handler.engine.sampling.latents import to_sampler
from handler.engine.sampling.loop import sample
from handler.engine.sampling.refining import Around, Handover, hand_over, second_noise
from handler.engine.sampling.samplers.run import Denoise
from handler.engine.shelf import Shelf
from handler.engine.takeover import Undressed
from handler.plan.plan import LoraPlan
from schemas.enums import RefinerSwapMethod

PATCH_ENDING = ".patch"


class RecordedNetworks(InpaintNetworks):
    """Takes patches that no catalogue knows."""

    def _read(self, path: Path, key: FileKey) -> Patch:
        return read_unknown_patch(path)


def read_unknown_patch(path: Path) -> Patch:
    """A pickled patch of whatever hash."""
    return unpickled_patch(load_pickled(path, hashlib.sha256(path.read_bytes()).hexdigest()), path.name)


def patched(case: Case, networks: Networks, name: str | None) -> AbstractContextManager[Any]:
    """The base model with a patch, or as it is."""
    if name is None:
        return ExitStack()
    return RecordedNetworks(networks.model, Shelf(0)).patched((case.folder / name).resolve())


def prediction(unet: UNet2DConditionModel, case: Case) -> Tensor:
    given = case.tensors
    added = {"text_embeds": given["pooled"], "time_ids": given["time_ids"]}
    return unet(given["x"], given["timestep"], given["context"], added_cond_kwargs=added).sample


def merged(case: Case, networks: Networks) -> Results:
    (name,) = (name for name in case.files(INPUT) if name.endswith(PATCH_ENDING))
    with patched(case, networks, name):
        weights = [name for name in case.names(EXPECTED) if name.startswith("unet.")]
        found = {name: weight(networks.model, name).clone() for name in weights}
        return found | {"eps": prediction(networks.model.unet, case)}


def with_lora(case: Case, networks: Networks) -> Results:
    """The synthetic refiner is the base network without the patch."""
    unet = networks.model.unet
    files = [LoraPlan(case.folder / lora["file"], lora["weight"], LOC) for lora in case.parameters["loras"]]
    with LoraStack(networks.model).applied(files):
        bare = prediction(unet, case)
        with patched(case, networks, case.parameters["patch"]):
            return {"eps_base": prediction(unet, case), "eps_synthetic_refiner": bare}


def feature(case: Case) -> Tensor:
    given = case.tensors
    return head_feature(given["head"], given["latent_masked"], given["latent_mask"])


def head(case: Case, networks: Networks) -> Results:
    with fed(networks.model.unet, feature(case)):
        return {"feature": feature(case), "eps_with_head": prediction(networks.model.unet, case)}


def masked(case: Case, networks: Networks) -> Results:
    mask = case.tensors["mask"][0]
    (name,) = case.files(INPUT)
    noise = case.tensors["posterior_noise"]
    encode = partial(encode_masked, networks.model.vae, case.picture(name), mask)
    mean, one = encode(torch.zeros), encode(torch.ones)
    return {
        "latent": encode(lambda shape: noise),
        "latent_mask": latent_mask(mask),
        "posterior_mean": mean,
        "posterior_logvar": 2.0 * (one - mean).log(),
    }


def run(case: Case, networks: Networks) -> Results:
    given, wanted = case.tensors, case.parameters
    log, plan, unet = Log(), sampling_plan(case), networks.model.unet
    latent = given.get(wanted["initial_latent"])
    begins = Repainted(latent, given["latent_fill"], given["latent_mask"])
    to_units = partial(to_sampler, scheduler=plan.scheduler)
    states: list[Tensor] = []
    first, second = (noted(begins.around(wanted["seed"] + later, to_units), states) for later in (0, 1))
    noise = run_noise(case, plan)
    with ExitStack() as patches, watched_stages(plan.sampler, log):
        patches.enter_context(patched(case, networks, wanted["inpaint_patch"]))
        if wanted["head"]:
            patches.enter_context(fed(unet, feature(case)))
        base = WatchedDenoiser(case, unet, log)
        if wanted["switch"] is None:
            finished = sample(first(base), plan, noise, log.on_step, latent)
        else:
            other = _other(case, networks, log, patches)
            again = second_noise(plan, [wanted["seed"]], *wanted["latent_size_hw"], CPU, noise)
            handover = Handover(
                base, other, wanted["switch"], plan, noise, log.on_step, latent, plan.denoise, first, second
            )
            finished = hand_over(handover, RefinerSwapMethod(wanted["swap_method"]), again)
    results = results_of(case, log, plan, finished)
    return results if isinstance(results["step_x"], Omitted) else results | {"step_x": torch.cat(states)}


def noted(around: Around, states: list[Tensor]) -> Around:
    """Notes what a sampler gives, before the kept part is put into it."""

    def put(denoise: Denoise) -> Denoise:
        inner = around(denoise)

        def call(x: Tensor, sigma: float) -> Tensor:
            states.append(x.clone())
            return inner(x, sigma)

        return call

    return put


def _other(case: Case, networks: Networks, log: Log, patches: ExitStack) -> Any:
    if not case.parameters["synthetic_refiner"]:
        return WatchedDenoiser(case, networks.refiner, log, by_refiner=True)
    return Undressed(WatchedDenoiser(case, networks.model.unet, log, by_refiner=True), patches)


KINDS = (
    Kind(lambda case: is_run(case) and case.has(INPUT, "latent_fill", "latent_mask"), run),
    Kind(lambda case: case.has(EXPECTED, "feature", "eps_with_head"), head),
    Kind(lambda case: case.has(EXPECTED, "latent", "latent_mask", "posterior_mean"), masked),
    Kind(lambda case: case.has(EXPECTED, "eps_base", "eps_synthetic_refiner"), with_lora),
    Kind(lambda case: case.has(EXPECTED, "eps") and any(n.endswith(PATCH_ENDING) for n in case.files(INPUT)), merged),
)
