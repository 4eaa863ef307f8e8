"""Log lines under the SDK's logger: one per event, with the id of its job, without what the job keeps private.

What Python's `logging` is told, by this worker or by a library, takes the same way.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from schemas.errors import FooocusError

PRIVATE = "[private]"
LEAST_PRIVATE = 6
"""Shorter texts of a job are words that lines have of their own."""

_JOB: ContextVar[Mapping[str, Any] | None] = ContextVar("job", default=None)
_LEVELS = {logging.DEBUG: "DEBUG", logging.INFO: "INFO", logging.WARNING: "WARN"}


@contextmanager
def about(job: Mapping[str, Any]) -> Iterator[None]:
    """Lines written in here, and in tasks and threads that take the context along, are this job's."""
    token = _JOB.set(job)
    try:
        yield
    finally:
        _JOB.reset(token)


def info(message: str) -> None:
    """An event worth a line."""
    _write("INFO", message)


def warn(message: str) -> None:
    """Something an operator should know."""
    _write("WARN", message)


@contextmanager
def timed(what: str) -> Iterator[None]:
    """A line with the seconds this took, if it ended well."""
    started = time.perf_counter()
    yield
    info(f"{what} ({time.perf_counter() - started:.1f} s)")


def failed(error: FooocusError) -> None:
    """A job that ended in a known error. Invalid input may hold private text: only its code is logged."""
    warn(f"Failed: {error.code if error.status == 422 else error.line()}")


def crashed(error: BaseException) -> None:
    """An error nobody foresaw: the operator gets the traceback, the client does not."""
    _write("ERROR", "".join(traceback.format_exception(error)))


class _ToSdk(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        _write(_LEVELS.get(record.levelno, "ERROR"), self.format(record))


def take_over() -> None:
    """Send what `logging` and `warnings` are told to the SDK's logger; of libraries, only from warnings up.

    Libraries that were imported before lose the handlers they gave themselves.
    """
    loggers = (logging.getLogger(name) for name in list(logging.root.manager.loggerDict))
    for logger in loggers:
        logger.handlers.clear()
        logger.propagate = True
    logging.basicConfig(handlers=[_ToSdk()], level=logging.WARNING, format="%(message)s", force=True)
    logging.getLogger("handler").setLevel(logging.INFO)
    logging.captureWarnings(True)


def _write(level: str, message: str) -> None:
    from runpod.serverless.modules.rp_logger import RunPodLogger

    job = _JOB.get() or {}
    RunPodLogger().log(_without_private(message, job), level, job.get("id"))


def _without_private(message: str, job: Mapping[str, Any]) -> str:
    """The message, in which the job's texts are cut out: prompts, URLs, what follows their `?`, keys of a bucket."""
    told = {text for name, value in job.items() if name != "id" for text in _texts(value)}
    forms = {form for text in told for part in (text, *text.split("?")[1:]) for form in (part, repr(part)[1:-1])}
    for form in sorted(forms, key=len, reverse=True):
        if LEAST_PRIVATE <= len(form) <= len(message):
            message = message.replace(form, PRIVATE)
    return message


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from (text for item in value.values() for text in _texts(item))
    elif isinstance(value, list | tuple):
        yield from (text for item in value for text in _texts(item))
