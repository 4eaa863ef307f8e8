"""`python -m benchmarks.startup.worker`: what `python -m handler` does before its first job, timed; JSON on stdout."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import wraps
from typing import Any

from benchmarks.startup.timeline import Timeline


def main() -> None:
    timeline = Timeline()
    with timeline.phase("import the SDK"):
        from handler import sdk

        sdk.prepare_environment()
        from handler import read_ahead

        read_ahead.begin()
        import runpod  # noqa: F401
    with timeline.phase("import torch"):
        import torch  # noqa: F401
    with timeline.phase("import the worker"):
        from handler import fitness
        from handler.engine.engine import Engine
        from handler.settings import Settings
        from handler.start import start_worker
        from handler.storage.settings import StorageSettings
    settings = Settings()
    with timeline.phase("fitness checks"):
        for check in fitness.local_checks(settings, os.environ):
            check()
    Engine.load = _timed(timeline, "load weights", Engine.load)  # type: ignore[method-assign]
    Engine.warm_up = _timed(timeline, "warm up", Engine.warm_up)  # type: ignore[method-assign]
    with timeline.phase("the rest"):
        start_worker(settings, StorageSettings())
    print(json.dumps(timeline.rows()))


def _timed(timeline: Timeline, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(call)
    def timed(*arguments: Any, **options: Any) -> Any:
        with timeline.phase(name):
            return call(*arguments, **options)

    return timed


if __name__ == "__main__":
    main()
