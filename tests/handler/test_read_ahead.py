"""The checkpoint's files are read while the worker imports, as far as memory allows and whatever is wrong with them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from handler.engine.blueprint import COMPONENTS
from handler.engine.weight_files import NETWORKS, folder_files
from handler.models_folders import DEMO_CHECKPOINT
from handler.read_ahead import CHUNK_BYTES, ReadAhead, available_bytes, begin
from tests.support.worker import clean_environment

BIG = 100 * 2**20
PROBE = """
import json, sys, time
from pathlib import Path
from handler import read_ahead
# What other processes leave of the memory is no matter of this test.
read_ahead.available_bytes = lambda: 2**40
ahead = read_ahead.begin()
assert "torch" not in sys.modules
import handler.start
for _ in range(6000):
    if ahead.read_bytes == int(sys.argv[1]):
        break
    time.sleep(0.01)
io = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
print(json.dumps([ahead.read_bytes, int(io["rchar"])]))
"""


def put(path: Path, size: int) -> Path:
    """A file of zeros that takes no place on the disk."""
    with path.open("wb") as file:
        file.truncate(size)
    return path


def test_weights_are_read_while_modules_are_imported(tmp_path: Path) -> None:
    (tmp_path / "models" / "checkpoints").mkdir(parents=True)
    put(tmp_path / "models" / "checkpoints" / "big.safetensors", BIG)
    done = subprocess.run(
        [sys.executable, "-c", PROBE, str(BIG)],
        env=clean_environment(tmp_path) | {"FOOOCUS_CHECKPOINT": "big.safetensors"},
        cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    read, asked = json.loads(done.stdout)
    assert read == BIG
    assert asked > BIG


def test_it_reads_no_more_than_its_limit(tmp_path: Path) -> None:
    files = [put(tmp_path / "first", 1000), put(tmp_path / "second", 2 * CHUNK_BYTES)]
    ahead = ReadAhead(files, limit=CHUNK_BYTES + 10)
    ahead.start().join()
    assert ahead.read_bytes == CHUNK_BYTES + 10


def test_a_file_that_is_not_there_ends_it_quietly(tmp_path: Path) -> None:
    ahead = ReadAhead([put(tmp_path / "first", 1000), tmp_path / "absent", tmp_path / "first"], limit=10_000)
    ahead.run()
    assert ahead.read_bytes == 1000


@pytest.mark.parametrize(
    "environment",
    [{"FOOOCUS_CHECKPOINT": "absent.safetensors"}, {"FOOOCUS_CONCURRENCY": "many"}, {"FOOOCUS_CHECKPOINT": "."}],
)
def test_wrong_settings_are_not_its_business(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, environment: dict[str, str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "checkpoints").mkdir(parents=True)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert begin().files == []


def test_of_a_folder_it_reads_what_is_loaded() -> None:
    assert list(COMPONENTS) == list(NETWORKS)
    assert begin().files == folder_files(DEMO_CHECKPOINT, COMPONENTS)


def test_a_containers_bound_counts(tmp_path: Path) -> None:
    memory = tmp_path / "meminfo"
    memory.write_text("MemTotal: 9000 kB\nMemAvailable:   2000 kB\n")
    assert available_bytes(memory, tmp_path) == 2000 * 1024
    (tmp_path / "memory.current").write_text("400\n")
    for bound, available in (("max", 2000 * 1024), ("1000", 600), ("300", 0)):
        (tmp_path / "memory.max").write_text(bound)
        assert available_bytes(memory, tmp_path) == available
    # Files that were read once count as used, but make room.
    (tmp_path / "memory.stat").write_text("anon 100\ninactive_file 250\nactive_file 50\n")
    assert available_bytes(memory, tmp_path) == 150
    assert available_bytes(tmp_path / "absent", tmp_path) == 0
