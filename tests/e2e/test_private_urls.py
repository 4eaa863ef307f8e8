"""A URL in a job never makes the worker connect to a private address, and the refusal tells nothing about it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.e2e.jobs import ERROR_LINE, small
from tests.support.client import Client, Record
from tests.support.worker import wait_for


class Listener:
    """A port of this machine that counts who connects."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.connections = 0
        threading.Thread(target=self._count, daemon=True).start()

    def _count(self) -> None:
        try:
            while True:
                self._socket.accept()[0].close()
                self.connections += 1
        except OSError:
            return

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener()
    with socket.create_connection(("127.0.0.1", listener.port)):
        pass
    wait_for(lambda: listener.connections == 1, 60, "the listener")
    listener.connections = 0
    yield listener
    listener.close()


def failed(record: Record) -> str:
    assert record["status"] == "FAILED"
    assert ERROR_LINE.fullmatch(record["error"]), record["error"]
    assert record["output"]["status"] == 422
    return str(record["error"])


def test_lora_urls_of_private_addresses_are_refused_alike(client: Client, listener: Listener) -> None:
    hosts = ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]")
    urls = [f"http://{host}:{listener.port}/lora.safetensors" for host in hosts]
    urls += ["http://169.254.169.254/latest/meta-data"]
    ids = [client.run(small(loras=[{"path": url, "scale": 1}])) for url in urls]
    records = [client.result(job_id) for job_id in ids]
    assert len({failed(record) for record in records}) == 1
    assert {detail["type"] for record in records for detail in record["output"]["detail"]} == {"file_download_error"}
    assert listener.connections == 0


def test_uploads_to_private_addresses_are_refused(client: Client, listener: Listener) -> None:
    url = f"http://127.0.0.1:{listener.port}"
    bucket = {"accessId": "a", "accessSecret": "s", "bucketName": "bucket", "endpointUrl": url}
    fields = ("s3Config.endpointUrl", "uploadUrl")
    jobs = [
        client.run(small(1, sync_mode=False), s3Config=bucket),
        client.run(small(1, sync_mode=False), uploadUrl=f"{url}/{{file_name}}", uploadToken="t"),
    ]
    for job_id, field in zip(jobs, fields, strict=True):
        assert f"{field}: This must be the http or https URL of a public host" in failed(client.result(job_id))
    assert listener.connections == 0
