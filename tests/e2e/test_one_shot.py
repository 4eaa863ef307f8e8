"""`python -m handler` by hand: a picture in `outputs/`, the result as JSON, honest exit codes, no network."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.support.worker import HANDLER, ROOT, clean_environment

NAMESPACE = ("unshare", "--map-root-user", "--net")
LOOPBACK_ONLY = """
import fcntl, os, socket, struct, sys
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
with socket.socket() as any_socket:
    fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))
assert [name for _, name in socket.if_nameindex()] == ["lo"], socket.if_nameindex()
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


@dataclass(frozen=True)
class Run:
    """One run that ended. isolated: the loopback interface was the only one it had."""

    home: Path
    code: int
    out: str
    err: str
    isolated: bool = False


def run_once(home: Path, *arguments: str, isolated: bool = False, **environment: str) -> Run:
    python = [*NAMESPACE, sys.executable, "-c", LOOPBACK_ONLY] if isolated else [sys.executable]
    done = subprocess.run(
        [*python, *HANDLER, *arguments],
        cwd=home,
        env=clean_environment(home) | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    return Run(home, done.returncode, done.stdout, done.stderr, isolated)


def namespaces_refused() -> str:
    """Why this system permits no network namespace, or nothing. A missing tool is a failure of the test."""
    assert shutil.which("unshare"), "unshare (util-linux) is not installed."
    tried = subprocess.run([*NAMESPACE, "true"], capture_output=True, text=True, check=False)
    return tried.stderr.strip() if tried.returncode else ""


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The project's own example at a smaller size, without a network where the system allows that."""
    home = tmp_path_factory.mktemp("example")
    job = json.loads((ROOT / "test_input.json").read_text())
    job["input"]["aspect_ratio"] = "256x256"
    (home / "test_input.json").write_text(json.dumps(job))
    return run_once(home, isolated=not namespaces_refused())


def printed(text: str) -> Any:
    """The JSON object among the SDK's lines."""
    return json.JSONDecoder().raw_decode(text, text.index("{\n"))[0]


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_the_example_leaves_its_picture_in_outputs(example: Run) -> None:
    assert example.code == 0, example.err
    [image] = printed(example.out)["images"]
    [file] = files_below(example.home / "outputs")
    assert file.name == image["file_name"]
    with Image.open(file) as decoded:
        assert (decoded.format, decoded.size) == ("JPEG", (256, 256))
    assert file.stat().st_size == image["file_size"]
    assert "step" in example.err, "There is no progress bar."
    assert files_below(example.home / "tmp") == []


def test_the_example_runs_with_loopback_only(example: Run) -> None:
    if not example.isolated:
        pytest.skip(f"This system permits no network namespace: {namespaces_refused()}")
    assert example.code == 0, example.err
    assert not [word for word in ("ConnectionError", "Temporary failure", "unreachable") if word in example.err]


def test_a_bad_job_exits_1_and_names_the_field(tmp_path: Path) -> None:
    job = json.dumps({"input": {"prompt": "x", "num_images": 0}})
    run = run_once(tmp_path, "--test_input", job, FOOOCUS_WARM_UP="false")
    assert run.code == 1
    assert "body.num_images" in run.out
    assert "Traceback" not in run.out + run.err
    assert not (tmp_path / "outputs").exists()


def test_a_checkpoint_that_is_not_there_exits_1_before_anything_starts(tmp_path: Path) -> None:
    run = run_once(tmp_path, FOOOCUS_CHECKPOINT="nowhere.safetensors")
    assert run.code == 1
    assert "nowhere.safetensors" in run.err
    assert "Traceback" not in run.err
