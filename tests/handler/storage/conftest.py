"""What the storage tests share: the S3 server, an environment without storage, short patience."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from handler.storage.delivery import Reach
from handler.storage.patience import Patience
from handler.storage.s3 import S3Store
from handler.storage.target import S3Target

if TYPE_CHECKING:
    from tests.support.s3 import Bucket

QUICK = Patience(attempts=3, total_s=120, connect_s=30, silence_s=30, pause_s=0.02)
"""Few tries and short pauses, and time enough for a server on a busy machine."""


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.import_plugin("tests.support.s3")


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No storage, AWS or proxy settings of the machine that runs the tests."""
    for name in list(os.environ):
        if name.upper().startswith(("BUCKET_", "AWS_", "FOOOCUS_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")):
            monkeypatch.delenv(name)


def target_of(bucket: Bucket, **changes: object) -> S3Target:
    """The bucket as the operator of its server would configure it."""
    plain = {
        "endpoint_url": bucket.server.endpoint,
        "access_key_id": bucket.server.access_key,
        "secret_access_key": bucket.server.secret,
        "bucket_name": bucket.name,
    }
    return S3Target(**{**plain, **changes})


def store_of(bucket: Bucket, job_id: str = "job-1", patience: Patience = QUICK, **changes: object) -> S3Store:
    return S3Store(target_of(bucket, **changes), job_id, Reach.ANY, patience)
