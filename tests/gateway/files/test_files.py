"""A stored file is what came, under an address nobody guesses, until its end; what fails leaves nothing behind."""

from __future__ import annotations

import asyncio
import resource
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.files.model import Limits, StoredFile
from gateway.files.names import MAX_NAME, media_type, safe_name
from schemas.errors import BadRequest, PayloadTooLarge, StorageFull
from tests.gateway.files.conftest import LIMITS, Clock, Kept, close_kept, open_kept
from tests.gateway.files.pictures import content, picture, pieces

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("size", [0, 1, 2**20 - 1, 2**20, 2**20 + 1, 4 * 2**20])
async def test_what_is_stored_is_what_came(kept: Kept, size: int) -> None:
    data = content(1, size)
    for given in (data, pieces(data, 70_000)):
        file = await kept.files.add(given, name="weights.bin", owner="ann")
        assert await kept.files.read(file) == data
        assert (file.size, file.media_type) == (size, "application/octet-stream")


async def test_types_are_read_from_the_content(kept: Kept) -> None:
    for form in ("PNG", "JPEG", "WEBP"):
        file = await kept.files.add(picture(form), name="page.html", owner="ann")
        assert file.media_type == f"image/{form.lower()}"
    for data in (b"<svg/>", b"GIF89a", b"%PDF-1.7", b"<html>", b"RIFF....WAVE", b"\x89PNG", b""):
        assert media_type(data) == "application/octet-stream"


async def test_addresses_are_found_again_whoever_asks(kept: Kept) -> None:
    file = await kept.files.add(picture(), name="a.png", owner="ann")
    for base in ("http://127.0.0.1:8888", "https://pictures.example/prefix", "https://v3.fal.media"):
        assert await kept.files.resolve(kept.files.url(file, base)) == file
    url = kept.files.url(file, "http://h")
    other = "0" * 32
    for wrong in (f"{url}x", f"{url}?x=1/files/", url.replace(file.id, other), url.replace("http", "ftp"), "http://[",
                  f"/files/{file.id}/a.png", f"{url}/..", "", "a prompt"):  # fmt: skip
        found = await kept.files.resolve(wrong)
        assert found is None or wrong.startswith(f"{url}?")


async def test_ids_are_random(kept: Kept) -> None:
    files = [await kept.files.add(b"same", name="same", owner="ann") for _ in range(50)]
    assert len({file.id for file in files}) == 50
    bits = [f"{int(file.id, 16):0128b}" for file in files]
    assert all({row[place] for row in bits} == {"0", "1"} for place in range(128))


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("a.png", "a.png"), ("my photo (1).JPG", "my_photo_1_.JPG"), ("../../etc/passwd", "passwd"), ("..", "file"),
        ("C:\\x\\evil.exe", "evil.exe"), (".htaccess", "htaccess"), ("", "file"), (None, "file"), ("日本語.png", "png"),
        ("a\r\nb: c", "a_b_c"), ('a";x=.png', "a_x_.png"), ("<script>.webp", "script_.webp"), ("é.png", "e.png"),
        ("\x00", "file"), ("a" * 300 + ".png", "a" * (MAX_NAME - 4) + ".png"), ("/", "file"), ("-rf", "-rf"),
    ],
)  # fmt: skip
def test_names_are_made_safe(given: str | None, name: str) -> None:
    assert safe_name(given) == name
    assert safe_name(name) == name


async def test_a_file_ends(kept: Kept) -> None:
    brief = await kept.files.add(b"1", name="1", owner="ann", ttl_s=60)
    usual = await kept.files.add(b"2", name="2", owner="ann")
    kept.clock.now += 59
    assert await kept.files.find(brief.id) == brief
    kept.clock.now += 1
    assert await kept.files.find(brief.id) is None
    await kept.sweep.once()
    assert kept.on_disk() == {f"blobs/{usual.blob}"}
    kept.clock.now += 24 * 3600
    await kept.sweep.once()
    assert kept.on_disk() == set()


async def test_a_file_too_large_leaves_nothing(kept: Kept) -> None:
    with pytest.raises(PayloadTooLarge):
        await kept.files.add(pieces(content(1, LIMITS.max_file + 1)), name="big", owner="ann")
    assert kept.on_disk() == set()


async def test_a_broken_connection_leaves_nothing(kept: Kept) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield content(1, 3 * 2**20)
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await kept.files.add(broken(), name="half", owner="ann")
    assert kept.on_disk() == set()


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8, 13, 30])
async def test_a_cancelled_caller_leaves_a_whole_file_or_none(kept: Kept, turns: int) -> None:
    adding = asyncio.create_task(kept.files.add(pieces(content(1, 2**21)), name="x", owner="ann"))
    for _ in range(turns):
        await asyncio.sleep(0.001)
    adding.cancel()
    await asyncio.gather(adding, return_exceptions=True)
    await kept.store.write(lambda connection: None)
    rows = await kept.store.read(lambda connection: connection.execute("SELECT id, blob FROM files").fetchall())
    # The thread that writes may still be about to take back what it has begun.
    for _ in range(6000):
        if kept.on_disk() == {f"blobs/{row['blob']}" for row in rows}:
            break
        await asyncio.sleep(0.01)
        rows = await kept.store.read(lambda connection: connection.execute("SELECT id, blob FROM files").fetchall())
    assert kept.on_disk() == {f"blobs/{row['blob']}" for row in rows}
    for row in rows:
        file = await kept.files.find(row["id"])
        assert await kept.files.read(file) == content(1, 2**21)


async def test_a_full_disk_is_said_and_leaves_nothing(kept: Kept) -> None:
    """The kernel's own limit on a file's size stands for the disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    await kept.store.write(lambda connection: None)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, before[1]))
    try:
        with pytest.raises(StorageFull):
            await kept.files.add(content(1, 2_000_000), name="x", owner="ann")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert kept.on_disk() == set()
    assert StorageFull.status == 507


async def test_room_is_left_for_the_queue(tmp_path: Path) -> None:
    kept = await open_kept(tmp_path, Clock(), Limits(min_free=2**62))
    with pytest.raises(StorageFull):
        await kept.files.add(b"x", name="x", owner="ann")
    assert kept.on_disk() == set()
    await close_kept(kept)


async def test_a_store_that_refuses_the_row_takes_the_content_back(kept: Kept) -> None:
    await kept.store.write(lambda connection: connection.execute("DROP TABLE files"))
    with pytest.raises(sqlite3.OperationalError):
        await kept.files.add(b"x", name="x", owner="ann")
    assert kept.on_disk() == set()


class TestLeases:
    """What a worker makes becomes the result's, or goes."""

    async def put(self, kept: Kept, lease_id: str, name: str = "0.png", color: str = "red") -> StoredFile:
        job_id = lease_id.rpartition("-a")[0]
        data = pieces(picture(color=color))
        return await kept.files.add_for_lease(data, name=name, owner="ann", job_id=job_id, lease_id=lease_id)

    async def test_a_name_sent_again_replaces_the_picture_and_keeps_the_address(self, kept: Kept) -> None:
        first = await self.put(kept, "job-a1")
        second = await self.put(kept, "job-a1", color="blue")
        assert first.id == second.id
        assert await kept.files.read(second) == picture(color="blue")
        assert kept.on_disk() == {f"blobs/{second.blob}"}

    async def test_the_same_picture_sent_again_is_kept_once(self, kept: Kept) -> None:
        first, second = await self.put(kept, "job-a1"), await self.put(kept, "job-a1")
        assert (first.id, first.blob) == (second.id, second.blob)
        assert kept.on_disk() == {f"blobs/{first.blob}"}

    async def test_one_name_under_two_leases_is_two_files(self, kept: Kept) -> None:
        assert (await self.put(kept, "job-a1")).id != (await self.put(kept, "job-a2")).id

    async def test_what_is_no_picture_is_refused(self, kept: Kept) -> None:
        with pytest.raises(BadRequest, match="PNG, JPEG and WebP"):
            await kept.files.add_for_lease(
                pieces(b"<svg/>"), name="0.png", owner="ann", job_id="job", lease_id="job-a1"
            )
        assert kept.on_disk() == set()

    async def test_pictures_wait_for_the_end_of_the_job(self, kept: Kept) -> None:
        file = await self.put(kept, "job-a1")
        kept.clock.now += 10**7
        assert await kept.files.find(file.id) == file

    async def test_the_winners_stay_and_the_others_go(self, kept: Kept) -> None:
        lost, kept_file = await self.put(kept, "job-a1"), await self.put(kept, "job-a2")
        other = await self.put(kept, "other-a1")
        await kept.files.settle("job", "job-a2", kept.clock.now + 100)
        assert await kept.files.find(lost.id) is None
        assert (await kept.files.find(kept_file.id)).expires_at == kept.clock.now + 100
        assert kept.on_disk() == {f"blobs/{kept_file.blob}", f"blobs/{other.blob}"}

    async def test_a_failed_job_keeps_none(self, kept: Kept) -> None:
        await self.put(kept, "job-a1")
        await kept.files.settle("job", None, kept.clock.now)
        assert kept.on_disk() == set()

    async def test_tokens_open_one_lease(self, kept: Kept) -> None:
        grant = kept.files.grant("job-a1", "http://127.0.0.1:8888")
        assert grant.url == "http://127.0.0.1:8888/files/leases/job-a1/{file_name}"
        assert kept.files.is_granted("job-a1", grant.token)
        for lease, token in (("job-a2", grant.token), ("job-a1", ""), ("job-a1", grant.token[:-1]), ("", grant.token)):
            assert not kept.files.is_granted(lease, token)
