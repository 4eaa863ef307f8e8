"""The demo model's networks: diffusers' and transformers' real classes with SDXL's structure, scaled down."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, UNet2DConditionModel
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPVisionConfig,
)

from builder.demo import tokenizer
from builder.demo.carry import carry_input

SCALING_FACTOR = 0.13025  # SDXL's: the UNet works on latent * 0.13025
CHANNELS = (16, 32, 64, 96, 128)
ATTENTION_LEVELS = 2
HEAD_WIDTH = 16
GROUPS = 4
WIDTH_1, WIDTH_2, POOLED = 32, 64, 64
TIME_ID_WIDTH = 16
# Wide enough to carry the time and all that a caption names to every block.
EMBEDDING_WIDTH = 256
CHECKER_SIZE = 32


@dataclass
class Networks:
    """The four networks of the tiny SDXL."""

    text_1: CLIPTextModel
    text_2: CLIPTextModelWithProjection
    unet: UNet2DConditionModel
    vae: AutoencoderKL

    def modules(self) -> dict[str, torch.nn.Module]:
        """The networks by their folder names in a diffusers checkpoint."""
        return {"text_encoder": self.text_1, "text_encoder_2": self.text_2, "unet": self.unet, "vae": self.vae}


def create(seed: int = 0) -> Networks:
    """Fresh networks with random weights, the same for the same `seed`."""
    torch.manual_seed(seed)
    return Networks(
        CLIPTextModel(text_config(WIDTH_1, "quick_gelu")),
        CLIPTextModelWithProjection(text_config(WIDTH_2, "gelu")),
        create_unet(),
        create_vae(),
    )


def text_config(width: int, activation: str) -> CLIPTextConfig:
    """A CLIP text encoder; `hidden_states[-2]`, which SDXL reads, has two layers behind it."""
    vocabulary = tokenizer.size()
    return CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=width * 4,
        num_hidden_layers=3,
        num_attention_heads=width // HEAD_WIDTH,
        max_position_embeddings=tokenizer.LENGTH,
        hidden_act=activation,
        projection_dim=POOLED,
        bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1,
        pad_token_id=vocabulary - 1 if activation == "quick_gelu" else 0,
    )


def create_unet() -> UNet2DConditionModel:
    """SDXL's layout at five levels, the lowest of which sees a whole 1024x1024 picture."""
    levels = len(CHANNELS)
    down = ["CrossAttnDownBlock2D" if i >= levels - ATTENTION_LEVELS else "DownBlock2D" for i in range(levels)]
    unet = UNet2DConditionModel(
        sample_size=128,
        in_channels=4,
        out_channels=4,
        down_block_types=tuple(down),
        up_block_types=tuple(kind.replace("Down", "Up") for kind in reversed(down)),
        block_out_channels=CHANNELS,
        layers_per_block=2,
        # Despite its name this is the number of heads, as in SDXL's own configuration.
        attention_head_dim=tuple(max(1, width // HEAD_WIDTH) for width in CHANNELS),
        cross_attention_dim=WIDTH_1 + WIDTH_2,
        use_linear_projection=True,
        transformer_layers_per_block=1,
        norm_num_groups=GROUPS,
        resnet_time_scale_shift="scale_shift",
        time_embedding_dim=EMBEDDING_WIDTH,
        addition_embed_type="text_time",
        addition_time_embed_dim=TIME_ID_WIDTH,
        projection_class_embeddings_input_dim=POOLED + 6 * TIME_ID_WIDTH,
    )
    carry_input(unet, alphas_cumprod())
    return unet


def create_vae() -> AutoencoderKL:
    """Four channels, factor 8. Few norm groups, because a group normalised alone forgets its colour."""
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 16, 32, 32),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=2,
        sample_size=1024,
        scaling_factor=SCALING_FACTOR,
        force_upcast=False,
        mid_block_add_attention=False,
    )


def create_scheduler() -> EulerDiscreteScheduler:
    """SDXL's noise schedule."""
    return EulerDiscreteScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="epsilon",
        timestep_spacing="leading",
        steps_offset=1,
        use_karras_sigmas=False,
        interpolation_type="linear",
    )


def alphas_cumprod() -> torch.Tensor:
    """Cumulative alphas of SDXL's schedule in float64, (1000,)."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    return torch.cumprod(1 - betas, dim=0)


def alphas_at(timesteps: torch.Tensor) -> torch.Tensor:
    """Cumulative alphas of timesteps (n,), float32, (n, 1, 1, 1), on their device."""
    return alphas_cumprod().float().to(timesteps.device)[timesteps].view(-1, 1, 1, 1)


def create_safety_checker(seed: int = 0) -> StableDiffusionSafetyChecker:
    """The CompVis checker's class at toy size; as created it flags nothing (its thresholds are 1)."""
    torch.manual_seed(seed)
    vision = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=CHECKER_SIZE,
        patch_size=8,
        projection_dim=32,
    )
    text = CLIPTextConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        vocab_size=8,
        bos_token_id=6,
        eos_token_id=7,
    )
    config = CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=32)
    return StableDiffusionSafetyChecker(config)


def create_image_processor() -> CLIPImageProcessor:
    """The checker's preprocessing at its own size."""
    side = CHECKER_SIZE
    return CLIPImageProcessor(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
