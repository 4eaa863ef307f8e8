"""The check of every host a job names for its pictures, made before anything is rendered."""

from __future__ import annotations

from collections.abc import Sequence

from handler.media.urls import Target, parse
from handler.storage.delivery import ForbiddenAddress, Reach, locate
from schemas.errors import FieldError

_RESOLVE_S = 5.0


def check_reach(url: str, reach: Reach, loc: Sequence[str | int]) -> Target:
    """The target of `url`. FieldError when it is no URL, has no address or one outside `reach`.

    One sentence for all, so that nobody learns which hosts a private network has. May block for seconds.
    """
    try:
        target = parse(url)
        locate(target, reach, _RESOLVE_S)
    except (ValueError, OSError, ForbiddenAddress):
        raise FieldError(loc, message="This must be the http or https URL of a public host") from None
    return target
