"""The README's lines for clients of Fooocus-API and RunPod, run as they stand; only the port is this test's."""

from __future__ import annotations

import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.gateway import GatewayProcess, RemoteWorker, joined, serving_gateway
from tests.support.paper_worker import PNG

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
PAPER = ("-u", "-m", "tests.support.paper_worker")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    home = tmp_path_factory.mktemp("readme-doors")
    process = GatewayProcess(home / "gateway")
    with serving_gateway(process), joined(RemoteWorker(process, home, "paper-1", PAPER)):
        yield process


@pytest.mark.parametrize("client", ["Fooocus-API", "RunPod"])
def test_the_program_prints_where_its_picture_is(client: str, gateway: GatewayProcess, tmp_path: Path) -> None:
    section = re.search(rf"^### Point your {client} client at it\n(.*?)^##", README, re.DOTALL | re.MULTILINE)[1]
    (program,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    program = program.replace("http://127.0.0.1:8888", gateway.url)
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    with urllib.request.urlopen(done.stdout.strip(), timeout=60) as answer:
        assert answer.read() == PNG
