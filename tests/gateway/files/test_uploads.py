"""Announced files arrive whole or in parts, by the token alone, in flat memory; what is not completed goes."""

from __future__ import annotations

import resource
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.files.model import Limits, StoredFile
from gateway.files.uploads import Part, Upload
from schemas.errors import BadRequest, FileMissing, PayloadTooLarge
from tests.gateway.files.conftest import LIMITS, Clock, Kept, close_kept, open_kept
from tests.gateway.files.pictures import content, picture, pieces

pytestmark = pytest.mark.anyio

MIB = 2**20


class Sender:
    """A client of one announced file."""

    def __init__(self, kept: Kept, upload: Upload) -> None:
        self.kept, self.upload = kept, upload
        self.token = kept.uploads.token(upload)

    async def part(self, number: int, data: bytes) -> Part:
        return await self.kept.uploads.receive_part(self.upload.id, self.token, number, pieces(data))

    async def complete(self, *parts: Part) -> StoredFile:
        return await self.kept.uploads.complete(self.upload.id, self.token, parts)

    async def whole(self, data: bytes) -> StoredFile:
        return await self.kept.uploads.receive(self.upload.id, self.token, pieces(data))


@pytest.fixture
async def sender(kept: Kept) -> Sender:
    return Sender(kept, await kept.uploads.announce("my photo.png", "ann"))


async def test_the_address_is_known_before_the_file_is_there(kept: Kept, sender: Sender) -> None:
    url = kept.uploads.url(sender.upload, "http://h")
    assert await kept.files.resolve(url) is None
    file = await sender.whole(picture())
    assert await kept.files.resolve(url) == file
    assert kept.files.url(file, "http://h") == url
    assert (file.media_type, file.name, file.owner) == ("image/png", "my_photo.png", "ann")


async def test_a_file_sent_again_replaces_what_was_there(kept: Kept, sender: Sender) -> None:
    first, second = await sender.whole(b"one"), await sender.whole(b"two")
    assert first.id == second.id
    assert await kept.files.read(second) == b"two"
    assert kept.on_disk() == {f"blobs/{second.blob}"}


async def test_parts_are_joined_by_number_in_whatever_order_they_came(kept: Kept, sender: Sender) -> None:
    data = {number: content(number, 300_000 + number) for number in (1, 2, 3)}
    parts = [await sender.part(number, data[number]) for number in (2, 3, 1)]
    file = await sender.complete(*parts)
    assert await kept.files.read(file) == data[1] + data[2] + data[3]
    assert kept.on_disk() == {f"blobs/{file.blob}"}


async def test_a_part_sent_again_replaces_the_earlier(kept: Kept, sender: Sender) -> None:
    await sender.part(1, b"torn")
    part = await sender.part(1, b"whole")
    assert await kept.files.read(await sender.complete(part)) == b"whole"


async def test_quoted_tags_are_the_same_tags(sender: Sender) -> None:
    part = await sender.part(1, b"x")
    assert (await sender.complete(replace(part, etag=f'"{part.etag}"'))).size == 1


async def test_completing_twice_gives_the_file_twice(sender: Sender) -> None:
    part = await sender.part(1, b"x")
    assert await sender.complete(part) == await sender.complete(part)


async def test_a_list_that_is_not_what_arrived_is_refused(kept: Kept, sender: Sender) -> None:
    one, two = await sender.part(1, b"one"), await sender.part(2, b"two")
    wrong = replace(two, etag="0" * 32)
    for parts in ([], [one], [one, two, Part(3, "0" * 32)], [one, wrong], [one, one], [one, replace(two, number=3)]):
        with pytest.raises(BadRequest):
            await sender.complete(*parts)
    assert await kept.files.find(sender.upload.id) is None
    assert (await sender.complete(two, one)).size == 6


async def test_a_part_that_was_damaged_on_disk_is_noticed(kept: Kept, sender: Sender) -> None:
    part = await sender.part(1, b"whole")
    (path,) = (kept.root / "parts" / sender.upload.id).iterdir()
    path.write_bytes(b"whol\0")
    with pytest.raises(BadRequest, match="Part 1 was damaged"):
        await sender.complete(part)
    assert await kept.files.find(sender.upload.id) is None
    assert not any((kept.root / "blobs").iterdir())


@pytest.mark.parametrize("number", [0, -1, LIMITS.max_parts + 1, 10**9])
async def test_numbers_have_bounds(sender: Sender, number: int) -> None:
    with pytest.raises(BadRequest):
        await sender.part(number, b"x")


async def test_parts_together_have_the_bound_of_a_file(kept: Kept, sender: Sender) -> None:
    for number in (1, 2, 3):
        await sender.part(number, content(number, LIMITS.max_file // 3))
    with pytest.raises(PayloadTooLarge):
        await sender.part(4, content(4, 10))


async def test_without_the_token_there_is_nothing(kept: Kept, sender: Sender) -> None:
    other = await kept.uploads.announce("x", "bob")
    part = await sender.part(1, b"x")
    for file_id, token in (
        (sender.upload.id, ""), (sender.upload.id, kept.uploads.token(other)), ("../x", sender.token),
        (other.id, sender.token), ("0" * 32, kept.files.tokens.make("upload", "0" * 32)),
    ):  # fmt: skip
        with pytest.raises(FileMissing):
            await kept.uploads.receive(file_id, token, pieces(b"x"))
        with pytest.raises(FileMissing):
            await kept.uploads.receive_part(file_id, token, 1, pieces(b"x"))
        with pytest.raises(FileMissing):
            await kept.uploads.complete(file_id, token, [part])
        with pytest.raises(FileMissing):
            await kept.uploads.abort(file_id, token)


async def test_what_is_not_completed_in_time_goes(kept: Kept, sender: Sender) -> None:
    part = await sender.part(1, b"x")
    kept.clock.now += LIMITS.upload_window_s
    with pytest.raises(FileMissing):
        await sender.complete(part)
    await kept.sweep.once()
    assert kept.on_disk() == set()
    assert not any((kept.root / "parts").iterdir())


async def test_an_abandoned_upload_leaves_nothing(kept: Kept, sender: Sender) -> None:
    part = await sender.part(1, b"x")
    await kept.uploads.abort(sender.upload.id, sender.token)
    with pytest.raises(FileMissing):
        await sender.complete(part)
    assert kept.on_disk() == set()


async def test_a_part_whose_connection_breaks_leaves_nothing(kept: Kept, sender: Sender) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield content(1, 2 * MIB)
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await kept.uploads.receive_part(sender.upload.id, sender.token, 1, broken())
    assert kept.on_disk() == set()


async def test_the_lifetime_counts_from_the_arrival(kept: Kept) -> None:
    sender = Sender(kept, await kept.uploads.announce("x", "ann", 60))
    kept.clock.now += 1000
    file = await sender.whole(b"x")
    assert file.expires_at == kept.clock.now + 60


async def test_more_than_100_mib_in_flat_memory(tmp_path: Path) -> None:
    kept = await open_kept(tmp_path, Clock(), Limits(min_free=0))
    sender = Sender(kept, await kept.uploads.announce("weights.safetensors", "ann"))
    block = content(1, 10 * MIB)
    parts = [await sender.part(1, block)]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    parts += [await sender.part(number, block) for number in range(2, 12)]
    file = await sender.complete(*parts)
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert file.size == 110 * MIB
    assert grown_kib < 32 * 1024
    await close_kept(kept)
