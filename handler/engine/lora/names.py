"""The names LoRA files have for the layers of SDXL, made from the networks' own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import nn

from handler.engine import ldm_keys

ATTENTION = (".attn1.", ".attn2.")
TEXT_LAYERS = ("lora_te_", "lora_te1_", "lora_te2_", "text_encoder.", "text_encoder_2.")


def layer_names(networks: Mapping[str, nn.Module]) -> dict[str, tuple[str, str]]:
    """name in a file, without the part that says which tensor of the layer -> (network, module).

    Known are kohya's names with LDM and with diffusers blocks, LyCORIS's, diffusers' with dots (its attention
    processors' too), PEFT's, and LDM's with dots; for the text encoders kohya's and diffusers'.
    """
    known = {
        "unet": _unet_names,
        "text_encoder": lambda encoder: _clip_names(encoder, "lora_te1_", "text_encoder."),
        "text_encoder_2": lambda encoder: _clip_names(encoder, "lora_te2_", "text_encoder_2."),
    }
    names: dict[str, tuple[str, str]] = {}
    for name in networks.keys() & known.keys():
        names |= {alias: (name, module) for alias, module in known[name](networks[name])}
    return names


def is_text_layer(name: str) -> bool:
    """Whether a file names a layer of a text encoder, whichever model's."""
    return name.startswith(TEXT_LAYERS)


def _layers(network: nn.Module) -> list[str]:
    return [name for name, module in network.named_modules() if "weight" in module._parameters]


def _unet_names(unet: nn.Module) -> Iterator[tuple[str, str]]:
    modules = ldm_keys.unet_modules(unet.config)
    for layer in _layers(unet):
        flat = layer.replace(".", "_")
        yield from ((prefix + flat, layer) for prefix in ("lora_unet_", "lycoris_", "lycoris_unet_"))
        yield from ((prefix + layer, layer) for prefix in ("unet.", "base_model.model.", "base_model.model.unet."))
        yield f"unet.{_processor_name(layer)}", layer
        ldm = ldm_keys.unet_name(modules, layer)
        if ldm is not None:
            yield f"lora_unet_{ldm.replace('.', '_')}", layer
            yield f"diffusion_model.{ldm}", layer


def _processor_name(layer: str) -> str:
    """`...attn1.to_out.0` -> `...attn1.processor.to_out`, as files of diffusers' attention processors have it."""
    for attention in ATTENTION:
        layer = layer.replace(attention, f"{attention}processor.")
    return layer.removesuffix(".0") if layer.endswith(".to_out.0") else layer


def _clip_names(encoder: nn.Module, flat_prefix: str, dotted_prefix: str) -> Iterator[tuple[str, str]]:
    for layer in _layers(encoder):
        bare = layer.removeprefix("text_model.")
        name = bare if bare == "text_projection" else f"text_model.{bare}"
        yield flat_prefix + name.replace(".", "_"), layer
        yield dotted_prefix + name, layer
