"""A real S3 server for tests: OpenStack Swift's S3 API, which checks signatures and the expiry of links.

A pytest plugin: `s3_server` is started once a session, `bucket` is a new one for each test,
`new_bucket()` makes more. The server lives in
a venv of its own, `.venv-s3`, made by `tests/support/install_s3.sh`; without it the tests fail.
"""

from __future__ import annotations

import os
import secrets
import select
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-s3" / "bin" / "python"
SERVER = Path(__file__).with_name("swift_server.py")
ACCESS_KEY = "test:worker"
START_S = 60
STOP_S = 10


@dataclass(frozen=True)
class S3Server:
    """endpoint: `http://127.0.0.1:<port>`. One account, which may do everything."""

    endpoint: str
    access_key: str
    secret: str

    def client(self) -> Any:
        """boto3, as its users configure it for a server of their own."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret,
            region_name="us-east-1",
            config=Config(
                s3={"addressing_style": "path"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )


@dataclass(frozen=True)
class Bucket:
    """A bucket of the server, looked at from outside the code under test."""

    server: S3Server
    name: str
    client: Any

    def keys(self) -> list[str]:
        """Every key in it, in order."""
        answer = self.client.list_objects_v2(Bucket=self.name)
        return [entry["Key"] for entry in answer.get("Contents", [])]

    def read(self, key: str) -> bytes:
        body: bytes = self.client.get_object(Bucket=self.name, Key=key)["Body"].read()
        return body

    def head(self, key: str) -> dict[str, Any]:
        head: dict[str, Any] = self.client.head_object(Bucket=self.name, Key=key)
        return head


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    if not PYTHON.exists():
        pytest.fail(f"There is no S3 server to test against: run {SERVER.with_name('install_s3.sh')}")
    folder = _folder_with_xattrs(tmp_path_factory.mktemp("s3"), ROOT / ".pytest_cache")
    secret = secrets.token_urlsafe(12)
    log = folder / "server.log"
    # It reads our end of a pipe and stops when that closes, so it ends with us however we end.
    # Isolated: a module beside the script must not be taken for one of the standard library.
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            [PYTHON, "-I", "-W", "ignore", SERVER, folder / "data", ACCESS_KEY, secret],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        ) as process,
    ):
        try:
            yield S3Server(_first_line(process, log), ACCESS_KEY, secret)
        finally:
            _stop(process)
            shutil.rmtree(folder)


@pytest.fixture(scope="session")
def new_bucket(s3_server: S3Server) -> Callable[[], Bucket]:
    """Makes an empty bucket at each call."""
    client = s3_server.client()

    def make() -> Bucket:
        name = f"test-{secrets.token_hex(6)}"
        client.create_bucket(Bucket=name)
        return Bucket(s3_server, name, client)

    return make


@pytest.fixture
def bucket(new_bucket: Callable[[], Bucket]) -> Bucket:
    return new_bucket()


def _folder_with_xattrs(*candidates: Path) -> Path:
    """The first candidate whose filesystem keeps extended attributes, where Swift has its metadata."""
    for candidate in candidates:
        folder = candidate / f"s3-{secrets.token_hex(4)}"
        folder.mkdir(parents=True)
        try:
            os.setxattr(folder, "user.swift.test", b"x" * 3000)
        except OSError:
            folder.rmdir()
            continue
        return folder
    pytest.fail(f"No filesystem with extended attributes at {' or '.join(map(str, candidates))}")


def _first_line(process: subprocess.Popen[bytes], log: Path) -> str:
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], START_S)
    line = process.stdout.readline().decode().strip() if ready else ""
    if not line.startswith("http://"):
        pytest.fail(f"The S3 server did not start:\n{log.read_text(errors='replace')}")
    return line


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Let it end, then make sure that nothing of its group is left."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
