"""The outputs folder: whole files, never another job's, never outside it."""

from __future__ import annotations

import resource
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest

from handler.storage.local import LocalStore
from schemas.errors import StorageUnavailable
from tests.support.worker import wait_for

PICTURE = bytes(range(256)) * 4000


def path_of(url: str) -> Path:
    parts = urlsplit(url)
    assert (parts.scheme, parts.netloc) == ("file", "")
    return Path(url2pathname(parts.path))


def tree(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def test_the_url_is_the_absolute_path_of_the_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    url = LocalStore(Path("my outputs/ü"), "local_test").put("a-0.png", PICTURE, "image/png")
    assert path_of(url) == tmp_path / "my outputs" / "ü" / "local_test" / "a-0.png"
    assert path_of(url).read_bytes() == PICTURE
    assert url.isascii()
    assert " " not in url


def test_each_run_gets_a_folder_of_its_own(tmp_path):
    urls = [LocalStore(tmp_path, "local_test").put("a-0.png", bytes([run]), "image/png") for run in range(3)]
    assert [path_of(url).parent.name for url in urls] == ["local_test", "local_test-2", "local_test-3"]
    assert [path_of(url).read_bytes() for url in urls] == [b"\0", b"\1", b"\2"]


def test_the_files_of_one_job_share_a_folder_also_when_put_at_once(tmp_path):
    store = LocalStore(tmp_path, "job")
    with ThreadPoolExecutor(8) as pool:
        urls = list(pool.map(lambda n: store.put(f"a-{n}.png", bytes([n]) * 100_000, "image/png"), range(16)))
    assert tree(tmp_path) == {f"job/a-{n}.png" for n in range(16)}
    assert all(path_of(url).read_bytes() == bytes([n]) * 100_000 for n, url in enumerate(urls))


def test_a_reader_sees_a_whole_file_or_none(tmp_path):
    store = LocalStore(tmp_path, "job")
    target = path_of(store.put("a.png", PICTURE, "image/png"))
    sizes, done = set(), threading.Event()

    def watch() -> None:
        while not done.is_set():
            sizes.update(len(path.read_bytes()) for path in target.parent.glob("a.png"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        wait_for(lambda: sizes, 60, "the reader")
        for _ in range(30):
            store.put("a.png", PICTURE, "image/png")
    finally:
        done.set()
        watcher.join()
    assert sizes == {len(PICTURE)}


@pytest.mark.parametrize("odd", ["../../x.png", "/etc/x.png", "..", ".", "", ".ssh", "a/b.png", "a\0b.png", "x" * 400])
def test_odd_names_and_ids_stay_inside(tmp_path, odd):
    root = tmp_path / "outputs"
    url = LocalStore(root, odd).put(odd, PICTURE, "image/png")
    assert path_of(url).read_bytes() == PICTURE
    assert path_of(url).parent.parent == root
    assert {path.name for path in tmp_path.iterdir()} == {"outputs"}


def test_links_that_lie_in_wait_are_not_followed(tmp_path):
    root, elsewhere = tmp_path / "outputs", tmp_path / "elsewhere"
    root.mkdir()
    elsewhere.mkdir()
    (elsewhere / "victim").write_bytes(b"precious")
    (root / "job").symlink_to(elsewhere)
    store = LocalStore(root, "job")
    url = store.put("a.png", PICTURE, "image/png")
    assert path_of(url).parent.name == "job-2"
    (root / "job-2" / "b.png").symlink_to(elsewhere / "victim")
    store.put("b.png", PICTURE, "image/png")
    assert tree(elsewhere) == {"victim"}
    assert (elsewhere / "victim").read_bytes() == b"precious"
    assert not (root / "job-2" / "b.png").is_symlink()


def test_a_job_folder_swapped_for_a_link_is_refused(tmp_path):
    root, elsewhere = tmp_path / "outputs", tmp_path / "elsewhere"
    elsewhere.mkdir()
    store = LocalStore(root, "job")
    store.put("a.png", PICTURE, "image/png")
    (root / "job").rename(root / "moved")
    (root / "job").symlink_to(elsewhere)
    with pytest.raises(StorageUnavailable):
        store.put("b.png", PICTURE, "image/png")
    assert tree(elsewhere) == set()


def test_a_place_that_cannot_be_written_is_told_without_its_path(tmp_path, caplog):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageUnavailable, match="outputs folder cannot be written") as failure:
        LocalStore(tmp_path / "file" / "outputs", "job").put("a.png", PICTURE, "image/png")
    assert str(tmp_path) not in str(failure.value)


def test_a_write_that_fails_leaves_nothing_behind(tmp_path):
    store = LocalStore(tmp_path, "job")
    store.put("a.png", PICTURE, "image/png")
    (tmp_path / "job" / "b.png").mkdir()
    with pytest.raises(StorageUnavailable):
        store.put("b.png", PICTURE, "image/png")
    assert sorted(path.name for path in (tmp_path / "job").iterdir()) == ["a.png", "b.png"]


def test_a_full_disk_leaves_nothing_behind(tmp_path):
    """The largest file a process may write stands in for the end of the disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(PICTURE) // 2, hard))
    try:
        with pytest.raises(StorageUnavailable):
            LocalStore(tmp_path, "job").put("a.png", PICTURE, "image/png")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert tree(tmp_path) == set()


def test_remove_takes_files_back_and_the_empty_folder_with_the_last(tmp_path):
    store = LocalStore(tmp_path, "job")
    store.remove("a.png")
    assert list(tmp_path.iterdir()) == []
    store.put("a.png", PICTURE, "image/png")
    store.put("b.png", PICTURE, "image/png")
    store.remove("a.png")
    store.remove("a.png")
    assert tree(tmp_path) == {"job/b.png"}
    store.remove("b.png")
    assert list(tmp_path.iterdir()) == []
    assert path_of(store.put("c.png", PICTURE, "image/png")).exists()
