"""Is this worker fit for jobs? Checks the SDK runs before the first job, whose failures an operator understands.

RunPod shows the words of a failed check with the worker's state and starts another worker.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from handler.engine.checkpoint import check_files
from handler.engine.device import check_usable
from handler.models_folders import model_folders
from handler.settings import Settings
from handler.storage.choose import check_storage
from handler.storage.settings import StorageSettings

Check = Callable[[], None]
"""Raises when the worker is not fit. Its `__name__` is what RunPod calls the check."""

def local_checks(settings: Settings, environment: Mapping[str, str]) -> list[Check]:
    """Those of this machine, quick enough to be made before the model is loaded as well.

    environment: the process's variables, for what the platform promised.
    """

    def weights_are_complete() -> None:
        checkpoint, _ = model_folders(settings)
        check_files(checkpoint)

    def device_works() -> None:
        check_usable(settings.device, promised=environment.get("RUNPOD_GPU_COUNT", "0"))

    return [weights_are_complete, device_works]


def storage_check(storage: StorageSettings) -> Check:
    """That the configured bucket, if there is one, takes files."""

    def storage_is_reachable() -> None:
        check_storage(storage)

    return storage_is_reachable


def unfit(error: Exception) -> Callable[..., None]:
    """A check, and a handler, that fails with an error of the start."""

    def worker_starts(*_job: object) -> None:
        raise error

    return worker_starts
