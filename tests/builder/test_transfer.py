"""Downloads continue where they stopped, wait when asked to, and carry a secret to one origin only."""

from __future__ import annotations

import datetime
import ipaddress
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from builder.failures import SourceRefused
from builder.hosts import Hosts, origin
from builder.transfer import Downloader, Patience
from tests.builder.conftest import BYTES, QUICK
from tests.builder.server import Fault, Site, serving

SECRET = "hf_very_secret"


class Target:
    """A part file and what was reported about it."""

    def __init__(self, folder: Path) -> None:
        self.part = folder / "file.part"
        self.positions: list[int] = []

    def fill(self, downloader: Downloader, url: str, size: int | None = len(BYTES)) -> bytes:
        downloader.fill(self.part, url, size, self.positions.append)
        return self.part.read_bytes()


@pytest.fixture
def target(tmp_path: Path) -> Target:
    return Target(tmp_path)


@pytest.fixture
def plain() -> Downloader:
    return Downloader(Hosts(), QUICK)


@pytest.fixture
def elsewhere() -> Iterator[Site]:
    """A second origin: another port is another origin."""
    with serving() as running:
        yield running


def ranges(site: Site) -> list[str | None]:
    return [request.headers.get("range") for request in site.seen]


def test_a_file_arrives_whole(site: Site, plain: Downloader, target: Target) -> None:
    site.files["/f"] = BYTES
    assert target.fill(plain, site.url("/f")) == BYTES
    assert ranges(site) == [None]
    assert target.positions[0] == 0
    assert target.positions[-1] == len(BYTES)


def test_a_part_is_continued(site: Site, plain: Downloader, target: Target) -> None:
    site.files["/f"] = BYTES
    target.part.write_bytes(BYTES[:100_000])
    assert target.fill(plain, site.url("/f")) == BYTES
    assert ranges(site) == ["bytes=100000-"]
    assert target.positions[0] == 100_000


def test_a_complete_part_needs_no_request(site: Site, plain: Downloader, target: Target) -> None:
    target.part.write_bytes(BYTES)
    assert target.fill(plain, site.url("/f")) == BYTES
    assert not site.seen


def test_a_part_longer_than_the_file_is_dropped(site: Site, plain: Downloader, target: Target) -> None:
    site.files["/f"] = BYTES
    target.part.write_bytes(BYTES + b"more")
    assert target.fill(plain, site.url("/f")) == BYTES
    assert ranges(site) == [None]


def test_a_cut_connection_is_continued_where_it_broke(site: Site, plain: Downloader, target: Target) -> None:
    site.files["/f"] = BYTES
    site.faults["/f"].extend([Fault(cut=70_000), Fault(cut=50_000)])
    assert target.fill(plain, site.url("/f")) == BYTES
    assert ranges(site) == [None, "bytes=70000-", "bytes=120000-"]


def test_any_number_of_cuts_is_fine_while_bytes_arrive(site: Site, plain: Downloader, target: Target) -> None:
    site.files["/f"] = BYTES
    site.always["/f"] = Fault(cut=30_000)
    assert target.fill(plain, site.url("/f")) == BYTES
    assert len(site.seen) == 10 > QUICK.attempts


def test_a_server_that_ignores_ranges_sends_all_again(site: Site, plain: Downloader, target: Target) -> None:
    site.files["/f"] = BYTES
    site.always["/f"] = Fault(whole=True)
    target.part.write_bytes(b"x" * 100_000)
    assert target.fill(plain, site.url("/f")) == BYTES


def test_cuts_without_ranges_end(site: Site, plain: Downloader, target: Target) -> None:
    """Every answer starts over and breaks at the same byte: that is no progress."""
    site.files["/f"] = BYTES
    site.always["/f"] = Fault(whole=True, cut=1000)
    with pytest.raises(SourceRefused, match="4 tries"):
        target.fill(plain, site.url("/f"))
    assert len(site.seen) <= QUICK.attempts + 1


def test_another_range_than_asked_is_refused(site: Site, plain: Downloader, target: Target) -> None:
    site.files["/f"] = BYTES
    site.always["/f"] = Fault(shift=1)
    target.part.write_bytes(BYTES[:1000])
    with pytest.raises(SourceRefused, match="another part"):
        target.fill(plain, site.url("/f"))
    assert target.part.read_bytes() == BYTES[:1000]


def test_a_part_beyond_the_end_starts_over(site: Site, plain: Downloader, target: Target) -> None:
    """The size is not known, and the file on the server became shorter than the part."""
    site.files["/f"] = BYTES[:500]
    target.part.write_bytes(b"y" * 600)
    assert target.fill(plain, site.url("/f"), None) == BYTES[:500]
    assert ranges(site) == ["bytes=600-", None]


def test_unknown_size_without_content_length(site: Site, plain: Downloader, target: Target) -> None:
    site.files["/f"] = BYTES
    site.always["/f"] = Fault(announce=False)
    assert target.fill(plain, site.url("/f"), None) == BYTES


def test_an_early_end_that_nothing_announced_is_continued(
    site: Site, plain: Downloader, target: Target
) -> None:
    site.files["/f"] = BYTES
    site.faults["/f"].append(Fault(announce=False, cut=1000))
    assert target.fill(plain, site.url("/f")) == BYTES
    assert ranges(site) == [None, "bytes=1000-"]


@pytest.mark.parametrize("announce", [True, False])
def test_a_file_of_another_size_is_refused(
    site: Site, plain: Downloader, target: Target, announce: bool
) -> None:
    site.files["/f"] = BYTES + b"more"
    site.always["/f"] = Fault(announce=announce)
    with pytest.raises(SourceRefused, match=str(len(BYTES))):
        target.fill(plain, site.url("/f"))
    assert not target.part.exists() or target.part.stat().st_size <= len(BYTES)


@pytest.mark.parametrize(("status", "requests"), [(404, 1), (410, 1), (400, 1), (401, 1), (403, 1), (451, 1)])
def test_final_answers_are_not_repeated(
    site: Site, plain: Downloader, target: Target, status: int, requests: int
) -> None:
    site.always["/f"] = Fault(status=status)
    with pytest.raises(SourceRefused, match=str(status)):
        target.fill(plain, site.url("/f"))
    assert len(site.seen) == requests
    assert not target.part.exists()


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_passing_answers_are_waited_out(
    site: Site, plain: Downloader, target: Target, status: int
) -> None:
    site.files["/f"] = BYTES
    site.faults["/f"].append(Fault(status=status, headers=(("Retry-After", "0"),)))
    assert target.fill(plain, site.url("/f")) == BYTES
    assert len(site.seen) == 2


def test_retry_after_is_obeyed_within_bounds(site: Site, target: Target) -> None:
    site.files["/f"] = BYTES
    site.faults["/f"].append(Fault(status=429, headers=(("Retry-After", "3600"),)))
    said: list[str] = []
    start = time.monotonic()
    target.fill(Downloader(Hosts(), Patience(longest_wait=0.3), said.append), site.url("/f"))
    assert 0.3 <= time.monotonic() - start < 60
    assert "429" in said[0]


def test_patience_ends(site: Site, plain: Downloader, target: Target) -> None:
    site.always["/f"] = Fault(status=503)
    with pytest.raises(SourceRefused, match=r"503 \(4 tries\)"):
        target.fill(plain, site.url("/f"))
    assert len(site.seen) == QUICK.attempts


def test_waits_double_up_to_a_bound() -> None:
    patience = Patience(first_wait=1, longest_wait=5)
    bounds = [(0.5, 1), (1, 2), (2, 4), (2.5, 5), (2.5, 5)]
    for failures, (low, high) in enumerate(bounds, start=1):
        assert all(low <= patience.wait(failures, None) <= high for _ in range(50))


def test_a_silent_server_is_given_up_and_asked_again(site: Site, target: Target) -> None:
    site.files["/f"] = BYTES
    site.faults["/f"].append(Fault(delay=60))
    impatient = Downloader(Hosts(), Patience(attempts=100, first_wait=0.01, longest_wait=0.05, read_timeout=0.5))
    assert target.fill(impatient, site.url("/f")) == BYTES
    assert len(site.seen) >= 2


def test_nobody_listening_is_reported_without_the_library_s_words(plain: Downloader, target: Target) -> None:
    with serving() as gone:
        url = gone.url("/f?X-Signature=abc123")
    with pytest.raises(SourceRefused) as caught:
        target.fill(plain, url)
    assert str(caught.value) == "127.0.0.1: new connection error (4 tries)"


def test_the_token_goes_to_its_origin(site: Site, target: Target) -> None:
    site.files["/f"] = BYTES
    target.fill(Downloader(Hosts(tokens={site.base: SECRET}), QUICK), site.url("/f"))
    assert site.seen[0].headers["authorization"] == f"Bearer {SECRET}"


def test_a_redirect_to_another_origin_drops_the_token(site: Site, elsewhere: Site, target: Target) -> None:
    elsewhere.files["/store"] = BYTES
    site.always["/f"] = Fault(status=302, headers=(("Location", elsewhere.url("/store?X-Signature=1")),))
    target.part.write_bytes(BYTES[:5000])
    assert target.fill(Downloader(Hosts(tokens={site.base: SECRET}), QUICK), site.url("/f")) == BYTES
    assert "authorization" in site.seen[0].headers
    assert "authorization" not in elsewhere.seen[0].headers
    assert SECRET not in str(elsewhere.seen)
    assert elsewhere.seen[0].headers["range"] == "bytes=5000-"


def test_a_way_back_gets_the_token_again(site: Site, elsewhere: Site, target: Target) -> None:
    site.files["/inner"] = BYTES
    site.always["/f"] = Fault(status=307, headers=(("Location", elsewhere.url("/hop")),))
    elsewhere.always["/hop"] = Fault(status=307, headers=(("Location", site.url("/inner")),))
    assert target.fill(Downloader(Hosts(tokens={site.base: SECRET}), QUICK), site.url("/f")) == BYTES
    assert [("authorization" in request.headers) for request in site.seen] == [True, True]
    assert "authorization" not in elsewhere.seen[0].headers


def test_a_relative_redirect_stays_on_its_origin(site: Site, target: Target) -> None:
    site.files["/api/f"] = BYTES
    site.always["/f"] = Fault(status=302, headers=(("Location", "/api/f"),))
    assert target.fill(Downloader(Hosts(tokens={site.base: SECRET}), QUICK), site.url("/f")) == BYTES
    assert all("authorization" in request.headers for request in site.seen)


def test_circles_end(site: Site, plain: Downloader, target: Target) -> None:
    site.always["/f"] = Fault(status=302, headers=(("Location", "/f"),))
    with pytest.raises(SourceRefused, match="redirects more than 10 times"):
        target.fill(plain, site.url("/f"))


def test_a_refusal_behind_a_redirect_does_not_show_the_signed_address(
    site: Site, elsewhere: Site, plain: Downloader, target: Target
) -> None:
    elsewhere.always["/store"] = Fault(status=403)
    site.always["/f"] = Fault(status=302, headers=(("Location", elsewhere.url("/store?X-Signature=abc123")),))
    with pytest.raises(SourceRefused) as caught:
        target.fill(plain, site.url("/f"))
    assert "abc123" not in str(caught.value)


def test_a_netrc_file_is_not_read(
    site: Site, plain: Downloader, target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password something\n")
    monkeypatch.setenv("NETRC", str(netrc))
    site.files["/f"] = BYTES
    target.fill(plain, site.url("/f"))
    assert "authorization" not in site.seen[0].headers


def test_encryption_is_not_given_up_on_the_way(
    site: Site, target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.files["/f"] = BYTES
    certificate = self_signed(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))
    with serving(certificate=certificate) as secure:
        secure.files["/f"] = BYTES
        assert target.fill(Downloader(Hosts(), QUICK), secure.url("/f")) == BYTES
        secure.always["/g"] = Fault(status=302, headers=(("Location", site.url("/f")),))
        target.part.unlink()
        with pytest.raises(SourceRefused, match="without encryption"):
            target.fill(Downloader(Hosts(), QUICK), secure.url("/g"))
    assert not site.seen


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and its key, as files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return paths


def test_origins() -> None:
    assert origin("https://HuggingFace.co/a?b=c") == "https://huggingface.co"
    assert origin("https://user:pass@huggingface.co/a") == "https://huggingface.co"
    assert origin("https://huggingface.co:444/a") != origin("https://huggingface.co/a")
    assert origin("http://huggingface.co/a") != origin("https://huggingface.co/a")


def test_hosts_from_the_environment() -> None:
    hosts = Hosts.from_environment({"HF_TOKEN": f" {SECRET}\n", "HF_MIRROR": "mirror.example/", "CIVITAI_TOKEN": ""})
    assert hosts.locate("https://huggingface.co/a/b") == "https://mirror.example/a/b"
    assert hosts.locate("https://huggingface.company/a") == "https://huggingface.company/a"
    assert hosts.headers("https://huggingface.co/a") == {"Authorization": f"Bearer {SECRET}"}
    assert hosts.headers("https://mirror.example/a/b") == {}
    assert hosts.headers("http://huggingface.co/a") == {}
    assert hosts.headers("https://huggingface.co.example/a") == {}
    assert hosts.headers("https://civitai.com/a") == {}
    assert SECRET not in repr(hosts)


def test_advice_names_the_variable() -> None:
    nobody, someone = Hosts(), Hosts(tokens={"https://huggingface.co": SECRET})
    assert "set HF_TOKEN" in nobody.advice("https://huggingface.co/a")
    assert "set CIVITAI_TOKEN" in nobody.advice("https://civitai.com/a")
    assert "may not read it" in someone.advice("https://huggingface.co/a")
    assert SECRET not in someone.advice("https://huggingface.co/a")
