"""Several LoRAs over one checkpoint: matched, merged in float32, swapped in for a job."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from handler.engine.lora.adapters import Adapter, Difference, Parts, fits, weight_adapter
from handler.engine.lora.file import FileKey, LoraFile, LoraFiles, file_key
from handler.engine.lora.names import is_text_layer, layer_names
from handler.engine.patch import ParameterKey, Patchable, swapped
from handler.engine.weights import WeightsError, reported_at
from handler.plan.plan import LoraPlan
from schemas.errors import Location

MAX_UNMATCHED = 12
"""A file with more tensors than this that fit nothing is not for this model, and no part of it is used."""

Stack = tuple[tuple[FileKey, float], ...]


@dataclass(frozen=True)
class Match:
    """What a file has for a model. unmatched: how many of its tensors fit no parameter."""

    adapters: Mapping[ParameterKey, Adapter]
    unmatched: int

    @property
    def usable(self) -> bool:
        return bool(self.adapters) and self.unmatched <= MAX_UNMATCHED


@dataclass(frozen=True)
class Change:
    """One adapter with its strength, and the request field to blame should it turn out damaged."""

    adapter: Adapter
    strength: float
    loc: Location


class LoraStack:
    """Applies LoRAs to one model. The merged weights of the last set stay in memory, those of one set only.

    files: parsed files, which the stacks of several models can share.
    """

    def __init__(self, model: Patchable, files: LoraFiles | None = None) -> None:
        self._model = model
        self._names = layer_names(model.networks)
        self._texts = "text_encoder" in model.networks
        self._files = files or LoraFiles()
        self._fits: dict[FileKey, bool] = {}
        self._merged: tuple[Stack, dict[ParameterKey, Tensor]] = ((), {})

    @contextmanager
    def applied(self, loras: Sequence[LoraPlan]) -> Iterator[None]:
        """Inside, the model's weights are merged with these LoRAs, in order; afterwards they are as before.

        Must be the outermost patch. Raises ModelLoadError at a LoRA's `loc` when its file is damaged, or made for
        another model: nothing, or not enough of it (MAX_UNMATCHED), fits.
        """
        if self._model.variant:
            raise RuntimeError("LoRAs are applied over another patch. This is a bug.")
        stack = tuple(_identity(lora) for lora in loras)
        if stack and stack != self._merged[0]:
            self._merged = ((), {})
            self._merged = (stack, self._merge(loras))
        with swapped(self._model, self._merged[1] if stack else {}, stack):
            yield

    @property
    def bytes(self) -> int:
        """What the merged weights occupy."""
        return sum(tensor.nbytes for tensor in self._merged[1].values())

    def forget(self) -> None:
        """Drop the merged weights, to free memory. Not to be called inside `applied`."""
        self._merged = ((), {})

    def fits(self, lora: LoraPlan) -> bool:
        """Whether `applied` would take it. Raises ModelLoadError when the file is damaged."""
        with reported_at(lora.loc):
            key = file_key(lora.path)
            if key not in self._fits:
                self._fits[key] = self.match(self._files.get(lora.path)).usable
        return self._fits[key]

    def match(self, file: LoraFile) -> Match:
        """Find the parameter for each layer of a file; those of text encoders count only where the model has them."""
        networks = self._model.networks
        adapters: dict[ParameterKey, Adapter] = {}
        unmatched = file.strangers
        for name, parts in file.layers.items():
            if not self._texts and is_text_layer(name):
                continue
            network, layer = self._names.get(name, ("", ""))
            module = networks[network].get_submodule(layer) if network else None
            found, used = _matched(module, parts)
            adapters |= {(network, f"{layer}.{parameter}"): adapter for parameter, adapter in found.items()}
            unmatched += len(parts.keys() - used)
        return Match(adapters, unmatched)

    def _merge(self, loras: Sequence[LoraPlan]) -> dict[ParameterKey, Tensor]:
        changes: dict[ParameterKey, list[Change]] = defaultdict(list)
        for lora in loras:
            for key, adapter in self._adapters(lora).items():
                changes[key].append(Change(adapter, lora.scale, lora.loc))
        networks = self._model.networks
        # Merged weights outlive the job that asked for them and stand where ordinary parameters stood.
        with torch.inference_mode(False), torch.no_grad():
            return {key: _changed(networks[key[0]].get_parameter(key[1]), own) for key, own in changes.items()}

    def _adapters(self, lora: LoraPlan) -> Mapping[ParameterKey, Adapter]:
        with reported_at(lora.loc):
            file = self._files.get(lora.path)
            match = self.match(file)
            if not match.usable:
                raise WeightsError(
                    f"{file.name} does not fit the base model {self._model.name}: "
                    f"{match.unmatched} of its tensors fit no layer"
                )
        return match.adapters


@contextmanager
def applied_to_all(stacks: Sequence[LoraStack], loras: Sequence[LoraPlan]) -> Iterator[None]:
    """Apply each LoRA to every model that it fits. Raises ModelLoadError for one that fits none, as `applied` does."""
    first, *others = stacks
    elsewhere = {lora for lora in loras if any(other.fits(lora) for other in others)}
    with ExitStack() as patches:
        patches.enter_context(first.applied([lora for lora in loras if lora not in elsewhere or first.fits(lora)]))
        for other in others:
            patches.enter_context(other.applied([lora for lora in loras if other.fits(lora)]))
        yield


def _identity(lora: LoraPlan) -> tuple[FileKey, float]:
    with reported_at(lora.loc):
        return file_key(lora.path), lora.scale


def _matched(module: nn.Module | None, parts: Parts) -> tuple[dict[str, Adapter], set[str]]:
    """The adapters for a layer's own parameters, and the roles they are made of."""
    if module is None:
        return {}, set()
    found: dict[str, Adapter] = {}
    used: set[str] = set()
    alpha = float(parts["alpha"]) if "alpha" in parts else None
    made = weight_adapter(parts, alpha)
    if made is not None and fits(made[0], module.weight):
        found["weight"] = made[0]
        used |= made[1] | {"alpha"}
    bias = Difference(parts["diff_b"]) if "diff_b" in parts else None
    if bias is not None and getattr(module, "bias", None) is not None and fits(bias, module.bias):
        found["bias"] = bias
        used.add("diff_b")
    return found, used


def _changed(parameter: Tensor, changes: Sequence[Change]) -> Tensor:
    """The parameter merged with all changes in float32, back in its own type and memory format."""
    weight = parameter.to(torch.float32, copy=True)
    for change in changes:
        with reported_at(change.loc):
            weight += change.strength * _delta(change.adapter, weight)
    return weight.to(parameter.dtype)


def _delta(adapter: Adapter, weight: Tensor) -> Tensor:
    try:
        return adapter.delta(weight)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError, IndexError) as error:
        raise WeightsError("the LoRA's tensors do not fit one another") from error
