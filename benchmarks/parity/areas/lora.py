"""LoRA files of every kind: merged weights, what the UNet then predicts and the encoders say."""

from __future__ import annotations

import tempfile
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from benchmarks.parity.areas.conditioning import encoded
from benchmarks.parity.kind import Kind, Results, has_rows_of
from benchmarks.parity.networks import Networks
from benchmarks.parity.vectors import EXPECTED, Case
from handler.engine.checkpoint import SdxlModel
from handler.engine.conditioning import Side
from handler.engine.ldm_keys import UNET_PREFIX, unet_places
from handler.engine.lora import LoraStack
from handler.engine.lora.file import read
from handler.plan.plan import LoraPlan

LOC = ("body", "loras")
CLIP_SKIP = 2
SAMPLE = ".every_97th"


def merged(case: Case, networks: Networks) -> Results:
    """Keys `unet.*` and `clip.*` are weights in LDM naming, whole or every 97th value."""
    model = networks.model
    files = [LoraPlan(case.folder / lora["file"], lora["weight"], LOC) for lora in case.parameters.get("loras", [])]
    with LoraStack(model).applied(files):
        results: dict[str, Any] = {"eps": _prediction(model, case)}
        text = encoded(networks.text_encoder(), Side((case.parameters["text"],), 1), CLIP_SKIP)
        results |= {f"text_{name}": value for name, value in text.items()}
        weights = [name for name in case.names(EXPECTED) if name.startswith(("unet.", "clip."))]
        return results | {name: weight(model, name).clone() for name in weights}


def _prediction(model: SdxlModel, case: Case) -> Tensor:
    given = case.tensors
    added = {"text_embeds": given["pooled"], "time_ids": given["time_ids"]}
    return model.unet(given["x"], given["timestep"], given["context"], added_cond_kwargs=added).sample


def weight(model: SdxlModel, name: str) -> Tensor:
    """The weight a vector's name stands for, whole or every 97th value."""
    network, _, key = name.removesuffix(SAMPLE).partition(".")
    if network == "unet":
        names = {place.name: ours for ours, place in unet_places(model.unet.config, model.unet.state_dict()).items()}
        found = model.unet.get_parameter(names[UNET_PREFIX + key])
    else:
        encoder, _, key = key.partition(".transformer.text_model.")
        text = model.text_encoder if encoder == "clip_l" else model.text_encoder_2.text_model
        found = text.get_parameter(key)
    return found.detach().flatten()[::97] if name.endswith(SAMPLE) else found.detach()


def unmatched(case: Case, networks: Networks) -> Results:
    """A file for as many layers as the rows patch at most, with so many keys more that fit nothing."""
    model = networks.model
    layers = (name for name, module in model.unet.named_modules() if isinstance(module, nn.Linear))
    fitting = list(islice(layers, max(row["unet_keys_patched"] for row in case.expected_json)))
    rows = [row | {"unet_keys_patched": _patched(model, fitting, row["unmatched_keys"])} for row in case.expected_json]
    return {"expected_json": rows}


def _patched(model: SdxlModel, fitting: list[str], strangers: int) -> int:
    tensors = {f"lora_unet_nowhere_{index}.alpha": torch.ones(()) for index in range(strangers)}
    for name in fitting:
        weight = model.unet.get_parameter(f"{name}.weight")
        flat = f"lora_unet_{name.replace('.', '_')}"
        tensors[f"{flat}.lora_down.weight"] = torch.ones(1, weight.shape[1])
        tensors[f"{flat}.lora_up.weight"] = torch.ones(weight.shape[0], 1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lora.safetensors"
        save_file(tensors, path)
        match = LoraStack(model).match(read(path))
    return len(match.adapters) if match.usable else 0


KINDS = (
    Kind(lambda case: "text" in case.parameters and case.has("expected", "eps", "text_cond"), merged),
    Kind(lambda case: has_rows_of(case, "unmatched_keys", "unet_keys_patched"), unmatched),
)
