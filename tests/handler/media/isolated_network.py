"""A whole small internet in a network namespace, and the downloads that are tried in it.

Run as `unshare -Urnm python -m tests.handler.media.isolated_network`: the loopback device gets global, private
and link-local addresses, a real DNS server answers on port 53, an origin listens on the global addresses and a
canary on everything else, both on port 80. Prints one JSON object; see `test_isolated_network`.
"""

from __future__ import annotations

import itertools
import json
import socket
import subprocess
import sys
import tempfile
import threading
from collections import Counter

from handler.media.fetch import FetchPolicy, fetch
from schemas.errors import FileDownloadError

from .servers import asked_name, dns_answer
from .url_forms import url_forms

GLOBAL = ("93.184.216.34", "2606:2800:220:1::1")
INTERNAL = (
    "10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "169.254.169.254", "198.18.0.1", "192.0.2.1", "fd00::1",
    "2002:7f00:1::1", "64:ff9b::7f00:1", "2001:0:4136:e378:8000:63bf:80ff:fffe",
)  # fmt: skip
POLICY = FetchPolicy(connect_s=1, first_byte_s=1, total_s=3)
ZONE = {
    "good.test": [["93.184.216.34"]],
    "six.test": [["2606:2800:220:1::1"]],
    "both.test": [["93.184.216.34", "2606:2800:220:1::1"]],
    "unused-first.test": [["93.184.216.99", "93.184.216.34"]],
    "local.test": [["127.0.0.1"]],
    "local6.test": [["::1"]],
    "ula.test": [["fd00::1"]],
    "metadata.test": [["169.254.169.254"]],
    "mixed.test": [["93.184.216.34", "10.0.0.1"]],
    "mixed6.test": [["93.184.216.34", "fd00::1"]],
    "mapped.test": [["::ffff:127.0.0.1"]],
    "nat64.test": [["64:ff9b::7f00:1"]],
    "sixtofour.test": [["2002:7f00:1::1"]],
    "teredo.test": [["2001:0:4136:e378:8000:63bf:80ff:fffe"]],
    "zero.test": [["0.0.0.0"]],
    "benchmark.test": [["198.18.0.1"]],
    "carrier.test": [["100.64.0.1"]],
    "alias-good.test": [["93.184.216.34"]],
    "alias-local.test": [["127.0.0.1"]],
    "rebind.test": [["93.184.216.34"], ["127.0.0.1"]],
    "rebind-back.test": [["127.0.0.1"], ["93.184.216.34"]],
    "missing.test": [[]],
}
"""Answers by name; a name with several gives them in turn, with a time to live of 0."""

REACHABLE = {"good.test", "six.test", "both.test", "unused-first.test", "alias-good.test"}
TARGETS = ("http://127.0.0.1/", "http://[::1]/", "http://local.test/", "http://169.254.169.254/", "http://10.0.0.1/",
           "//192.168.0.1/", "http://mixed.test/", "http://0.0.0.0/", "http://[64:ff9b::7f00:1]/", "http://127.1/",
           "http://metadata.test/latest/", "http://[fd00::1]/", "http://alias-local.test/", "http://localhost/",
           )  # fmt: skip

origin_hits: list[str] = []
canary_hits: list[tuple[str, str]] = []
lookups: Counter[str] = Counter()


def prepare() -> None:
    """Addresses, routes and the resolver's configuration, all inside the namespaces."""
    commands = [
        "ip link set lo up",
        *(f"ip -6 addr add {a}/128 dev lo nodad" for a in (*GLOBAL, *INTERNAL) if ":" in a),
    ]
    commands += [f"ip addr add {a}/32 dev lo" for a in (*GLOBAL, *INTERNAL) if "." in a]
    for command in commands:
        subprocess.run(command.split(), check=True)
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
        file.flush()
        subprocess.run(["mount", "--bind", file.name, "/etc/resolv.conf"], check=True)


def serve_names() -> None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 53))
    while True:
        query, client = sock.recvfrom(2048)
        name = asked_name(query)
        answers = ZONE.get(name, [[]])
        # A resolver asks for A and AAAA together; both belong to one lookup.
        turn = min(lookups[name] // 2, len(answers) - 1)
        lookups[name] += 1
        alias = f"real.{name}" if name.startswith("alias") else None
        sock.sendto(dns_answer(query, answers[turn], alias), client)


def listen(family: socket.AddressFamily, address: str) -> None:
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    listener.bind((address, 80))
    listener.listen(64)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=answer, args=(connection,), daemon=True).start()


def answer(connection: socket.socket) -> None:
    """The origin redirects as its path says, /<code>/<depth>/<target>; anything else is the canary."""
    with connection:
        connection.settimeout(30)
        local = connection.getsockname()[0]
        head = connection.recv(65536).decode("latin-1")
        path = head.split(" ")[1] if " " in head else ""
        if local not in GLOBAL:
            canary_hits.append((local, head[:80]))
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\ncanary")
            return
        origin_hits.append(path)
        _, code, depth, target = [*path.split("/", 3), "", "", ""][:4]
        if not code.isdecimal():
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\norigin")
            return
        location = f"/{code}/{int(depth) - 1}/{target}" if int(depth) > 1 else bytes.fromhex(target).decode()
        connection.sendall(f"HTTP/1.1 {code} X\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode())


def attempt(url: str) -> str:
    try:
        return fetch(url, ("url",), POLICY).decode()
    except FileDownloadError as error:
        return str(error)


def touch(*addresses: str) -> None:
    """Visit the canary without the worker's rules, to see that it notices."""
    for address in addresses:
        with socket.create_connection((address, 80), timeout=30) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
            connection.recv(100)


def main() -> None:
    prepare()
    threading.Thread(target=serve_names, daemon=True).start()
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        threading.Thread(target=listen, args=(family, address), daemon=True).start()
    names = {name: attempt(f"http://{name}/") for name in ZONE}
    rebound = attempt("http://rebind.test/")
    redirects = {
        f"{code} {depth} {target}": attempt(f"http://good.test/{code}/{depth}/{target.encode().hex()}")
        for code, depth, target in itertools.product((301, 302, 303, 307, 308), (1, 2, 3), TARGETS)
    }
    followed = attempt(f"http://good.test/302/3/{b'http://six.test/'.hex()}")
    forms = {url: attempt(url) for target in INTERNAL[:6] if "." in target for url in url_forms(target, 80)}
    seen = list(canary_hits)
    touch("10.0.0.1", "127.0.0.1", "169.254.169.254", "fd00::1", "::1")
    report = {
        "names": names,
        "rebound": rebound,
        "redirects": redirects,
        "followed": followed,
        "forms": {url: text for url, text in forms.items() if text != str(FileDownloadError(("url",)))},
        "tried": len(forms),
        "canary": seen,
        "control": len(canary_hits) - len(seen),
        "origin": len(origin_hits),
    }
    json.dump(report, sys.stdout)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
