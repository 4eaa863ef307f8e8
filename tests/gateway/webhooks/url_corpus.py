"""Webhook URLs that try to get inside, by the trick they use."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from urllib.parse import quote

INSIDE = ("127.0.0.1", "169.254.169.254", "10.0.0.1", "192.168.1.1", "172.16.0.1", "100.64.0.1", "0.0.0.0")
"""Loopback, the clouds' metadata, private networks, carrier NAT, this host."""

INSIDE_6 = (
    "::1", "::", "fe80::1", "fc00::1", "fd00::1", "ff02::1", "::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2001:0:7f00:1::", "2001:db8::1", "3ffe::1", "2a00::5efe:7f00:1",
)  # fmt: skip


def hosts(address: str) -> Iterator[str]:
    """Ways to write an IPv4 address that some reader takes for it."""
    number = int(ipaddress.IPv4Address(address))
    a, b, c, d = (int(part) for part in address.split("."))
    yield address
    yield str(number)
    yield hex(number)
    yield f"0{number:o}"
    yield f"{a}.{b}.{c << 8 | d}"
    yield f"{a}.{b << 16 | c << 8 | d}"
    yield f"0{a:o}.0{b:o}.0{c:o}.0{d:o}"
    yield f"{a:#x}.{b:#x}.{c:#x}.{d:#x}"
    yield f"00{a:o}.{b}.{c}.{d}"
    yield f"{a + 256}.{b}.{c}.{d}"
    yield f"{address}."
    yield quote(address[0]).replace(address[0], f"%{ord(address[0]):02x}") + address[1:]
    yield address.replace(".", "。")
    yield "".join(chr(ord(char) - 48 + 0xFF10) if char.isdigit() else char for char in address)
    yield f"[::ffff:{address}]"
    yield f"[::ffff:{number >> 16:x}:{number & 0xFFFF:x}]"
    yield f"[::{address}]"
    yield f"[::ffff:{address}%25lo]"
    yield f"[{address}]"


def urls(port: int) -> Iterator[str]:
    """URLs for a listener inside, at `port`."""
    for address in INSIDE:
        for host in hosts(address):
            yield f"http://{host}:{port}/"
    for address in INSIDE_6:
        yield f"http://[{address}]:{port}/"
    yield from (
        f"http://localhost:{port}/",
        f"http://localhost.:{port}/",
        f"http://LOCALHOST:{port}/",
        f"http://[::1%25lo]:{port}/",
        f"http://[::1%lo]:{port}/",
        f"http://1.1.1.1@127.0.0.1:{port}/",
        f"http://127.0.0.1:{port}@1.1.1.1/",
        f"http://127.0.0.1:{port}\\@1.1.1.1/",
        f"http://1.1.1.1\\@127.0.0.1:{port}/",
        f"http://1.1.1.1#@127.0.0.1:{port}/",
        f"http://127.0.0.1:{port}#.example.com/",
        f"http://127.0.0.1:{port}?.example.com/",
        f"http:127.0.0.1:{port}/",
        f"http:/127.0.0.1:{port}/",
        f"http:///127.0.0.1:{port}/",
        f"//127.0.0.1:{port}/",
        f"http:\\\\127.0.0.1:{port}\\",
        f" http://127.0.0.1:{port}/",
        f"http://127.0.0.1:{port}/ ",
        f"http://127.0.0.1 :{port}/",
        f"http://127.0.0.1\t:{port}/",
        f"ht\ntp://127.0.0.1:{port}/",
        f"http://127.0.0.1:{port}/\r\nX: y",
        f"http://127.0.0.1:0{port}/",
        f"http://127.0.0.1:+{port}/",
        f"http://127.0.0.1:{port + 65536}/",
        "http://127.0.0.1:/",
        f"http://[127.0.0.1:{port}/",
        f"http://[localhost]:{port}/",
        f"http://127。0。0。1:{port}/",
        f"ftp://127.0.0.1:{port}/",
        f"gopher://127.0.0.1:{port}/_POST",
        f"ws://127.0.0.1:{port}/",
        "file:///etc/passwd",
        "data:text/plain,x",
        "unix:/run/docker.sock",
        "",
        "http://",
        "http:///",
        f"http://{'a' * 300}/",
        f"http://1.1.1.1/{'a' * 5000}",
    )
