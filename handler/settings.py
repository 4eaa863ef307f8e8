"""The operator's settings, read from environment variables once at start."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class SafetyPolicy(StrEnum):
    """What happens to a picture the safety checker flags; `blackout` and `flag` also flag it in the result."""

    BLACKOUT = "blackout"
    FLAG = "flag"
    OFF = "off"


class Preload(StrEnum):
    """A feature whose models can be loaded before the first job."""

    CANNY = "canny"
    CPDS = "cpds"
    IMAGE_PROMPT = "image_prompt"
    FACE_SWAP = "face_swap"
    UPSCALE = "upscale"
    INPAINT = "inpaint"
    DESCRIBE = "describe"


class Settings(BaseSettings):
    """Each field is the environment variable `FOOOCUS_<NAME>`; its description is the README's text."""

    model_config = SettingsConfigDict(env_prefix="FOOOCUS_", frozen=True, extra="ignore", env_ignore_empty=True)

    models_dir: Annotated[Path, Field(description="Folder in the layout of Fooocus's `models/`")] = Path(
        "models"
    )
    volume_dir: Annotated[
        Path,
        Field(
            description="Where RunPod mounts its network volume and cached models; models there are found by themselves"
        ),
    ] = Path("/runpod-volume")
    checkpoint: Annotated[
        str | None,
        Field(
            description="`hf:ORG/NAME[/FILE]` (a cached model), or a file or diffusers folder below `checkpoints/`. "
            "Unset: the demo model"
        ),
    ] = None
    styles_dir: Annotated[
        Path, Field(description="Folder with style files of your own, in Fooocus's format")
    ] = Path("sdxl_styles")
    wildcards_dir: Annotated[Path, Field(description="Folder with wildcard files (`*.txt`)")] = Path(
        "wildcards"
    )

    previews: Annotated[
        bool, Field(description="Send step previews. They are small, and not seen by the safety checker")
    ] = True

    device: Annotated[str, Field(description="`auto`, `cpu`, `cuda` or `cuda:N`")] = "auto"
    warm_up: Annotated[bool, Field(description="Render a tiny picture before taking jobs")] = True
    concurrency: Annotated[
        int, Field(ge=1, le=8, description="Jobs taken at once; the GPU still renders one at a time")
    ] = 1

    controlnet_canny: Annotated[
        str,
        Field(min_length=1, description="ControlNet for PyraCanny, below `controlnet/`: a file or a diffusers folder"),
    ] = "control-lora-canny-rank128.safetensors"
    controlnet_cpds: Annotated[
        str, Field(min_length=1, description="ControlNet for CPDS, below `controlnet/`: a file or a diffusers folder")
    ] = "fooocus_xl_cpds_128.safetensors"
    feature_bytes: Annotated[
        int,
        Field(
            ge=0,
            description="Memory for what only some jobs need (ControlNets, image prompts, inpaint weights, refiners, "
            "VAEs, the upscaler, describing) and is kept between jobs; the least recently used goes first. `0`: of a "
            "GPU, what the model leaves less 8 GiB; of a CPU, 8 GiB",
        ),
    ] = 0

    preload: Annotated[
        tuple[Preload, ...],
        NoDecode,
        Field(
            description="Features whose models are loaded before the first job, separated by commas: `canny`, `cpds`, "
            "`image_prompt`, `face_swap`, `upscale`, `inpaint`, `describe`"
        ),
    ] = ()

    safety_policy: Annotated[
        SafetyPolicy,
        Field(description="Flagged pictures: `blackout` makes them black, `flag` only flags, `off` checks none"),
    ] = SafetyPolicy.BLACKOUT
    allow_safety_off: Annotated[
        bool, Field(description="Whether a request's `enable_safety_checker: false` is honoured")
    ] = True

    allow_private_urls: Annotated[
        bool,
        Field(
            description="Let requests name URLs and buckets at private addresses (closed networks)"
        ),
    ] = False
    allow_job_storage: Annotated[bool, Field(description="Honour `s3Config` and `uploadUrl` of a job")] = True
    max_lora_bytes: Annotated[int, Field(ge=1, description="Largest LoRA file fetched by URL")] = 2 * 2**30
    lora_cache_bytes: Annotated[
        int, Field(ge=0, description="Disk space for LoRAs fetched by URL; the least recently used go first")
    ] = 20 * 2**30
    lora_timeout_s: Annotated[float, Field(gt=0, description="Seconds one LoRA download may take")] = 300
    max_result_bytes: Annotated[
        int,
        Field(ge=1024, description="Largest result posted to the platform; RunPod refuses more than 10 MB"),
    ] = 9_500_000
    progress_interval_s: Annotated[
        float, Field(ge=0, description="Least seconds between two progress posts of a job")
    ] = 0.5

    @field_validator("preload", mode="before")
    @classmethod
    def _separated(cls, value: object) -> object:
        return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value
