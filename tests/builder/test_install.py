"""A model file appears under its name complete and verified, or not at all; nothing else is left behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.failures import BuilderError
from builder.hosts import HUGGING_FACE
from builder.install import Installer
from builder.transfer import Downloader
from tests.builder.conftest import BYTES, entry
from tests.builder.server import Fault, Site

SOURCE = "/preferred/tiny.safetensors"
OTHER = "/second/tiny.safetensors"
TWO_SOURCES = (HUGGING_FACE + SOURCE, HUGGING_FACE + OTHER)


@pytest.fixture
def install(models: Path, downloader: Downloader) -> Installer:
    return Installer(models, downloader)


def names(models: Path) -> list[str]:
    return sorted(path.relative_to(models).as_posix() for path in models.rglob("*") if path.is_file())


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_file_is_fetched(site: Site, models: Path, install: Installer, capfd: pytest.CaptureFixture[str]) -> None:
    site.files[SOURCE] = BYTES
    assert install.install([entry(note="Mind the gap.")]) == []
    assert (models / "loras/tiny.safetensors").read_bytes() == BYTES
    assert names(models) == ["loras/tiny.safetensors"]
    shown = capfd.readouterr().err
    assert "loras/tiny.safetensors (300.0 kB)" in shown
    assert f"licence: Example Licence 1.0, see {HUGGING_FACE}/someone/something" in shown
    assert "Mind the gap." in shown


def test_the_licence_is_shown_before_the_first_request(
    site: Site, install: Installer, capfd: pytest.CaptureFixture[str]
) -> None:
    release = threading.Event()
    site.files[SOURCE] = BYTES
    site.always[SOURCE] = Fault(hold=release)
    thread = threading.Thread(target=install.install, args=([entry()],))
    thread.start()
    try:
        wait_for(lambda: bool(site.seen))
        assert "Example Licence 1.0" in capfd.readouterr().err
    finally:
        release.set()
        thread.join()


def test_the_name_appears_only_with_the_last_byte(site: Site, models: Path, install: Installer) -> None:
    release = threading.Event()
    site.files[SOURCE] = BYTES
    site.always[SOURCE] = Fault(hold=release)
    thread = threading.Thread(target=install.install, args=([entry()],))
    thread.start()
    part = models / "loras/tiny.safetensors.part"
    try:
        wait_for(lambda: part.exists() and part.stat().st_size > 0)
        assert names(models) == ["loras/tiny.safetensors.lock", "loras/tiny.safetensors.part"]
        assert not list(models.rglob("*.safetensors"))
    finally:
        release.set()
        thread.join()
    assert names(models) == ["loras/tiny.safetensors"]


def test_a_file_that_is_there_is_left_alone(site: Site, models: Path, install: Installer) -> None:
    path = models / "loras/tiny.safetensors"
    path.parent.mkdir(parents=True)
    path.write_bytes(BYTES)
    before = path.stat().st_mtime_ns
    assert install.install([entry()]) == []
    assert not site.seen
    assert path.stat().st_mtime_ns == before


def test_a_file_of_the_wrong_size_is_set_aside(site: Site, models: Path, install: Installer) -> None:
    path = models / "loras/tiny.safetensors"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half a file")
    site.files[SOURCE] = BYTES
    assert install.install([entry()]) == []
    assert path.read_bytes() == BYTES
    assert path.with_name("tiny.safetensors.corrupted").read_bytes() == b"half a file"


def test_checking_finds_damage_that_the_size_does_not_show(site: Site, models: Path, downloader: Downloader) -> None:
    path = models / "loras/tiny.safetensors"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x" + BYTES[1:])
    site.files[SOURCE] = BYTES
    assert Installer(models, downloader).install([entry()]) == []
    assert not site.seen
    assert Installer(models, downloader, check=True).install([entry()]) == []
    assert path.read_bytes() == BYTES
    assert names(models) == ["loras/tiny.safetensors", "loras/tiny.safetensors.corrupted"]


def test_checking_accepts_a_good_file(site: Site, models: Path, downloader: Downloader) -> None:
    path = models / "loras/tiny.safetensors"
    path.parent.mkdir(parents=True)
    path.write_bytes(BYTES)
    assert Installer(models, downloader, check=True).install([entry()]) == []
    assert not site.seen


def test_wrong_bytes_never_get_the_name(site: Site, models: Path, install: Installer) -> None:
    site.files[SOURCE] = BYTES[::-1]
    failures = install.install([entry()])
    assert len(failures) == 1
    assert "sha256" in failures[0]
    assert entry().sha256 in failures[0]
    assert "removed" in failures[0]
    assert names(models) == []
    assert len(site.seen) == 1


def test_wrong_bytes_send_us_to_the_next_source(site: Site, models: Path, install: Installer) -> None:
    site.files[SOURCE] = BYTES[::-1]
    site.files[OTHER] = BYTES
    assert install.install([entry(urls=TWO_SOURCES)]) == []
    assert (models / "loras/tiny.safetensors").read_bytes() == BYTES
    assert [request.path for request in site.seen] == [SOURCE, OTHER]


def test_a_missing_source_sends_us_to_the_next(site: Site, models: Path, install: Installer) -> None:
    site.files[OTHER] = BYTES
    assert install.install([entry(urls=TWO_SOURCES)]) == []
    assert names(models) == ["loras/tiny.safetensors"]


def test_the_next_source_continues_what_the_first_began(site: Site, models: Path, install: Installer) -> None:
    site.files[SOURCE] = site.files[OTHER] = BYTES
    site.faults[SOURCE].extend([Fault(cut=1000), Fault(status=404)])
    assert install.install([entry(urls=TWO_SOURCES)]) == []
    assert [request.headers.get("range") for request in site.seen] == [None, "bytes=1000-", "bytes=1000-"]


def test_a_part_left_by_an_earlier_run_is_continued(site: Site, models: Path, install: Installer) -> None:
    part = models / "loras/tiny.safetensors.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(BYTES[:200_000])
    site.files[SOURCE] = BYTES
    assert install.install([entry()]) == []
    assert site.seen[0].headers["range"] == "bytes=200000-"
    assert names(models) == ["loras/tiny.safetensors"]


def test_a_part_of_another_file_costs_one_more_download(site: Site, models: Path, install: Installer) -> None:
    part = models / "loras/tiny.safetensors.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"z" * 200_000)
    site.files[SOURCE] = BYTES
    assert install.install([entry()]) == []
    assert (models / "loras/tiny.safetensors").read_bytes() == BYTES
    assert [request.headers.get("range") for request in site.seen] == ["bytes=200000-", None]


def test_without_a_known_hash_old_parts_are_not_trusted(site: Site, models: Path, install: Installer) -> None:
    part = models / "loras/tiny.safetensors.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"z" * 10)
    site.files[SOURCE] = BYTES
    assert install.install([entry(body=None)]) == []
    assert (models / "loras/tiny.safetensors").read_bytes() == BYTES
    assert site.seen[0].headers.get("range") is None


def test_the_part_survives_when_all_sources_fail(site: Site, models: Path, install: Installer) -> None:
    site.files[SOURCE] = BYTES
    site.faults[SOURCE].extend([Fault(cut=1000), Fault(status=404)])
    failures = install.install([entry()])
    assert len(failures) == 1
    assert "404" in failures[0]
    assert names(models) == ["loras/tiny.safetensors.part"]


def test_one_failure_does_not_stop_the_others(site: Site, models: Path, install: Installer) -> None:
    site.files["/preferred/b.safetensors"] = BYTES
    failures = install.install([entry("a.safetensors"), entry("b.safetensors")])
    assert [failure.partition(":")[0] for failure in failures] == ["loras/a.safetensors"]
    assert names(models) == ["loras/b.safetensors"]


def test_space_is_checked_before_the_first_byte(site: Site, models: Path, install: Installer) -> None:
    site.files[SOURCE] = BYTES
    with pytest.raises(BuilderError, match=r"1000000\.0 TB are to come"):
        install.install([entry(), entry("huge.safetensors", bytes=10**18)])
    assert not site.seen
    assert names(models) == []


def test_space_counts_only_what_is_still_to_come(site: Site, models: Path, install: Installer) -> None:
    """A sparse part of a terabyte that lacks 1000 bytes fits on any disk."""
    part = models / "loras/huge.safetensors.part"
    part.parent.mkdir(parents=True)
    huge = 10**12
    with part.open("wb") as file:
        file.truncate(huge)
    site.always["/preferred/huge.safetensors"] = Fault(status=404)
    failures = install.install([entry("huge.safetensors", bytes=huge + 1000)])
    assert "404" in failures[0]


def test_a_models_folder_that_is_a_file(models: Path, install: Installer) -> None:
    models.write_text("not a folder")
    with pytest.raises(BuilderError, match="models"):
        install.install([entry()])


def test_two_threads_fetch_a_file_once(site: Site, models: Path, install: Installer) -> None:
    release = threading.Event()
    site.files[SOURCE] = BYTES
    site.always[SOURCE] = Fault(hold=release)
    threads = [threading.Thread(target=install.install, args=([entry()],)) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        wait_for(lambda: len(site.seen) == 1)
        # Time enough for a second download to begin, if any could.
        time.sleep(0.3)
    finally:
        release.set()
        for thread in threads:
            thread.join()
    assert len(site.seen) == 1
    assert names(models) == ["loras/tiny.safetensors"]


def test_a_lock_left_by_a_dead_process_blocks_nobody(site: Site, models: Path, install: Installer) -> None:
    lock = models / "loras/tiny.safetensors.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    site.files[SOURCE] = BYTES
    assert install.install([entry()]) == []
    assert names(models) == ["loras/tiny.safetensors"]
