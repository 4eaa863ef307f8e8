"""Only the guarded places may reach the network or decode pictures.

A list of what each module of the worker imports, taken from its syntax tree: a new import of a network library, or
of a picture decoder, fails here until it is added to the allow-list by hand.
"""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from pathlib import Path

import handler

ROOT = Path(handler.__file__).parent
NETWORK = {
    "aiohttp", "asyncio.streams", "ftplib", "http.client", "httpcore", "httpx", "huggingface_hub", "pycurl",
    "requests", "smtplib", "socket", "ssl", "telnetlib", "urllib.request", "urllib3", "websockets", "xmlrpc",
}  # fmt: skip
MAY_USE_NETWORK = {
    "media/connection.py": {"socket", "ssl", "http.client"},
    "media/fetch.py": {"http.client"},
    "media/resolver.py": {"socket"},
    # The session to RunPod's API, whose URL the platform sets.
    "sdk.py": {"aiohttp"},
    # A socket pair between the worker and its decoding process.
    "media/decode.py": {"socket"},
    "media/decode_child.py": {"socket"},
}
STORAGE_MAY_USE = {"http.client", "socket", "ssl", "urllib3"}
"""Uploads to the configured bucket and to upload URLs, which storage checks with `media.addresses`."""

MAY_OPEN_PICTURES = {"media/pixels.py"}


@functools.cache
def modules() -> dict[str, ast.Module]:
    files = sorted(path for path in ROOT.rglob("*.py"))
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text()) for path in files}


def imported(tree: ast.Module) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__"):
            names |= {str(argument.value) for argument in node.args if isinstance(argument, ast.Constant)}
    return names


def _called(node: ast.Call) -> str:
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


def network_libraries(tree: ast.Module) -> set[str]:
    names = [f"{name}." for name in imported(tree)]
    return {library for library in NETWORK if any(name.startswith(f"{library}.") for name in names)}


def allowed(module: str) -> set[str]:
    return STORAGE_MAY_USE if module.startswith("storage/") else MAY_USE_NETWORK.get(module, set())


def test_no_other_module_imports_a_network_library():
    found = {name: network_libraries(tree) - allowed(name) for name, tree in modules().items()}
    assert {name: libraries for name, libraries in found.items() if libraries} == {}


def test_the_list_names_only_what_is_used():
    trees = modules()
    assert {name: network_libraries(trees[name]) for name in MAY_USE_NETWORK} == MAY_USE_NETWORK


OPENERS = {
    "Image.open", "PIL.Image.open", "cv2.imread", "cv2.imreadmulti", "cv2.imdecode", "cv2.imdecodemulti",
    "cv2.VideoCapture",
}  # fmt: skip


def test_no_other_module_opens_a_picture():
    """`Image.open`, Pillow's file classes and OpenCV's readers decode; arrays and raw bytes do not."""

    def opens(tree: ast.Module) -> bool:
        calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
        opening = any(ast.unparse(call.func) in OPENERS for call in calls)
        return opening or any("ImagePlugin" in name or name.startswith("imageio") for name in imported(tree))

    assert {name for name, tree in modules().items() if opens(tree)} == MAY_OPEN_PICTURES


def test_the_decoding_process_loads_nothing_of_the_worker():
    script = "import handler.media.decode_child, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "numpy", "pydantic", "requests", "urllib3", "schemas", "runpod", "boto3"} & set(loaded)
    ours = {name for name in loaded if name.startswith("handler")}
    assert ours == {
        "handler", "handler.media", "handler.media.decode_child", "handler.media.decode_protocol",
        "handler.media.pixels",
    }  # fmt: skip
