"""Changed weights for a while: parameters are swapped, not written to.

The original tensors are kept by reference and put back, so a network is bit for bit and byte for byte the one it
was, whatever happened in between.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

from torch import Tensor, nn

ParameterKey = tuple[str, str]
"""(network, parameter): diffusers' name of the network in a checkpoint, and its name in that network."""


class Patchable(Protocol):
    """A model whose weights can be changed. variant: the weight patches in force, `()` for none."""

    name: str
    variant: tuple[Hashable, ...]

    @property
    def networks(self) -> Mapping[str, nn.Module]:
        """Its networks by their diffusers names."""


@contextmanager
def swapped(model: Patchable, tensors: Mapping[ParameterKey, Tensor], variant: tuple[Hashable, ...]) -> Iterator[None]:
    """Put `tensors` in the place of these parameters; each has its parameter's shape, type and device.

    variant: tells this set of changes from every other; `model.variant` carries it inside. Contexts may nest.
    """
    networks = model.networks
    parameters = {key: networks[key[0]].get_parameter(key[1]) for key in tensors}
    originals = {key: parameter.data for key, parameter in parameters.items()}
    outside = model.variant
    try:
        for key, tensor in tensors.items():
            parameters[key].data = tensor
        model.variant = outside + variant
        yield
    finally:
        model.variant = outside
        for key, original in originals.items():
            parameters[key].data = original
