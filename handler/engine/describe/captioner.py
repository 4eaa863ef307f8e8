"""Photos into sentences: BLIP's captioner (https://arxiv.org/abs/2201.12086), as Fooocus asks it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import BertTokenizer, BlipConfig, BlipForConditionalGeneration, StoppingCriteria, StoppingCriteriaList

from handler.engine import device as devices
from handler.engine.blueprint import shapes_only
from handler.engine.describe.blip_keys import renamed
from handler.engine.describe.files import FOLDER, find
from handler.engine.pickled import read_catalogued
from handler.engine.shelf import parameter_bytes
from handler.engine.sources import assign
from handler.engine.weights import WeightsError, WeightsFile
from schemas.errors import ModelMissing

STEM = "model_base_caption_capfilt_large"
VOCABULARY = "bert-base-uncased/vocab.txt"
BUILT_IN = Path(__file__).parents[1] / "configs" / "blip" / "config.json"

PROMPT = "a picture of "
"""What every caption begins with; it is cut off."""
BEGIN = ["[DEC]", "[ENC]"]
"""BLIP's own two tokens, behind BERT's vocabulary; the first begins a caption."""
SAMPLING = {"do_sample": True, "top_p": 0.9, "max_length": 75, "min_length": 10, "repetition_penalty": 1.1}

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
"""OpenAI CLIP's pixel statistics, RGB in 0..1."""


class Captioner:
    """A loaded captioner."""

    def __init__(self, network: BlipForConditionalGeneration, tokenizer: BertTokenizer) -> None:
        self._network = network
        self._tokenizer = tokenizer

    @classmethod
    def load(cls, roots: Sequence[Path], device: torch.device) -> Captioner:
        """Load the captioner of the first models folder that has it.

        A `.json` of the weights' name beside them may describe another network than the published one. Raises
        ModelMissing when it is not there or cannot be used.
        """
        weights, words = find(roots, "Describing photos", (f"{STEM}.safetensors", f"{STEM}.pth"), (VOCABULARY,))
        try:
            network = _network(weights.with_suffix(".json"))
            state = {name: value.to(device, devices.unet_dtype(device)) for name, value in _state(weights).items()}
            assign(network, state, device)
            return cls(network, _tokenizer(words))
        except (WeightsError, OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
            raise ModelMissing(f"{FOLDER}/{weights.name} cannot be used: it is no captioner of this kind") from error

    @property
    def bytes(self) -> int:
        """The memory its network occupies."""
        return parameter_bytes(self._network)

    @torch.inference_mode()
    def caption(self, pixels: np.ndarray, seed: int, check: Callable[[], None]) -> str:
        """A sentence for a picture, uint8 [h, w, 3]; another seed gives other words.

        What `check` raises, which is called after each word, ends the work.
        """
        net = self._network
        picture = _prepared(pixels, net.config.vision_config.image_size).to(net.device, net.dtype)
        asked = self._tokenizer(PROMPT, return_tensors="pt").input_ids
        watch = StoppingCriteriaList([_Watch(check)])
        with torch.random.fork_rng(devices=[net.device] if net.device.type == "cuda" else []):
            torch.manual_seed(seed)
            ids = net.generate(picture, asked.to(net.device), stopping_criteria=watch, **SAMPLING)
        return self._tokenizer.decode(ids[0, asked.shape[1] - 1 :], skip_special_tokens=True).strip()


class _Watch(StoppingCriteria):
    """Lets a listener end the work between two words."""

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check

    def __call__(self, input_ids: Tensor, scores: Any, **others: Any) -> Tensor:
        self._check()
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)


def _prepared(pixels: np.ndarray, side: int) -> Tensor:
    """BLIP's input [1, 3, side, side]: squeezed into the square (bicubic), not cropped, normalised."""
    squeezed = Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC)
    scaled = np.asarray(squeezed, dtype=np.float32) / 255.0
    normal = (scaled - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    return torch.from_numpy(normal).permute(2, 0, 1)[None]


def _network(config: Path) -> BlipForConditionalGeneration:
    """On the meta device; as `config` says, or the published one."""
    described = json.loads((config if config.is_file() else BUILT_IN).read_text(encoding="utf-8"))
    with shapes_only():
        return BlipForConditionalGeneration(BlipConfig(**described)).eval().requires_grad_(False)


def _state(path: Path) -> Mapping[str, Tensor]:
    if path.suffix == ".pth":
        return renamed(read_catalogued(path, f"{FOLDER}/{path.name}"))
    with WeightsFile(path) as file:
        return renamed({name: file.read(name) for name in file.entries})


def _tokenizer(vocabulary: Path) -> BertTokenizer:
    words = vocabulary.read_text(encoding="utf-8").splitlines()
    tokenizer = BertTokenizer(vocab={word: number for number, word in enumerate(words)})
    tokenizer.add_tokens(BEGIN, special_tokens=True)
    return tokenizer
