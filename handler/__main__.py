"""`python -m handler`: load the model, warm up, then take jobs through the RunPod SDK.

Without a queue in the environment the SDK runs `test_input.json` (or `--test_input JSON`) once; with
`--rp_serve_api` it serves its local HTTP API.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from handler import sdk


def main() -> None:
    """Start the worker. Exits 1 with words when it is not fit for jobs, and tells the platform the same words.

    Everything heavy happens in here and not at import: processes the SDK spawns import this module again.
    """
    sdk.prepare_environment()
    from handler import read_ahead

    ahead = read_ahead.begin()
    import runpod

    from handler import fitness, log
    from handler.settings import Settings
    from handler.start import start_worker
    from handler.storage.settings import StorageSettings
    from schemas.errors import FooocusError, InternalError

    log.take_over()
    log.info(f"{ahead.read_bytes / 2**20:.0f} MiB of weights were read while modules were imported")
    try:
        settings, storage = Settings(), StorageSettings()
        checks = fitness.local_checks(settings, os.environ)
        for check in checks:
            check()
        worker = start_worker(settings, storage)
    except (FooocusError, ValueError) as error:
        _give_up(error)
    except Exception as error:
        log.crashed(error)
        _give_up(InternalError())

    for check in (*checks, fitness.storage_check(storage)):
        runpod.serverless.register_fitness_check(check)
    sdk.report_refused_results()
    sdk.keep_early_stops()
    handler = worker.handle if sdk.on_platform() or sdk.serves_api() else sdk.printing(worker.handle)
    runpod.serverless.start(
        {"handler": handler, "concurrency_modifier": lambda _current: settings.concurrency}
    )


def _give_up(error: Exception) -> NoReturn:
    """Tell the platform, or whoever started this by hand, why the worker cannot start, and end it."""
    import runpod

    from handler import fitness

    if sdk.on_platform():
        unfit = fitness.unfit(error)
        runpod.serverless.register_fitness_check(unfit)
        runpod.serverless.start({"handler": unfit})
    sys.exit(f"The worker cannot start. {error}")


if __name__ == "__main__":
    main()
