"""A worker that is not fit for jobs tells the platform why, in words, takes no job, and ends with code 1."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.platform import Platform
from tests.support.worker import READY_S, WorkerProcess, wait_for


@pytest.fixture
def styles(tmp_path: Path) -> Path:
    """A folder with a file of styles that nobody expects."""
    folder = tmp_path / "odd_styles"
    folder.mkdir()
    (folder / "odd.json").write_text("[1]")
    return folder


@pytest.mark.parametrize(
    ("environment", "check", "words"),
    [
        ({"FOOOCUS_CHECKPOINT": "hf:some/model"}, "worker_starts", "The checkpoint hf:some/model was not found"),
        (
            {
                "BUCKET_ENDPOINT_URL": "http://127.0.0.1:9", "BUCKET_NAME": "pictures", "BUCKET_ACCESS_KEY_ID": "id",
                "BUCKET_SECRET_ACCESS_KEY": "hidden", "FOOOCUS_UPLOAD_SECONDS": "1", "FOOOCUS_WARM_UP": "0",
            },
            "storage_is_reachable", "bucket pictures at 127.0.0.1:9",
        ),
        ({"FOOOCUS_STYLES_DIR": "odd_styles"}, "worker_starts", "Something went wrong in the worker"),
    ],
    ids=["weights", "storage", "unforeseen"],
)  # fmt: skip
def test_the_platform_hears_why(
    own_platform: Platform, tmp_path: Path, styles: Path, environment: dict[str, str], check: str, words: str
) -> None:
    worker = WorkerProcess(own_platform, tmp_path, "unfit", environment=environment)
    worker.start()
    try:
        wait_for(lambda: not worker.alive(), READY_S, "the end of the worker")
        assert worker.exit_code(60) == 1
    finally:
        worker.end()
    (ping,) = own_platform.seen("ping", "unfit")
    assert (ping.query["status"], ping.query["check"]) == ("unhealthy", check)
    assert words in ping.query["reason"]
    assert words in worker.log()
    assert "hidden" not in ping.query["reason"] + worker.log()
    assert not worker.polls()
