"""IP-Adapter "plus" (https://github.com/tencent-ailab/IP-Adapter, Apache-2.0): pictures made into what a UNet reads.

A file holds a Resampler (`image_proj.`), which makes 16 tokens of a picture's features, and for each of the UNet's
cross-attentions two matrices (`ip_adapter.N.to_k_ip`, `.to_v_ip`), which make keys and values of the tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from diffusers import UNet2DConditionModel
from torch import Tensor

from handler.engine.control.attention import CrossAttention, ShownPicture, View, cross_attentions, heads
from handler.engine.control.resampler import Resampler, resampler_of
from handler.engine.control.state import read_state
from handler.engine.device import require_memory
from handler.engine.shelf import bytes_of, parameter_bytes
from handler.engine.sources import assign
from handler.engine.weights import WeightsError

IMAGE_PROJECTION = "image_proj."


@dataclass(frozen=True)
class IpAdapter:
    """keys, values: [inner, token width], one per cross-attention of the UNet it was loaded for, in order."""

    resampler: Resampler
    keys: Sequence[Tensor]
    values: Sequence[Tensor]

    @property
    def bytes(self) -> int:
        return parameter_bytes(self.resampler) + bytes_of([*self.keys, *self.values])

    def views(self, tokens: Tensor, places: Sequence[CrossAttention]) -> list[View]:
        """What each cross-attention is shown of one picture. tokens: [2, n, token width], positive and negative."""
        return [
            View(heads(tokens @ keys.T, place.module.heads), heads(tokens @ values.T, place.module.heads))
            for keys, values, place in zip(self.keys, self.values, places, strict=True)
        ]


def load_ip_adapter(path: Path, unet: UNet2DConditionModel) -> IpAdapter:
    """Load an adapter for this UNet, onto its device and in its type.

    path: safetensors, or a pickle of the catalogue. Raises WeightsError (damaged, hostile, no IP-Adapter plus, or
    one for another network) and OutOfMemory.
    """
    state = read_state(path)
    places = cross_attentions(unet)
    for place in places:
        for name in _names(place):
            _check(path, state, name, (place.module.to_k.weight.shape[0], unet.config.cross_attention_dim))
    if f"ip_adapter.{places[-1].number + 2}.to_k_ip.weight" in state:
        raise WeightsError(f"{path.name} is an IP-Adapter for another network: it has more layers")
    require_memory(unet.device, sum(value.numel() for value in state.values()) * unet.dtype.itemsize)
    on_device = {name: value.to(unet.device, unet.dtype) for name, value in state.items()}
    pairs = [[on_device[name] for name in _names(place)] for place in places]
    return IpAdapter(_resampler(path, on_device, unet), [keys for keys, _ in pairs], [values for _, values in pairs])


def _names(place: CrossAttention) -> tuple[str, str]:
    return f"ip_adapter.{place.number}.to_k_ip.weight", f"ip_adapter.{place.number}.to_v_ip.weight"


def _check(path: Path, state: Mapping[str, Tensor], name: str, shape: tuple[int, int]) -> None:
    if name not in state:
        raise WeightsError(f"{path.name} is no IP-Adapter for SDXL: it has no tensor {name!r}")
    if tuple(state[name].shape) != shape:
        raise WeightsError(
            f"{path.name} is an IP-Adapter for another network: tensor {name!r} is {list(state[name].shape)} "
            f"where {list(shape)} is needed"
        )


def _resampler(path: Path, state: Mapping[str, Tensor], unet: UNet2DConditionModel) -> Resampler:
    own = {
        name.removeprefix(IMAGE_PROJECTION): value for name, value in state.items() if name.startswith(IMAGE_PROJECTION)
    }
    network = resampler_of({name: tuple(value.shape) for name, value in own.items()})
    if network.proj_out.out_features != unet.config.cross_attention_dim:
        raise WeightsError(f"{path.name} is an IP-Adapter for another network: its tokens have another width")
    assign(network, own, unet.device)
    return network


def shown_picture(
    adapter: IpAdapter, tokens: Tensor, unet: UNet2DConditionModel, weight: float, until: float
) -> ShownPicture:
    """A picture as the UNet is shown it.

    tokens: [2, n, token width]. weight: 0..2, for the widest cross-attentions; narrower ones get as much less as
    they are narrower, half in SDXL's outer blocks, as in Fooocus. until: see ShownPicture.
    """
    places = cross_attentions(unet)
    widths = [place.module.to_q.out_features for place in places]
    strengths = [weight * width / max(widths) for width in widths]
    return ShownPicture(adapter.views(tokens, places), strengths, until)
