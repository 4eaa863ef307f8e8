"""The worker opens no connection off the machine: a job runs where the loopback interface is the only one."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.support.worker import HANDLER, ROOT, clean_environment

NAMESPACE = ("unshare", "--map-root-user", "--net")
LOOPBACK_UP = """
import fcntl, os, socket, struct, sys
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
with socket.socket() as any_socket:
    fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))
assert [name for _, name in socket.if_nameindex()] == ["lo"], socket.if_nameindex()
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def require_namespaces() -> None:
    """Skip where the system forbids them to this user; a missing tool is a failure."""
    assert shutil.which("unshare"), "unshare (util-linux) is not installed."
    tried = subprocess.run([*NAMESPACE, "true"], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        pytest.skip(f"This system permits no network namespaces: {tried.stderr.strip()}")


def test_the_example_runs_with_loopback_only(tmp_path: Path) -> None:
    require_namespaces()
    shutil.copy(ROOT / "test_input.json", tmp_path)
    job = json.loads((tmp_path / "test_input.json").read_text())
    job["input"]["aspect_ratio"] = "256x256"
    (tmp_path / "test_input.json").write_text(json.dumps(job))
    done = subprocess.run(
        [*NAMESPACE, sys.executable, "-c", LOOPBACK_UP, *HANDLER],
        cwd=tmp_path,
        env=clean_environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    [file] = (path for path in (tmp_path / "outputs").rglob("*") if path.is_file())
    with Image.open(file) as decoded:
        assert (decoded.format, decoded.size) == ("JPEG", (256, 256))
    assert not [word for word in ("ConnectionError", "Temporary failure", "unreachable") if word in done.stderr]
    assert list((tmp_path / "tmp").iterdir()) == []
