"""The README's lines that point a fal client at the gateway, run as they stand; only the ports are this test's."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import urllib.request
from pathlib import Path

import pytest
from PIL import Image

from tests.e2e.fal.conftest import address_of
from tests.support.fal.clients import HERE, ROOT, VENVS
from tests.support.gateway import GatewayProcess

SECTION = re.search(
    r"^### Point your fal client at it\n(.*?)^##", (ROOT / "README.md").read_text("utf-8"), re.DOTALL | re.MULTILINE
)[1]
PROXY, REWRITING, MIDDLEWARE, FETCH = re.findall(r"```js\n(.*?)```", SECTION, re.DOTALL)
TUNNEL, VARIABLES, CURL = re.findall(r"```bash\n(.*?)```", SECTION, re.DOTALL)
(HELPER,) = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)

IMPORT, CALL = PROXY.split("\n", 1)[0], PROXY[PROXY.index("const { data }") :]
PROGRAM = """
import fal_client

result = fal_client.subscribe(
    "fal-ai/fooocus", arguments={"prompt": "a red circle on a blue background", "aspect_ratio": "256x256"}
)
print(result["images"][0]["url"])
"""


def ported(text: str, gateway: GatewayProcess) -> str:
    """The block for this gateway."""
    return text.replace("127.0.0.1:8888", gateway.url[7:]).replace("127.0.0.1:8443", address_of(gateway).https[8:])


def printed(command: list[str], folder: Path, **environment: str) -> str:
    """What a program of a user printed."""
    clean = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8", **environment}
    done = subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def check_picture(url: str) -> None:
    with urllib.request.urlopen(url, timeout=60) as response, Image.open(io.BytesIO(response.read())) as picture:
        assert (picture.format, picture.size) == ("JPEG", (256, 256))


@pytest.mark.parametrize(
    "program",
    [PROXY, "\n".join((IMPORT, REWRITING, MIDDLEWARE, CALL)), "\n".join((IMPORT, REWRITING, FETCH, CALL))],
    ids=["proxy", "middleware", "fetch"],
)
def test_javascript(program: str, painting: GatewayProcess, tmp_path: Path) -> None:
    (tmp_path / "node_modules").symlink_to(HERE / "node_modules")
    (tmp_path / "app.mjs").write_text(ported(program, painting), "utf-8")
    check_picture(printed(["node", "app.mjs"], tmp_path))


@pytest.mark.parametrize("lines", [TUNNEL, VARIABLES], ids=["tunnel", "variables"])
def test_python_unchanged(lines: str, painting: GatewayProcess, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(PROGRAM, "utf-8")
    (tmp_path / "gateway-data").symlink_to(painting.data)
    path = f"{VENVS / 'newest' / 'bin'}:{os.environ['PATH']}"
    check_picture(printed(["bash", "-ec", ported(lines, painting)], tmp_path, PATH=path))


def test_python_with_one_import_more(painting: GatewayProcess, tmp_path: Path) -> None:
    (tmp_path / "local_fal.py").write_text(ported(HELPER, painting), "utf-8")
    (tmp_path / "app.py").write_text("import local_fal\n" + PROGRAM, "utf-8")
    check_picture(printed([str(VENVS / "oldest" / "bin" / "python"), "app.py"], tmp_path, FAL_KEY="any-local-key"))


def test_curl(painting: GatewayProcess, tmp_path: Path) -> None:
    answer = json.loads(printed(["bash", "-ec", ported(CURL, painting)], tmp_path))
    check_picture(answer["images"][0]["url"])
