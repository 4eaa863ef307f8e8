"""Bytes from a URL into a `.part` file: resumed where they stopped, retried with growing pauses."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import requests
from urllib3.exceptions import HTTPError

from builder.failures import Interrupted, SourceRefused
from builder.hosts import Hosts

CHUNK = 1 << 20
MAX_REDIRECTS = 10
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 522, 524})
"""HTTP statuses that may be over after a pause; every other error status is final."""

Advance = Callable[[int], None]
"""Told how many bytes of the file are on disk."""


@dataclass(frozen=True)
class Patience:
    """attempts: tries in a row without a new byte before a source is given up. Waits, timeouts: seconds."""

    attempts: int = 6
    first_wait: float = 1.0
    longest_wait: float = 60.0
    connect_timeout: float = 15.0
    read_timeout: float = 60.0

    def wait(self, failures: int, asked: float | None) -> float:
        """Pause after this many failures in a row: what the server asked for, else doubling with jitter."""
        if asked is not None:
            return min(asked, self.longest_wait)
        return min(self.first_wait * 2 ** (failures - 1), self.longest_wait) * random.uniform(0.5, 1.0)


@dataclass
class Downloader:
    """Fills `.part` files over one HTTP session.

    Proxies come from the environment as usual, credentials only from `hosts`. say: told of every pause.
    """

    hosts: Hosts
    patience: Patience = field(default_factory=Patience)
    say: Callable[[str], None] = lambda line: None
    session: requests.Session = field(default_factory=requests.Session, repr=False)

    def fill(self, part: Path, url: str, size: int | None, advance: Advance) -> None:
        """Continue `part` from `url` until it is complete.

        size: bytes of the whole file, None if unknown. Raises SourceRefused; what arrived stays in `part`.
        """
        failures = 0
        while True:
            before = on_disk(part)
            try:
                return self._attempt(part, self.hosts.locate(url), size, advance)
            except Interrupted as interruption:
                failures = 1 if on_disk(part) > before else failures + 1
                if failures >= self.patience.attempts:
                    raise SourceRefused(f"{interruption} ({failures} tries)") from None
                wait = self.patience.wait(failures, interruption.retry_after)
                self.say(f"{interruption}; trying again in {wait:.0f} s")
                time.sleep(wait)

    def _attempt(self, part: Path, url: str, size: int | None, advance: Advance) -> None:
        start = on_disk(part)
        if size is not None and start == size:
            return
        if size is not None and start > size:
            part.unlink()
            start = 0
        with self._answer(url, start) as response:
            if response.status_code == 416:
                part.unlink(missing_ok=True)
                raise Interrupted(f"{_host(url)} cannot continue the file; it starts over", retry_after=0)
            start = _first_byte(response, start)
            total = _total(response, start)
            if size is not None and total not in (None, size):
                raise SourceRefused(f"{_host(url)} offers {total} bytes where the catalogue says {size}")
            _write(response, part, start, size if size is not None else total, advance)

    @contextmanager
    def _answer(self, url: str, start: int) -> Iterator[requests.Response]:
        """The final answer of a redirect chain; every hop gets only the secrets of its own origin."""
        asked = url
        for _ in range(MAX_REDIRECTS):
            with self._get(url, start) as response:
                if not response.is_redirect:
                    self._require_file(response, asked)
                    yield response
                    return
                target = urljoin(url, response.headers["location"])
            if urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https":
                raise SourceRefused(f"{_host(url)} redirects to an address without encryption")
            url = target
        raise SourceRefused(f"{_host(asked)} redirects more than {MAX_REDIRECTS} times")

    @contextmanager
    def _get(self, url: str, start: int) -> Iterator[requests.Response]:
        headers = self.hosts.headers(url)
        headers |= {"Accept-Encoding": "identity", "User-Agent": "fooocus-worker-builder"}
        if start:
            headers["Range"] = f"bytes={start}-"
        timeout = (self.patience.connect_timeout, self.patience.read_timeout)
        try:
            with self.session.get(
                url, headers=headers, auth=_as_given, timeout=timeout, stream=True, allow_redirects=False
            ) as response:
                yield response
        except (requests.ConnectionError, requests.Timeout, HTTPError) as error:
            raise Interrupted(f"{_host(url)}: {_words(error)}") from None
        except requests.RequestException as error:
            raise SourceRefused(f"{_host(url)}: {_words(error)}") from None

    def _require_file(self, response: requests.Response, url: str) -> None:
        status, host = response.status_code, _host(url)
        if status in (200, 206, 416):
            return
        if status in PASSING:
            raise Interrupted(f"{host} answers {status}", _retry_after(response))
        if status in (401, 403):
            raise SourceRefused(f"{host} answers {status}: {self.hosts.advice(url)}")
        raise SourceRefused(f"{host} answers {status}")


def on_disk(path: Path) -> int:
    """Bytes of a file; 0 when it does not exist."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _as_given(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """An authentication that adds nothing: without one, requests would send what a .netrc file holds."""
    return request


def _host(url: str) -> str:
    return urlsplit(url).hostname or "?"


def _words(error: Exception) -> str:
    """The kind of error only: library texts may quote a signed URL."""
    cause = error.args[0] if error.args and isinstance(error.args[0], Exception) else error
    reason = getattr(cause, "reason", None)
    name = type(reason if isinstance(reason, Exception) else cause).__name__
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name).lower()


def _first_byte(response: requests.Response, asked: int) -> int:
    """Where the body begins in the file: `asked` for a fitting 206, 0 for a server that sends it all."""
    if response.status_code == 200:
        return 0
    match = re.match(r"bytes (\d+)-", response.headers.get("content-range", ""))
    if not match or int(match[1]) != asked:
        raise SourceRefused(f"{_host(response.url)} answers with another part of the file than was asked for")
    return asked


def _total(response: requests.Response, start: int) -> int | None:
    """Bytes of the whole file as the server states them."""
    match = re.fullmatch(r"bytes \d+-\d+/(\d+)", response.headers.get("content-range", ""))
    if match:
        return int(match[1])
    length = response.headers.get("content-length", "")
    return start + int(length) if length.isdecimal() else None


def _retry_after(response: requests.Response) -> float | None:
    value = response.headers.get("retry-after", "")
    return float(value) if value.isdecimal() else None


def _write(response: requests.Response, part: Path, start: int, size: int | None, advance: Advance) -> None:
    """Append the body to `part`, or begin it anew at byte 0. Raises Interrupted when it is cut short."""
    written = start
    with part.open("ab" if start else "wb") as file:
        advance(written)
        # read1 hands over what has arrived; read and stream would hold it back until a whole chunk is there.
        while chunk := response.raw.read1(CHUNK, decode_content=False):
            written += len(chunk)
            if size is not None and written > size:
                raise SourceRefused(f"{_host(response.url)} sends more than the {size} bytes of the file")
            file.write(chunk)
            advance(written)
    if size is not None and written < size:
        raise Interrupted(f"{_host(response.url)} stopped at byte {written} of {size}")
