"""A whole worker on the committed bundle."""

from __future__ import annotations

import pytest

from handler.job import Worker
from handler.settings import SafetyPolicy, Settings
from handler.start import start_worker
from handler.storage.settings import StorageSettings


@pytest.fixture(scope="package")
def demo_worker(tmp_path_factory: pytest.TempPathFactory) -> Worker:
    settings = Settings(
        models_dir=tmp_path_factory.mktemp("models"),
        checkpoint=None,
        device="cpu",
        previews=False,
        warm_up=False,
        safety_policy=SafetyPolicy.OFF,
    )
    return start_worker(settings, StorageSettings())
