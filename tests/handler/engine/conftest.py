"""The golden set's tiny SDXL, loaded from a models folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from handler.engine.checkpoint import SdxlModel
from tests.support.models import load_tiny, make_models


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder, to be left as it is."""
    return make_models(tmp_path_factory.mktemp("tiny") / "models")


@pytest.fixture(scope="session")
def tiny(tiny_models: Path) -> SdxlModel:
    """One model for all tests; whoever patches it takes the patch off again."""
    return load_tiny(tiny_models)
