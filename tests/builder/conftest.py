"""What the builder's tests share: a site, bytes with a hash, catalogue entries that point at the site."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.hosts import HUGGING_FACE, Hosts
from builder.transfer import Downloader, Patience
from schemas.catalogue import ModelFile
from tests.builder.server import Site, serving

QUICK = Patience(attempts=4, first_wait=0.01, longest_wait=0.05, connect_timeout=60, read_timeout=60)
BYTES = random.Random(7).randbytes(300_000)


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy, mirror, token or models folder of the machine that runs the tests."""
    for name in ("HF_MIRROR", "HF_ENDPOINT", "HF_TOKEN", "CIVITAI_TOKEN", "FOOOCUS_MODELS_DIR", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as running:
        yield running


@pytest.fixture
def downloader(site: Site) -> Downloader:
    """Asks the site for everything that the catalogue places on Hugging Face."""
    return Downloader(Hosts(mirror=site.base), QUICK)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


def entry(name: str = "tiny.safetensors", body: bytes | None = BYTES, **changes: object) -> ModelFile:
    """A catalogue entry `loras/<name>` whose preferred source is `/preferred/<name>` of the site."""
    facts: dict[str, object] = {
        "name": name,
        "folder": "loras",
        "features": (),
        "bytes": None if body is None else len(body),
        "sha256": None if body is None else hashlib.sha256(body).hexdigest(),
        "licence": "Example Licence 1.0",
        "origin": f"{HUGGING_FACE}/someone/something",
        "urls": (f"{HUGGING_FACE}/preferred/{name}",),
    }
    return ModelFile.model_validate(facts | changes)
