"""Fields that are valid but whose feature this worker does not have yet; they are answered, never ignored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from schemas.advanced import Advanced
from schemas.errors import FeatureNotSupported, InvalidInput
from schemas.parts import ImagePrompt
from schemas.request import DescribeRequest, Request

_IMAGE_FIELDS = ("control_image_url",)
_SLOTS = tuple(f"image_prompt_{number}" for number in range(1, 5))
_ADVANCED_FEATURES = ("base_model", "vae_name")


def refuse_unsupported(request: Request) -> None:
    """Raise InvalidInput listing every field of `request` that asks for a feature not built yet."""
    errors = list(_unsupported(request))
    if errors:
        raise InvalidInput.joined(errors)


def _unsupported(request: Request) -> Iterator[FeatureNotSupported]:
    if isinstance(request, DescribeRequest):
        return
    for name in _IMAGE_FIELDS:
        if getattr(request, name, None):
            yield _refused(name, getattr(request, name))
    for name in _SLOTS:
        slot = getattr(request, name, None)
        if isinstance(slot, ImagePrompt) and slot.image_url:
            yield _refused((name, "image_url"), slot.image_url)
    yield from _unsupported_advanced(request.advanced)


def _unsupported_advanced(advanced: Advanced) -> Iterator[FeatureNotSupported]:
    for name in _ADVANCED_FEATURES:
        value = getattr(advanced, name)
        if value != Advanced.model_fields[name].default:
            yield _refused(("advanced", name), value)


def _refused(field: str | tuple[str, ...], value: Any) -> FeatureNotSupported:
    names = (field,) if isinstance(field, str) else field
    return FeatureNotSupported(["body", *names], input=value)
