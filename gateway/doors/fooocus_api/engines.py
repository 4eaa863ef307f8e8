"""What is installed: models and styles."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

from fastapi import APIRouter
from starlette.requests import Request

from gateway.doors.fooocus_api.route import FooocusApiRoute
from gateway.gateway import Gateway
from schemas.fooocus_api.answers import Models
from schemas.style_names import STYLE_NAMES

DEMO_BUNDLE = Path(__file__).parents[3] / "builder" / "demo" / "bundle"
"""What a worker renders with as long as no checkpoint is installed."""

_SUFFIX = ".safetensors"
_INDEX = "model_index.json"
"""Marks a diffusers folder, which is one checkpoint."""


def router(gateway: Gateway) -> APIRouter:
    """The routes below `/v1/engines`."""
    routes = APIRouter(prefix="/v1/engines", route_class=FooocusApiRoute, tags=["Fooocus-API"])

    @routes.get("/all-models", summary="Installed checkpoints and LoRAs")
    @routes.post("/refresh-models", summary="The same; the folders are read at each call")
    async def models(request: Request) -> Models:
        await gateway.keys.identify(request)
        return await asyncio.to_thread(installed, gateway.settings.models_dir)

    @routes.get("/styles", summary="Names of all styles")
    async def styles(request: Request) -> list[str]:
        await gateway.keys.identify(request)
        return list(STYLE_NAMES)

    return routes


def installed(folder: Path) -> Models:
    """The names below `checkpoints/` and `loras/` of a models folder, as requests use them; the demo model's while
    there is no checkpoint. Blocking."""
    models = _models(folder)
    return models if models.model_filenames else _models(DEMO_BUNDLE)


def _models(folder: Path) -> Models:
    return Models(
        model_filenames=sorted(_names(folder / "checkpoints")), lora_filenames=sorted(_names(folder / "loras"))
    )


def _names(folder: Path) -> Iterator[str]:
    bundles = {path.parent for path in folder.rglob(_INDEX)}
    yield from (bundle.relative_to(folder).as_posix() for bundle in bundles)
    for path in folder.rglob(f"*{_SUFFIX}"):
        if bundles.isdisjoint(path.parents):
            yield path.relative_to(folder).as_posix()
