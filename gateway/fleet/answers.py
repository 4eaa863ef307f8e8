"""What a worker posts, in the queue's terms."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

from gateway.jobs.model import Failure, Progress
from schemas.errors import InternalError

log = logging.getLogger(__name__)

_CODED = re.compile(r"([A-Z][A-Z0-9_]{1,63}): (.+)", re.DOTALL)
_MAX_TEXT = 2000
_MAX_PREVIEW = 4 * 2**20
_PREVIEW = ("data:image/jpeg;base64,", "data:image/png;base64,", "data:image/webp;base64,")


def progress(output: Any) -> Progress | None:
    """The progress a worker reports; None for what is none."""
    if not isinstance(output, Mapping):
        return None
    counts = [output.get(name) for name in ("image", "images", "step", "steps")]
    share, preview = output.get("progress"), output.get("preview")
    if not all(type(count) is int and 0 <= count < 2**31 for count in counts) or not isinstance(share, int | float):
        return None
    shown = isinstance(preview, str) and preview.startswith(_PREVIEW) and len(preview) <= _MAX_PREVIEW
    return Progress(*counts, share=min(max(float(share), 0.0), 1.0), preview=preview if shown else None)


def step_line(now: Progress) -> str:
    """A line of the job's log."""
    return f"Step {now.step}/{now.steps} of image {now.image + 1}/{now.images}"


def result(body: Mapping[str, Any]) -> Mapping[str, Any] | Failure:
    """The end of a job: its output, or why it failed. An error without a code of ours says nothing to a client."""
    error, output = body.get("error"), body.get("output")
    if error:
        return _failure(error, output if isinstance(output, Mapping) else {})
    if isinstance(output, Mapping):
        return output
    log.error("A worker posted a result that is no object")
    return unknown_failure()


def unknown_failure() -> Failure:
    error = InternalError()
    return Failure(error.code, error.status, error.retryable, error.detail, str(error))


def _failure(error: Any, about: Mapping[str, Any]) -> Failure:
    coded = _CODED.fullmatch(error) if isinstance(error, str) else None
    if coded is None:
        log.error("A worker's handler crashed; its own log says more")
        return unknown_failure()
    status = about.get("status")
    message = coded[2][:_MAX_TEXT]
    return Failure(
        code=coded[1].lower(),
        status=status if type(status) is int and 400 <= status <= 599 else 500,
        retryable=about.get("retryable") is True,
        detail=about.get("detail") if isinstance(about.get("detail"), str | list) else message,
        message=message,
    )
