"""The tiny networks of a set, loaded by the worker's own loader."""

from __future__ import annotations

import copy
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from benchmarks.parity.tokenizer import END, VOCABULARY_FILES, Words, write_placeholder
from benchmarks.parity.vectors import Case, cases, load_weights, unpacked
from handler.engine.checkpoint import SdxlModel, load
from handler.engine.conditioning import TextChunks, TextEncoder
from handler.engine.control.files import ControlNetFiles
from handler.engine.ldm_keys import unet_places
from handler.engine.tokens import Chunk, Vector

CPU = torch.device("cpu")
BASE = "tiny_base.safetensors"
REFINER = "tiny_refiner_overrides.safetensors"
CONTROL_LORA = "control_lora_a.safetensors"


class Networks:
    """What cases are computed with; everything is loaded when first asked for and shared by all cases."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folder = tempfile.TemporaryDirectory(prefix="parity-")

    def __enter__(self) -> Networks:
        return self

    def __exit__(self, *failure: object) -> None:
        self._folder.cleanup()

    @cached_property
    def has_vocabulary(self) -> bool:
        """Whether the set brings CLIP's vocabulary, so that any text can be cut into its tokens."""
        return all((self.root / "tokenizer" / name).is_file() for name in VOCABULARY_FILES)

    @cached_property
    def models(self) -> Path:
        """A models folder with the set's checkpoint."""
        return write_models(Path(self._folder.name) / "models", self.root)

    def with_controlnets(self) -> Path:
        """The models folder, with the set's one Control-LoRA in the place of Fooocus's two."""
        folder = self.models / "controlnet"
        if not folder.exists():
            folder.mkdir()
            for name in (ControlNetFiles().canny, ControlNetFiles().cpds):
                (folder / name).symlink_to(self.root / "controlnet" / CONTROL_LORA)
        return self.models

    @cached_property
    def model(self) -> SdxlModel:
        """The base model in float32 on the CPU. Whoever patches it takes the patch off again."""
        model = load(self.models / "checkpoints" / BASE, CPU, torch.float32, self.models / "configs")
        if not self.has_vocabulary:
            words = self.root / "tokenizer"
            model.tokenizer, model.tokenizer_2 = Words.load(words, END), Words.load(words, 0)
        return model

    @cached_property
    def refiner(self) -> UNet2DConditionModel:
        """The second UNet: the base one with the tensors the set overrides."""
        unet = copy.deepcopy(self.model.unet)
        overrides = load_weights(unpacked(self.root / "weights" / REFINER))
        for name, place in unet_places(unet.config, unet.state_dict()).items():
            if place.name in overrides:
                unet.get_parameter(name).data = overrides[place.name]
        return unet

    def checkpoint(self, name: str) -> Path:
        """The file of one of the set's two checkpoints; the refiner's is the base one with other tensors."""
        path = self.models / "checkpoints" / name
        if not path.exists():
            base, refiner = (unpacked(self.root / "weights" / file) for file in (BASE, REFINER))
            save_file(load_file(base) | load_file(refiner), path)
            (self.models / "configs" / path.stem).symlink_to(self.models / "configs" / Path(BASE).stem)
        return path

    @contextmanager
    def told_timesteps(self, told: list[float]) -> Iterator[None]:
        """Inside, `told` grows by the timestep of every call of a UNet, this set's base one or any other."""

        def note(module: nn.Module, args: tuple[Any, ...]) -> None:
            if isinstance(module, UNet2DConditionModel):
                told.append(float(args[1].flatten()[0]))

        handle = register_module_forward_pre_hook(note)
        try:
            yield
        finally:
            handle.remove()

    def text_encoder(self, embeddings: Path | None = None) -> TextEncoder:
        """An encoder of prompts; without a vocabulary, of those whose token ids the set's cases record."""
        if self.has_vocabulary:
            return TextEncoder(self.model, embeddings)
        return RecordedTexts(self.model, self._recorded, embeddings)

    @cached_property
    def _recorded(self) -> dict[str, TextChunks]:
        found = cases("conditioning", self.root, lambda case: "tokens_l" in case.tensors)
        return {case.parameters["text"]: recorded_chunks(case) for case in found}


class RecordedTexts(TextEncoder):
    """The worker's encoder, with texts cut into the token ids that cases record for them."""

    def __init__(self, model: SdxlModel, recorded: dict[str, TextChunks], embeddings: Path | None) -> None:
        super().__init__(model, embeddings)
        self._recorded = recorded

    def _chunks(self, text: str) -> TextChunks:
        return self._recorded[text] if text in self._recorded else super()._chunks(text)


def recorded_chunks(case: Case) -> TextChunks:
    """The chunks of a case's text as its tensors tokens_* and weights_* record them."""
    return TextChunks(*(list(_chunks(case, key)) for key in ("l", "g")))


def _chunks(case: Case, key: str) -> Iterator[Chunk]:
    """Positions recorded as -1 take the rows of the case's embedding in turn."""
    name = case.parameters.get("embedding_name", "")
    for tokens, weights in zip(case.tensors[f"tokens_{key}"], case.tensors[f"weights_{key}"], strict=True):
        turn = iter(range(len(tokens)))
        made = tuple(Vector(name, next(turn)) if token == -1 else token for token in tokens.tolist())
        yield Chunk(made, tuple(weights.tolist()))


def write_models(folder: Path, root: Path) -> Path:
    """Fill an empty folder with the set's checkpoint, its configuration and a tokenizer; return the folder."""
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / BASE).symlink_to(unpacked(root / "weights" / BASE))
    described = root / "weights" / "diffusers"
    for config in described.rglob("*.json"):
        target = folder / "configs" / Path(BASE).stem / config.relative_to(described)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(config, target)
    write_tokenizer(folder / "clip" / "tokenizer", root / "tokenizer")
    return folder


def write_tokenizer(folder: Path, source: Path) -> None:
    """CLIP's vocabulary where the set brings it, else a placeholder with as many tokens."""
    if all((source / name).is_file() for name in VOCABULARY_FILES):
        folder.mkdir(parents=True)
        for name in VOCABULARY_FILES:
            shutil.copyfile(source / name, folder / name)
    else:
        write_placeholder(folder)
