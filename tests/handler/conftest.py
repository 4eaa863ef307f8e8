"""The demo model, loaded once for all tests that render."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from handler.description import Description
from handler.engine.describe.describer import Describer
from handler.engine.engine import Engine
from handler.generation import Generation
from handler.gpu import GpuThread
from handler.installed import checkpoint_library, vae_library
from handler.job import Worker
from handler.media.policy import FetchPolicy
from handler.plan.build import PlanSources
from handler.plan.prompt.expansion import pick_words
from handler.plan.prompt.process import PromptSources
from handler.plan.prompt.styles import BUNDLED, load_styles
from handler.progress import SilentProgress, draining
from handler.settings import Settings
from handler.start import DEMO_BUNDLE, DEMO_CHECKPOINT, runners
from handler.storage.local import LocalStore
from schemas.errors import Location, ModelLoadError


@pytest.fixture(scope="session")
def engine() -> Engine:
    return Engine.load(DEMO_CHECKPOINT, (DEMO_BUNDLE,), "cpu", check_safety=True)


@pytest.fixture(scope="session")
def plan_sources() -> PlanSources:
    files = {path.name: path for path in (DEMO_BUNDLE / "loras").glob("*.safetensors")}

    def find_lora(source: str, loc: Location) -> Path:
        path = files.get(source.rsplit("/", 1)[-1], Path(source))
        if not path.is_file():
            raise ModelLoadError(loc, input=source)
        return path

    return PlanSources(
        prompts=PromptSources(load_styles(BUNDLED), pick_words),
        lora_files=tuple(files),
        find_lora=find_lora,
        allow_unchecked=True,
        base=DEMO_CHECKPOINT,
        find_checkpoint=checkpoint_library((DEMO_BUNDLE,)).find,
        find_vae=vae_library((DEMO_BUNDLE,)).find,
        find_inpaint_network=lambda engine, loc: (),
    )


@pytest.fixture(scope="session")
def describer() -> Describer:
    return Describer((DEMO_BUNDLE,), "cpu")


@pytest.fixture
def make_worker(
    engine: Engine, describer: Describer, plan_sources: PlanSources, tmp_path: Path
) -> Callable[..., Worker]:
    """A worker around the demo model that stores into a folder of its own; keywords replace its parts."""

    def make(settings: Settings | None = None, **parts: object) -> Worker:
        settings = settings or Settings()
        defaults = {
            "gpu": GpuThread(),
            "render": engine.render,
            "sources": lambda: plan_sources,
            "image_policy": FetchPolicy(allow_private=True),
            "choose_store": lambda job, inline: LocalStore(tmp_path / "outputs", job["id"]),
            "progress": lambda job, preview: draining(SilentProgress()),
            "safety": settings.safety_policy,
        }
        generation = Generation(**(defaults | parts))
        description = Description(generation.gpu, describer.describe, generation.image_policy)
        return Worker(runners(generation, description), settings.max_result_bytes)

    return make
