"""One platform and one worker for all cases that do not need a worker of their own."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.e2e.file_store import FileStore, serving_files
from tests.e2e.jobs import pixels, small, without_pictures
from tests.support.client import Client
from tests.support.gateway import AT_ONCE
from tests.support.platform import Platform, serving
from tests.support.worker import ROOT, WorkerProcess, running

NEUTRAL_LORA = ROOT / "builder/demo/bundle/loras/sd_xl_offset_example-lora_1.0.safetensors"
LEAKS = ("Traceback", 'File "', "site-packages", sys.prefix, str(ROOT))
"""What no posted body may hold."""

Start = Callable[..., WorkerProcess]


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.import_plugin("tests.support.s3")


@pytest.fixture(scope="session", autouse=True)
def _orderly_end() -> None:
    """A test run that is told to end takes its workers along."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture(scope="session")
def platform() -> Iterator[Platform]:
    with serving(Platform()) as platform:
        yield platform


@pytest.fixture(scope="session")
def file_store() -> Iterator[FileStore]:
    """The place for uploads that the shared worker trusts, although it is at a private address."""
    with serving_files() as store:
        yield store


@pytest.fixture(scope="session")
def shared_worker(
    platform: Platform, file_store: FileStore, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WorkerProcess]:
    """The demo model, every step reported; its models folder holds a LoRA that shows and broken ones.

    It takes two jobs at once, so that the next of jobs that come one after the other need not wait for the second in
    which the SDK looks for more.
    """
    home = tmp_path_factory.mktemp("worker")
    loras = home / "models" / "loras"
    loras.mkdir(parents=True)
    (loras / "damaged.safetensors").write_bytes(b"\xff" * 4096)
    (loras / "empty.safetensors").touch()
    (loras / "folder.safetensors").mkdir()
    save_file(strong_lora(), loras / "strong.safetensors")
    environment = {"FOOOCUS_PROGRESS_INTERVAL_S": "0", "FOOOCUS_UPLOAD_ORIGIN": file_store.origin, **AT_ONCE}
    with running(WorkerProcess(platform, home, "shared", environment=environment)) as worker:
        yield worker


def strong_lora() -> dict[str, np.ndarray]:
    """The demo's neutral LoRA with random numbers where its zeros are."""
    random = np.random.default_rng(1)
    tensors = load_file(NEUTRAL_LORA)
    up = {name: tensor for name, tensor in tensors.items() if name.endswith("lora_up.weight")}
    noise = {name: random.normal(scale=0.05, size=tensor.shape) for name, tensor in up.items()}
    return tensors | {name: values.astype(np.float16) for name, values in noise.items()}


@pytest.fixture(scope="session")
def reference(platform: Platform, shared_worker: WorkerProcess) -> bytes:
    """The pixels of `small()` on the fresh worker."""
    return pixels(Client(platform).done(small()))[0]


@pytest.fixture(scope="module")
def worker(platform: Platform, shared_worker: WorkerProcess, reference: bytes) -> Iterator[WorkerProcess]:
    """The shared worker; after a file it is alive, renders as on its first day, and has left and leaked nothing."""
    first = len(platform.calls)
    logged = len(shared_worker.log())
    yield shared_worker
    assert pixels(Client(platform).done(small())) == [reference]
    check_no_leaks(platform, shared_worker, first)
    assert shared_worker.alive()
    assert list(shared_worker.temp.rglob("*")) == []
    assert "never retrieved" not in shared_worker.log()[logged:]


def check_no_leaks(platform: Platform, worker: WorkerProcess, first: int = 0) -> None:
    """Nothing posted since call `first` tells of paths or tracebacks."""
    for call in platform.calls[first:]:
        if call.method == "POST" and call.operation in ("job-done", "progress"):
            text = without_pictures(call.body)
            assert not [leak for leak in (*LEAKS, str(worker.home)) if leak in text], text


@pytest.fixture
def client(platform: Platform, worker: WorkerProcess) -> Client:
    return Client(platform)


SPAWNING = """
import multiprocessing, runpy, sys
if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    sys.argv = ["handler"]
    runpy.run_module("handler", run_name="__main__", alter_sys=True)
"""


@pytest.fixture(scope="session")
def pair_worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    """A worker that takes two jobs at once and starts processes by spawning them, on a platform of its own."""
    environment = {"FOOOCUS_CONCURRENCY": "2", "FOOOCUS_PROGRESS_INTERVAL_S": "0"}
    with serving(Platform()) as platform:
        home = tmp_path_factory.mktemp("pair")
        with running(WorkerProcess(platform, home, "pair", ("-u", "-c", SPAWNING), environment)) as worker:
            yield worker


@pytest.fixture(scope="session")
def lone_worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    """A worker that takes one job at a time, as workers do unless told otherwise, on a platform of its own."""
    with serving(Platform()) as platform:
        worker = WorkerProcess(platform, tmp_path_factory.mktemp("lone"), "lone", environment={"FOOOCUS_WARM_UP": "0"})
        with running(worker):
            yield worker


@pytest.fixture
def own_platform() -> Iterator[Platform]:
    """A platform for one test, whose polls are short so that a worker that is told to end can do so."""
    with serving(Platform(hold_s=2)) as platform:
        yield platform


@pytest.fixture
def start(own_platform: Platform, tmp_path: Path) -> Iterator[Start]:
    """Starts a worker of the test's own on `own_platform`, with `arguments`, `environment`, `hide`."""
    started: list[WorkerProcess] = []

    def start(**options: object) -> WorkerProcess:
        home = tmp_path / f"worker-{len(started)}"
        worker = WorkerProcess(own_platform, home, home.name, **options)  # type: ignore[arg-type]
        worker.start()
        started.append(worker)
        worker.wait_ready()
        return worker

    yield start
    for worker in started:
        worker.end()
