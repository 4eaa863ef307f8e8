"""The closed sets of values of fal, Fooocus and k-diffusion, spelled as they spell them."""

from __future__ import annotations

from enum import StrEnum


class Endpoint(StrEnum):
    """The part of fal's endpoint id after `fal-ai/fooocus`; the base endpoint has none."""

    TEXT_TO_IMAGE = ""
    INPAINT = "inpaint"
    IMAGE_PROMPT = "image-prompt"
    UPSCALE_OR_VARY = "upscale-or-vary"
    DESCRIBE = "describe"
    ENHANCE = "enhance"
    GENERATE_MASK = "generate-mask"


class FalPerformance(StrEnum):
    """`performance` as fal accepts it."""

    SPEED = "Speed"
    QUALITY = "Quality"
    EXTREME_SPEED = "Extreme Speed"
    LIGHTNING = "Lightning"


class Performance(StrEnum):
    """Fooocus's performance modes; Hyper-SD is reached through `advanced.performance`."""

    QUALITY = "Quality"
    SPEED = "Speed"
    EXTREME_SPEED = "Extreme Speed"
    LIGHTNING = "Lightning"
    HYPER_SD = "Hyper-SD"


class OutputFormat(StrEnum):
    PNG = "png"
    JPEG = "jpeg"
    WEBP = "webp"


class ControlType(StrEnum):
    IMAGE_PROMPT = "ImagePrompt"
    PYRA_CANNY = "PyraCanny"
    CPDS = "CPDS"
    FACE_SWAP = "FaceSwap"


class FalRefiner(StrEnum):
    """`refiner_model` as fal accepts it."""

    NONE = "None"
    REALISTIC_VISION = "realisticVisionV60B1_v51VAE.safetensors"


class InpaintMode(StrEnum):
    DEFAULT = "Inpaint or Outpaint (default)"
    IMPROVE_DETAIL = "Improve Detail (face, hand, eyes, etc.)"
    MODIFY_CONTENT = "Modify Content (add objects, change background, etc.)"


class InpaintEngine(StrEnum):
    NONE = "None"
    V1 = "v1"
    V25 = "v2.5"
    V26 = "v2.6"


class OutpaintSide(StrEnum):
    LEFT = "Left"
    RIGHT = "Right"
    TOP = "Top"
    BOTTOM = "Bottom"


class UovMethod(StrEnum):
    """Upscale or vary."""

    DISABLED = "Disabled"
    VARY_SUBTLE = "Vary (Subtle)"
    VARY_STRONG = "Vary (Strong)"
    UPSCALE_15 = "Upscale (1.5x)"
    UPSCALE_2 = "Upscale (2x)"
    UPSCALE_FAST_2 = "Upscale (Fast 2x)"


class DescribeType(StrEnum):
    PHOTO = "Photo"
    ANIME = "Anime"


class RefinerSwapMethod(StrEnum):
    JOINT = "joint"
    SEPARATE = "separate"
    VAE = "vae"


class MetadataScheme(StrEnum):
    FOOOCUS = "fooocus"
    A1111 = "a1111"


class Sampler(StrEnum):
    """Fooocus's 24 sampler names (k-diffusion's, plus uni_pc, ddim, lcm and tcd)."""

    EULER = "euler"
    EULER_ANCESTRAL = "euler_ancestral"
    HEUN = "heun"
    HEUNPP2 = "heunpp2"
    DPM_2 = "dpm_2"
    DPM_2_ANCESTRAL = "dpm_2_ancestral"
    LMS = "lms"
    DPM_FAST = "dpm_fast"
    DPM_ADAPTIVE = "dpm_adaptive"
    DPMPP_2S_ANCESTRAL = "dpmpp_2s_ancestral"
    DPMPP_SDE = "dpmpp_sde"
    DPMPP_SDE_GPU = "dpmpp_sde_gpu"
    DPMPP_2M = "dpmpp_2m"
    DPMPP_2M_SDE = "dpmpp_2m_sde"
    DPMPP_2M_SDE_GPU = "dpmpp_2m_sde_gpu"
    DPMPP_3M_SDE = "dpmpp_3m_sde"
    DPMPP_3M_SDE_GPU = "dpmpp_3m_sde_gpu"
    DDPM = "ddpm"
    LCM = "lcm"
    TCD = "tcd"
    RESTART = "restart"
    DDIM = "ddim"
    UNI_PC = "uni_pc"
    UNI_PC_BH2 = "uni_pc_bh2"


class Scheduler(StrEnum):
    """Fooocus's 11 scheduler names."""

    NORMAL = "normal"
    KARRAS = "karras"
    EXPONENTIAL = "exponential"
    SGM_UNIFORM = "sgm_uniform"
    SIMPLE = "simple"
    DDIM_UNIFORM = "ddim_uniform"
    LCM = "lcm"
    TURBO = "turbo"
    ALIGN_YOUR_STEPS = "align_your_steps"
    TCD = "tcd"
    EDM_PLAYGROUND = "edm_playground_v2.5"
