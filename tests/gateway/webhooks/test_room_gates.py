"""Only the guarded place of the gateway calls out.

A list of what each module imports, taken from its syntax tree: a new import of a network library fails here until it
is added to the allow-list by hand.
"""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

import gateway

ROOT = Path(gateway.__file__).parent
NETWORK = {
    "aiohttp", "asyncio.streams", "boto3", "ftplib", "http.client", "httpcore", "httpcore2", "httpx", "httpx2",
    "huggingface_hub", "pycurl", "requests", "smtplib", "socket", "ssl", "telnetlib", "urllib.request", "urllib3",
    "schemas.bucket.make_client", "websockets", "xmlrpc",
}  # fmt: skip
OPENING = {"open_connection", "create_connection", "open_unix_connection", "sock_connect", "connect_tcp"}
"""What opens a connection without an import that tells."""

MAY_USE = {
    "webhooks/egress.py": {"httpcore2", "socket", "ssl"},
    # To the one endpoint the operator named, and to the pictures its results name.
    "fleet/runpod/client.py": {"httpx2", "ssl"},
    "fleet/runpod/download.py": {"httpcore2", "ssl"},
    # To the one bucket the operator named.
    "fleet/runpod/bucket/bucket.py": {"schemas.bucket.make_client"},
    # To listen.
    "checks.py": {"socket"},
    "serve.py": {"socket", "ssl"},
    "tls.py": {"ssl"},
}
MAY_OPEN = {
    "webhooks/egress.py": {"connect_tcp"},
    # From a caller to our own HTTPS.
    "tunnel.py": {"create_connection"},
}


@functools.cache
def modules() -> dict[str, ast.Module]:
    files = sorted(ROOT.rglob("*.py"))
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text("utf-8")) for path in files}


def imported(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Call) and called(node) in ("import_module", "__import__"):
            names |= {str(argument.value) for argument in node.args if isinstance(argument, ast.Constant)}
    return names


def called(node: ast.Call) -> str:
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


def libraries(tree: ast.Module) -> set[str]:
    names = [f"{name}." for name in imported(tree)]
    return {library for library in NETWORK if any(name.startswith(f"{library}.") for name in names)}


def opened(tree: ast.Module) -> set[str]:
    return {called(node) for node in ast.walk(tree) if isinstance(node, ast.Call)} & OPENING


@pytest.mark.parametrize("module", sorted(modules()))
def test_no_other_module_calls_out(module: str) -> None:
    assert libraries(modules()[module]) <= MAY_USE.get(module, set())
    assert opened(modules()[module]) <= MAY_OPEN.get(module, set())


def test_the_lists_name_only_what_is_used() -> None:
    assert {module: libraries(modules()[module]) for module in MAY_USE} == MAY_USE
    assert {module: opened(modules()[module]) for module in MAY_OPEN} == MAY_OPEN


@pytest.mark.parametrize(
    "source",
    [
        "import httpx2", "from urllib import request", "import socket", "from asyncio import streams",
        "import importlib\nimportlib.import_module('requests')", "def f():\n    import http.client",
    ],
)  # fmt: skip
def test_the_gate_sees_an_import_in_any_form(source: str) -> None:
    assert libraries(ast.parse(source))


def test_the_gate_sees_connections_of_asyncio() -> None:
    assert opened(ast.parse("import asyncio\nasync def f():\n    await asyncio.open_connection('h', 1)"))
