"""Puts a worker together: model, sources of plans, storage, progress."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from handler import log, sdk
from handler.description import Description
from handler.engine import failures
from handler.engine.control.files import ControlNetFiles
from handler.engine.describe.describer import Describer
from handler.engine.engine import Engine
from handler.engine.engines import Engines
from handler.engine.expansion import find_expander
from handler.engine.features import Features
from handler.engine.lora.file import verify
from handler.generation import Generation
from handler.gpu import GpuThread
from handler.inpaint_files import InpaintLibrary
from handler.installed import checkpoint_library, vae_library
from handler.job import Runner, Worker
from handler.library import CACHE, LoraLibrary
from handler.media import decode
from handler.media.fetch import FetchPolicy
from handler.models_folders import DEMO_BUNDLE, ModelsFolders, model_folders
from handler.models_folders import DEMO_CHECKPOINT as DEMO_CHECKPOINT
from handler.plan.build import PlanSources
from handler.plan.prompt.expansion import pick_words
from handler.plan.prompt.process import PromptSources
from handler.plan.prompt.styles import BUNDLED, load_styles
from handler.plan.prompt.wildcards import Wildcards
from handler.preload import load_features
from handler.progress import ConsoleProgress, PostedProgress, Progress, SilentProgress, draining
from handler.settings import SafetyPolicy, Settings
from handler.storage.base import Store
from handler.storage.choose import choose_store
from handler.storage.settings import StorageSettings
from schemas.request import (
    DescribeRequest,
    ImagePromptRequest,
    InpaintRequest,
    Request,
    TextToImageRequest,
    UpscaleOrVaryRequest,
)


def start_worker(settings: Settings, storage: StorageSettings) -> Worker:
    """Load the model, warm it up and return a worker ready for jobs.

    Raises FooocusError with words for an operator.
    """
    checkpoint, roots = model_folders(settings)
    if settings.checkpoint is None:
        log.warn(
            "No checkpoint is configured (FOOOCUS_CHECKPOINT): rendering with the built-in demo model, "
            "which knows only drawn shapes"
        )
    gpu = GpuThread()
    features = _features(settings)
    engines = Engines(partial(_load_engine, settings, roots, features))
    gpu.run_now(lambda: first_engine(engines, checkpoint, settings.warm_up))
    sources = _plan_sources(settings, checkpoint, roots)
    describer = Describer(roots, settings.device, features.shelf, engines.release)
    gpu.run_now(lambda: load_features(settings.preload, engines.render, sources(), describer.load))
    decode.warm_up()
    image_policy = FetchPolicy(allow_private=settings.allow_private_urls)
    generation = Generation(
        gpu=gpu,
        render=engines.render,
        sources=sources,
        image_policy=image_policy,
        choose_store=_storage(settings, storage),
        progress=_progress(settings),
        safety=settings.safety_policy,
    )
    description = Description(gpu, describer.describe, image_policy)
    return Worker(runners(generation, description), settings.max_result_bytes)


def runners(generation: Generation, description: Description) -> dict[type[Request], Runner]:
    """What a request of each class is run by; another kind of request is one more line."""
    return {
        TextToImageRequest: generation.run,
        InpaintRequest: generation.run,
        ImagePromptRequest: generation.run,
        UpscaleOrVaryRequest: generation.run,
        DescribeRequest: description.run,
    }


def first_engine(engines: Engines, checkpoint: Path, warm_up: bool) -> Engine:
    """The engine that most jobs want, warm if so wished. Raises FooocusError, the device's failures among them."""
    with failures.translated(gc.collect):
        with log.timed("The model is loaded"):
            engine = engines.get(checkpoint)
        if warm_up:
            with log.timed("A picture was rendered to warm up"):
                engine.warm_up()
    return engine


def _load_engine(settings: Settings, roots: tuple[Path, ...], features: Features, checkpoint: Path) -> Engine:
    return Engine.load(checkpoint, roots, settings.device, _check_safety(settings), features)


def _features(settings: Settings) -> Features:
    return Features(settings.feature_bytes, ControlNetFiles(settings.controlnet_canny, settings.controlnet_cpds))


def _check_safety(settings: Settings) -> bool:
    return settings.safety_policy is not SafetyPolicy.OFF


def _plan_sources(settings: Settings, checkpoint: Path, roots: tuple[Path, ...]) -> Any:
    prompts = PromptSources(
        styles=load_styles(BUNDLED, settings.styles_dir),
        expand=find_expander(roots) or pick_words,
        wildcards=Wildcards.load(settings.wildcards_dir),
    )
    library = LoraLibrary(
        roots=roots,
        cache_dir=settings.models_dir / CACHE,
        cache_bytes=settings.lora_cache_bytes,
        policy=FetchPolicy(
            allow_private=settings.allow_private_urls,
            max_bytes=settings.max_lora_bytes,
            total_s=settings.lora_timeout_s,
        ),
        verify=verify,
    )
    folders = ModelsFolders(settings.models_dir, settings.volume_dir)
    return lambda: PlanSources(
        prompts=prompts,
        lora_files=tuple(library.files()),
        find_lora=library.find,
        allow_unchecked=settings.allow_safety_off,
        base=checkpoint,
        find_checkpoint=checkpoint_library(roots, folders.cached).find,
        find_vae=vae_library(roots).find,
        find_inpaint_network=_inpaint_library(settings, roots).find,
    )


def _inpaint_library(settings: Settings, roots: tuple[Path, ...]) -> InpaintLibrary:
    """The files in the models folder are for models of SDXL's size, which the demo model is not."""
    demo = settings.checkpoint is None
    return InpaintLibrary((DEMO_BUNDLE,) if demo else roots, required=not demo)


def _storage(settings: Settings, storage: StorageSettings) -> Any:
    def choose(job: Mapping[str, Any], inline: bool) -> Store:
        return choose_store(
            job,
            storage,
            inline=inline,
            on_platform=sdk.on_platform() or sdk.serves_api(),
            allow_job_storage=settings.allow_job_storage,
            allow_private=settings.allow_private_urls,
        )

    return choose


def _progress(settings: Settings) -> Any:
    if sdk.serves_api():
        return lambda _job, _preview: draining(SilentProgress())
    if not sdk.on_platform():
        return lambda _job, _preview: draining(ConsoleProgress())

    @asynccontextmanager
    async def posted(job: dict[str, Any], preview: bool) -> AsyncIterator[Progress]:
        poster = sdk.ProgressPoster(job)
        try:
            show = preview and settings.previews
            async with draining(PostedProgress(poster, settings.progress_interval_s, show)) as progress:
                yield progress
        finally:
            await poster.close()

    return posted
