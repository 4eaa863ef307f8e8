"""A generator of URLs that lead, in some client or other, to one given IPv4 address."""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Iterator
from urllib.parse import quote

OUTSIDE = "93.184.216.34"
"""A global address, used as the decoy half of confusing URLs that must be refused whole."""

NAMED = "decoy.example.org"
"""The decoy where the URL is a plain one that leads to the decoy; the test's resolver makes it dangerous."""

_RADIX = (str, hex, lambda n: f"0{n:o}")


def url_forms(address: str, port: int) -> list[str]:
    """Every form once. A resolver that answers `address` for any name makes the names in them dangerous."""
    return list(dict.fromkeys(_all(ipaddress.IPv4Address(address), port)))


def _all(address: ipaddress.IPv4Address, port: int) -> Iterator[str]:
    hosts = [*_numbers(address), *_encoded(address), *_unicode(address), *_six(address), *_names(address)]
    yield from (f"http://{host}:{port}/" for host in hosts)
    yield from _confusing(str(address), port)
    yield from _schemes(str(address), port)


def numeric_hosts(address: str) -> list[str]:
    """The spellings that a system resolver reads as numbers without asking anybody."""
    return list(dict.fromkeys(_numbers(ipaddress.IPv4Address(address))))


def _numbers(address: ipaddress.IPv4Address) -> Iterator[str]:
    whole, octets = int(address), address.packed
    yield str(address)
    for spell in _RADIX:
        yield spell(whole)
        yield f"{spell(octets[0])}.{spell(whole & 0xFFFFFF)}"
        yield f"{spell(octets[0])}.{spell(octets[1])}.{spell(whole & 0xFFFF)}"
    for spellings in itertools.product(_RADIX, repeat=4):
        yield ".".join(spell(octet) for spell, octet in zip(spellings, octets, strict=True))
    yield ".".join(f"{octet:03d}" for octet in octets)
    yield ".".join(f"0000{octet:o}" for octet in octets)
    yield ".".join(f"0x{octet:08x}" for octet in octets)
    yield f"0X{whole:X}"
    yield str(whole + 2**32)
    yield ".".join(str(octet + 256) for octet in octets)


def _encoded(address: ipaddress.IPv4Address) -> Iterator[str]:
    text = str(address)
    everything = "".join(f"%{ord(character):02x}" for character in text)
    yield everything
    yield quote(everything)
    yield text.replace(".", "%2e")
    yield text.replace(".", "%2E", 1)
    yield text.replace(".", "%252e")
    yield "".join(f"%{ord(c):02X}" if c.isdigit() else c for c in text)
    yield "%6c%6f%63%61%6c%68%6f%73%74"
    yield from (f"{text}%{code}" for code in ("00", "0a", "09", "20", "23", "2f", "40", "5c", "ff"))


def _unicode(address: ipaddress.IPv4Address) -> Iterator[str]:
    text = str(address)
    for zero in (0xFF10, 0x0660, 0x1D7CE, 0x1D7F6):
        yield "".join(chr(zero + int(c)) if c.isdigit() else c for c in text)
    circled = {str(digit): chr(0x2460 + digit - 1) for digit in range(1, 10)} | {"0": "⓪"}
    superscript = dict(zip("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹", strict=True))
    yield "".join(circled.get(c, c) for c in text)
    yield "".join(superscript.get(c, c) for c in text)
    for dot in ("。", "．", "｡", "․"):
        yield text.replace(".", dot)
    yield from ("ⓛocalhost", "locaⓁhost", "ｌｏｃａｌｈｏｓｔ", "localhoſt", "loc\u200balhost", "loc\u00adalhost")


def _six(address: ipaddress.IPv4Address) -> Iterator[str]:
    text, whole = str(address), int(address)
    high, low = f"{whole >> 16:x}", f"{whole & 0xFFFF:x}"
    inverted = whole ^ 0xFFFFFFFF
    yield from (f"[{prefix}{text}]" for prefix in ("::ffff:", "::", "64:ff9b::", "64:ff9b:1::", "::ffff:0:"))
    yield from (f"[{prefix}{high}:{low}]" for prefix in ("::ffff:", "::", "64:ff9b::", "fe80::5efe:"))
    yield f"[0:0:0:0:0:ffff:{text}]"
    yield f"[0000:0000:0000:0000:0000:FFFF:{high}:{low}]"
    yield f"[2002:{high}:{low}::1]"
    yield f"[2001:0:4136:e378:8000:63bf:{inverted >> 16:x}:{inverted & 0xFFFF:x}]"
    yield f"[2001:470:1f0b::200:5efe:{high}:{low}]"
    yield from ("[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::01]", "[fe80::1]", "[fe80::1%25lo]", "[fe80::1%lo]")
    yield from ("[::1%25lo]", "[::1%lo]", "[fd00::1]", "[fec0::1]", "[ff02::1]", "[100::1]", "[2001:db8::1]")
    yield from ("[fd00:ec2::254]", "[::ffff:0:0]", "[3fff::1]", "[5f00::1]", "[2001:2::1]", "[3ffe::1]")
    yield from (f"[{text}]", "[::1", "::1]", "[[::1]]", "[::1].example.org", "[::1]example", "::1", "[]")
    yield f"[v1.{text}]"


def _names(address: ipaddress.IPv4Address) -> Iterator[str]:
    text = str(address)
    dashed = text.replace(".", "-")
    yield from ("localhost", "LOCALHOST", "LocalHost", "localhost.", "localhost..", "localhost.localdomain")
    yield from ("ip6-localhost", "ip6-loopback", "foo.localhost", "metadata.google.internal", "instance-data")
    yield from ("kubernetes.default.svc", "host.docker.internal", "gateway", "internal", "a.b.c.d", "x--y.z")
    for service in ("nip.io", "sslip.io", "xip.io", "traefik.me", "vcap.me", "lvh.me", "example.org"):
        yield from (f"{text}.{service}", f"{dashed}.{service}", f"x.{dashed}.{service}")
    yield f"{int(address):08x}.nip.io"
    yield from (f"{text}.", f"{text}..", f".{text}", text.replace(".", "..", 1), "xn--localhost-.", "a..b")
    yield from (f"{text}_", f"-{text}", f"{text}-", "_", "-", ".", "..", "a" * 64 + ".org", "a." * 127 + "org")


def _confusing(address: str, port: int) -> Iterator[str]:
    inside = f"{address}:{port}"
    for user in ("user", "user:password", "", ":", OUTSIDE, f"{OUTSIDE}:80", "a%40b", "@", f"{OUTSIDE}%23"):
        yield f"http://{user}@{inside}/"
    for mark in ("\\", "\\\\", "/\\", "#", "?", ";", "%00", "%09", "\t", "\r\n", " ", "&", "|", "^", ",", "$"):
        yield f"http://{inside}{mark}@{OUTSIDE}/"
        decoy = NAMED if mark in "#?" else OUTSIDE
        yield f"http://{decoy}{mark}@{inside}/"
    yield from (f"{start}{inside}/" for start in ("http:\\\\", "http:/\\", "http:", "http:/", "http:///", "//", ""))
    yield from (f"{start}{inside}/" for start in ("http:////", "http://\\", "http://\t", "ht\ttp://", "http\n://"))
    yield from (f"{blank}http://{inside}/" for blank in (" ", "\t", "\n", "\x00", "\x0b", "\u00a0", "\ufeff"))
    yield from (f"http://{inside}/{blank}" for blank in (" ", "\t", "\n", "\x00", "\x7f", "\u0085", "\u2028"))
    for place in (1, 3, len(address)):
        for mark in ("\t", "\n", "\r", "\x00", " ", "\u200b", "\u00ad", "\\", "/.", "?.", "#."):
            yield f"http://{address[:place]}{mark}{address[place:]}:{port}/"
    for suffix in (f"0{port}", f"+{port}", f" {port}", "", "0", str(port + 65536), f"{port}:80", f"80:{port}"):
        yield f"http://{address}:{suffix}/"
    yield from (f"http://{address}:{bad}/" for bad in ("８０", "8_0", "0x50", "-1", "1e1", "%38%30", "80abc"))
    yield f"http://{inside}/ HTTP/1.1\r\nHost: {OUTSIDE}\r\n\r\n"
    yield f"http://{inside}#{OUTSIDE}"
    yield f"http://{inside}?{OUTSIDE}"
    yield f"http://{inside}/\\..\\{OUTSIDE}"


def _schemes(address: str, port: int) -> Iterator[str]:
    inside = f"{address}:{port}"
    for scheme in ("https", "HTTP", "HtTpS", "httpſ"):
        yield f"{scheme}://{inside}/"
    for scheme in ("ftp", "gopher", "dict", "ldap", "tftp", "ws", "sftp", "smb", "netdoc", "http+unix", "htt", "httpx"):
        yield f"{scheme}://{inside}/x"
    yield from (f"url:http://{inside}/", f"jar:http://{inside}!/", f"view-source:http://{inside}/")
    yield from ("file:///etc/passwd", "file:/etc/passwd", "file://localhost/etc/passwd", "/etc/passwd")
    yield from ("javascript:alert(1)", "about:blank", "blob:http://x/1", "data:text/html,x", "http", "http:", "")
