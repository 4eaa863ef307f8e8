"""Fields that are valid but whose feature this worker does not have yet; they are answered, never ignored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from schemas.advanced import Advanced
from schemas.errors import FeatureNotSupported, InvalidInput
from schemas.request import DescribeRequest, Request

_ADVANCED_FEATURES = ("vae_name",)


def refuse_unsupported(request: Request) -> None:
    """Raise InvalidInput listing every field of `request` that asks for a feature not built yet."""
    errors = list(_unsupported(request))
    if errors:
        raise InvalidInput.joined(errors)


def _unsupported(request: Request) -> Iterator[FeatureNotSupported]:
    if isinstance(request, DescribeRequest):
        return
    yield from _unsupported_advanced(request.advanced)


def _unsupported_advanced(advanced: Advanced) -> Iterator[FeatureNotSupported]:
    for name in _ADVANCED_FEATURES:
        value = getattr(advanced, name)
        if value != Advanced.model_fields[name].default:
            yield _refused(("advanced", name), value)


def _refused(field: str | tuple[str, ...], value: Any) -> FeatureNotSupported:
    names = (field,) if isinstance(field, str) else field
    return FeatureNotSupported(["body", *names], input=value)
