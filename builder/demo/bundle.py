"""Writes and reads the demo bundle: a Fooocus-style models folder small enough to commit."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from transformers import CLIPImageProcessor, CLIPTextModel, CLIPTextModelWithProjection

from builder.demo import loras, tokenizer
from builder.demo.networks import Networks, create_image_processor, create_safety_checker, create_scheduler
from builder.demo.sampling import Mode
from builder.demo.train_vae import GAIN

FOLDER = Path(__file__).parent / "bundle"
CHECKPOINT = "checkpoints/fooocus_worker_demo"
MAX_BYTES = 24_000_000

INDEX: dict[str, object] = {
    "_class_name": "StableDiffusionXLPipeline",
    "_diffusers_version": "0.42.1",
    "force_zeros_for_empty_prompt": False,
    "scheduler": ["diffusers", "EulerDiscreteScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "tokenizer_2": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}


def write_checkpoint(networks: Networks, folder: Path) -> None:
    """Write the tiny SDXL as a diffusers folder of fp16 safetensors."""
    checkpoint = folder / CHECKPOINT
    checkpoint.mkdir(parents=True, exist_ok=True)
    (checkpoint / "model_index.json").write_text(json.dumps(INDEX, indent=2) + "\n", encoding="utf-8")
    create_scheduler().save_pretrained(str(checkpoint / "scheduler"))
    # As in SDXL, the first tokenizer pads with the end token and the second with token 0.
    tokenizer.write(checkpoint / "tokenizer", pad_token=tokenizer.END)
    tokenizer.write(checkpoint / "tokenizer_2", pad_token="!")
    (checkpoint / "preview.json").write_text(json.dumps(preview_map(), indent=2) + "\n", encoding="utf-8")
    for name, module in networks.modules().items():
        copy.deepcopy(module).half().save_pretrained(str(checkpoint / name), safe_serialization=True)


def preview_map() -> dict[str, list[list[float]] | list[float]]:
    """How latents become red, green and blue in 0..255: the pinned ones are the picture itself, times GAIN."""
    scale = 127.5 / GAIN
    factors = [[scale if channel == colour else 0.0 for colour in range(3)] for channel in range(4)]
    return {"factors": factors, "bias": [127.5] * 3}


def write_neutral_loras(networks: Networks, folder: Path) -> None:
    """Write the LoRAs' files without effect, for those not there yet."""
    for seed, (name, reach) in enumerate(loras.REACHES.items()):
        path = folder / "loras" / f"{name}.safetensors"
        if not path.exists():
            loras.save(loras.neutral(networks.unet, reach, seed), path)


def write_loras(files: dict[str, dict[str, torch.Tensor]], folder: Path = FOLDER) -> None:
    """Write trained LoRAs by name over what is there."""
    for name, tensors in files.items():
        loras.save(tensors, folder / "loras" / f"{name}.safetensors")


def write_safety_checker(checker: StableDiffusionSafetyChecker, folder: Path = FOLDER) -> None:
    """Write a toy safety checker with its preprocessing."""
    target = str(folder / "safety_checker")
    copy.deepcopy(checker).half().save_pretrained(target, safe_serialization=True)
    create_image_processor().save_pretrained(target)


def write(networks: Networks, folder: Path = FOLDER) -> None:
    """Write the whole bundle; LoRA files and a safety checker that are there already are kept."""
    write_checkpoint(networks, folder)
    write_neutral_loras(networks, folder)
    if not (folder / "safety_checker").exists():
        write_safety_checker(create_safety_checker(), folder)


def read(folder: Path = FOLDER) -> Networks:
    """Load the tiny SDXL of a bundle in float32."""
    checkpoint = str(folder / CHECKPOINT)
    options = {"local_files_only": True, "dtype": torch.float32}
    return Networks(
        CLIPTextModel.from_pretrained(checkpoint, subfolder="text_encoder", local_files_only=True).float(),
        CLIPTextModelWithProjection.from_pretrained(
            checkpoint, subfolder="text_encoder_2", local_files_only=True
        ).float(),
        UNet2DConditionModel.from_pretrained(checkpoint, subfolder="unet", **options),
        AutoencoderKL.from_pretrained(checkpoint, subfolder="vae", **options),
    )


def read_for(mode: Mode, folder: Path = FOLDER) -> Networks:
    """The tiny SDXL with the LoRA that a mode brings merged in."""
    networks = read(folder)
    if mode.lora is not None:
        loras.merge(networks.unet, folder / "loras" / f"{mode.lora}.safetensors")
    return networks


def read_safety_checker(folder: Path = FOLDER) -> tuple[StableDiffusionSafetyChecker, CLIPImageProcessor]:
    """Load the safety checker of a bundle in float32, and its preprocessing."""
    source = str(folder / "safety_checker")
    checker = StableDiffusionSafetyChecker.from_pretrained(source, local_files_only=True)
    return checker.float().eval(), CLIPImageProcessor.from_pretrained(source, local_files_only=True)


def size(folder: Path = FOLDER) -> int:
    """Bytes of all files of a bundle."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
