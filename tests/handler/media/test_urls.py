"""The URL reader takes plain http(s) URLs as they are and refuses, without repairing, everything else."""

from __future__ import annotations

import re

import pytest

from handler.media.urls import MAX_URL, parse

from .url_forms import OUTSIDE, numeric_hosts, url_forms

PLAIN = {
    "http://example.org": ("http", "example.org", 80, "/", "example.org"),
    "HTTPS://Example.ORG/A?b=C#d": ("https", "example.org", 443, "/A?b=C", "example.org"),
    "https://example.org?x=1": ("https", "example.org", 443, "/?x=1", "example.org"),
    "http://example.org:8080/": ("http", "example.org", 8080, "/", "example.org:8080"),
    "http://example.org:80/": ("http", "example.org", 80, "/", "example.org"),
    "https://example.org:80/": ("https", "example.org", 80, "/", "example.org:80"),
    "http://1.2.3.4/x": ("http", "1.2.3.4", 80, "/x", "1.2.3.4"),
    "http://[2606:4700::1111]:81/x": ("http", "2606:4700::1111", 81, "/x", "[2606:4700::1111]:81"),
    "http://[2606:4700:0:0:0:0:0:1]/": ("http", "2606:4700::1", 80, "/", "[2606:4700::1]"),
    "https://xn--caf-dma.example/": ("https", "xn--caf-dma.example", 443, "/", "xn--caf-dma.example"),
    "https://a_b.s3.amazonaws.com/k": ("https", "a_b.s3.amazonaws.com", 443, "/k", "a_b.s3.amazonaws.com"),
    "https://example.org/café|{1}": ("https", "example.org", 443, "/caf%C3%A9%7C%7B1%7D", "example.org"),
    "https://example.org/%2e%2E/%41?%20": ("https", "example.org", 443, "/%2e%2E/%41?%20", "example.org"),
    "https://example.org/a@b:c//d": ("https", "example.org", 443, "/a@b:c//d", "example.org"),
    "https://localhost/": ("https", "localhost", 443, "/", "localhost"),
    "https://3com.example/": ("https", "3com.example", 443, "/", "3com.example"),
    "https://1.2.3.4.example/": ("https", "1.2.3.4.example", 443, "/", "1.2.3.4.example"),
}
REFUSED = [
    "", "http", "http:", "http://", "http:///", "http:///x", "http:/x", "http:x", "//example.org/", "example.org",
    "ftp://example.org/", "file:///etc/passwd", "data:,x", "javascript:alert(1)", "httpſ://example.org/",
    "http://user@example.org/", "http://user:pw@example.org/", "http://@example.org/", "http://a%40b@example.org/",
    "http://example.org\\x", "http:\\\\example.org", "http://exa\tmple.org/", " http://example.org/",
    "http://example.org/\n", "http://example.org/a b", "http://example.org/\x7f", "http://example.org/\x00",
    "http://ex%61mple.org/", "http://exämple.org/", "http://example。org/", "http://１.2.3.4/",
    "http://example.org./", "http://example..org/", "http://.example.org/", "http://-a.org/", "http://a-.org/",
    "http://example.org:/", "http://example.org:0/", "http://example.org:080/", "http://example.org:65536/",
    "http://example.org:99999/", "http://example.org:+80/", "http://example.org:８０/", "http://example.org:80:80/",
    "http://1/", "http://1.2/", "http://1.2.3/", "http://1.2.3.4.5/", "http://1.2.3.256/", "http://01.2.3.4/",
    "http://0x1/", "http://0x/", "http://a.0x1/", "http://a.1/", "http://a.09/", "http://1.2.3.0x4/",
    "http://[::1/", "http://::1/", "http://[::1]x/", "http://[::1%25lo]/", "http://[1.2.3.4]/", "http://[]/",
    "http://[v1.x]/", "http://[[::1]]/", "http://[::g]/", "http://" + "a" * 64 + ".org/",
    "http://" + "a." * 127 + "org/", "http://example.org/\ud800", "http://example.org/" + "x" * MAX_URL,
]  # fmt: skip


@pytest.mark.parametrize("url", PLAIN)
def test_plain_urls_are_read(url):
    target = parse(url)
    assert (target.scheme, target.host, target.port, target.path, target.authority) == PLAIN[url]


@pytest.mark.parametrize("url", REFUSED, ids=ascii)
def test_everything_else_is_refused(url):
    with pytest.raises(ValueError, match=r"."):
        parse(url)


def test_a_number_is_a_host_only_as_a_plain_dotted_quad():
    taken = [host for host in numeric_hosts(OUTSIDE) if accepts(f"http://{host}/")]
    assert taken == [OUTSIDE]


def test_an_accepted_form_leads_to_the_host_it_shows():
    """What stands between `//` and the next delimiter, letter for letter; IPv6 in any of its spellings."""
    accepted = [url for url in url_forms("127.0.0.1", 8000) if accepts(url) and "[" not in url]
    assert len(accepted) > 30
    for url in accepted:
        shown = re.split("[/?#]", url.split("//", 1)[1])[0].lower()
        assert shown == parse(url).authority


def accepts(url: str) -> bool:
    try:
        parse(url)
    except ValueError:
        return False
    return True
