"""The store: one process, writes grouped and durable before they are reported, trouble told in clear words."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.jobs.jobs import Jobs
from gateway.jobs.model import LogLine, State
from gateway.jobs.store import FILE, LOCK, Store
from schemas.errors import StoreDamaged, StoreInUse, StoreTooNew, StoreUnavailable
from tests.gateway.jobs.conftest import HandClock, new

pytestmark = pytest.mark.anyio

TABLE = "CREATE TABLE notes (text TEXT NOT NULL UNIQUE) STRICT;"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path)
    store.migrate("notes", [TABLE])
    yield store
    store.close()


def add(text: str) -> Callable[[sqlite3.Connection], object]:
    return lambda connection: connection.execute("INSERT INTO notes VALUES (?)", (text,))


async def notes(store: Store) -> list[str]:
    query = "SELECT text FROM notes ORDER BY rowid"
    return await store.read(lambda connection: [row["text"] for row in connection.execute(query)])


def fill(store: Store, full: bool) -> asyncio.Future[object]:
    """Make the store's disk full, as SQLite sees it, or give it room again."""
    pages = "(SELECT page_count FROM pragma_page_count)"

    def limit(connection: sqlite3.Connection) -> None:
        used = connection.execute(f"SELECT {pages}").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {used if full else used + 10**6}")

    return store.post(limit)


async def test_the_file_is_kept_as_promised(store: Store) -> None:
    def settings(connection: sqlite3.Connection) -> tuple:
        return tuple(connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous"))

    assert await store.write(settings) == ("wal", 2)


async def test_writes_that_wait_share_a_commit(store: Store) -> None:
    version = "PRAGMA data_version"
    observer = sqlite3.connect(store._path)
    commits, seen = 0, observer.execute(version).fetchone()[0]
    writes = [store.post(add(str(number))) for number in range(500)]
    for write in writes:
        await write
        now = observer.execute(version).fetchone()[0]
        commits, seen = commits + (now != seen), now
    observer.close()
    assert await notes(store) == [str(number) for number in range(500)]
    assert 1 <= commits <= 25


async def test_one_failed_write_undoes_itself_alone(store: Store) -> None:
    def twice(connection: sqlite3.Connection) -> None:
        add("half")(connection)
        add("a")(connection)

    outcomes = await asyncio.gather(*map(store.write, (add("a"), twice, add("b"))), return_exceptions=True)
    assert isinstance(outcomes[1], sqlite3.IntegrityError)
    assert await notes(store) == ["a", "b"]


async def test_a_wrong_statement_harms_no_neighbour(store: Store) -> None:
    def wrong(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO no_such_table VALUES (1)")

    outcomes = await asyncio.gather(*map(store.write, (add("a"), wrong, add("b"))), return_exceptions=True)
    assert isinstance(outcomes[1], sqlite3.OperationalError)
    assert await notes(store) == ["a", "b"]


async def test_followers_run_in_the_order_of_commits_even_when_the_caller_left(store: Store) -> None:
    followed: list[int] = []

    def follow(number: int) -> asyncio.Task[object]:
        return asyncio.create_task(store.write(add(str(number)), lambda _: followed.append(number)))

    tasks = [follow(number) for number in range(100)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await store.write(lambda connection: None)
    assert followed == list(range(100))


async def test_readers_cannot_write(store: Store) -> None:
    with pytest.raises(StoreUnavailable):
        await store.read(add("a"))
    assert await notes(store) == []


async def test_a_second_gateway_is_refused(tmp_path: Path, store: Store) -> None:
    program = f"from pathlib import Path; from gateway.jobs.store import Store; Store(Path({str(tmp_path)!r}))"
    second = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode != 0
    assert "StoreInUse: The data folder is in use by another gateway" in second.stderr
    with pytest.raises(StoreInUse):
        Store(tmp_path)
    beside = Store(tmp_path, exclusive=False)
    await beside.write(add("from a command"))
    beside.close()
    assert await notes(store) == ["from a command"]


async def test_the_folder_is_free_again_after_the_end(tmp_path: Path) -> None:
    for _ in range(2):
        Store(tmp_path).close()
    assert (tmp_path / LOCK).exists()


async def test_a_full_disk_accepts_nothing_and_loses_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    jobs = Jobs(store)
    await jobs.start(sweep=False)
    kept = await jobs.submit(new())
    (lease,) = await jobs.take("w1", 1, 5)
    await fill(store, True)
    big = {"prompt": "x" * 100_000}
    refused = await asyncio.gather(*(jobs.submit(new(input=big)) for _ in range(20)), return_exceptions=True)
    assert {type(outcome) for outcome in refused} == {StoreUnavailable}
    assert (refused[0].status, refused[0].retry_after_s) == (503, 5)
    with pytest.raises(StoreUnavailable):
        await jobs.finish(lease.id, "w1", big)
    assert (await jobs.get(kept.id)).state is State.RUNNING
    assert (jobs.counts().queued, jobs.counts().running) == (0, 1)
    await fill(store, False)
    assert await jobs.finish(lease.id, "w1", big), "posted again"
    await jobs.submit(new())
    await jobs.close()
    store.close()


async def test_a_hand_out_refused_by_the_disk_is_made_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.jobs.handout.RETRY_S", 0.01)
    store = Store(tmp_path)
    jobs = Jobs(store)
    await jobs.start(sweep=False)
    job = await jobs.submit(new(start_within_s=60, input={"prompt": "x" * 100}))
    broken = True

    def out_of_order(connection: sqlite3.Connection) -> None:
        # A statement of the same batch runs into the full disk, so the whole batch is undone.
        if broken:
            connection.execute(f"PRAGMA max_page_count = {connection.execute('PRAGMA page_count').fetchone()[0]}")
            connection.execute("CREATE TABLE filler (text TEXT)")
            connection.execute("INSERT INTO filler VALUES (?)", ("x" * 10**6,))

    spoiled = store.post(out_of_order)
    poll = asyncio.create_task(jobs.take("w1", 1, 30))
    with pytest.raises(StoreUnavailable):
        await spoiled
    broken = False
    await fill(store, False)
    (lease,) = await asyncio.wait_for(poll, 30)
    assert lease.job.id == job.id
    await jobs.close()
    store.close()


async def test_a_start_deadline_outlives_trouble_with_the_disk(tmp_path: Path, clock: HandClock) -> None:
    store = Store(tmp_path)
    jobs = Jobs(store, clock=clock)
    await jobs.start(sweep=False)
    job = await jobs.submit(new(start_within_s=5))
    jobs.log(job.id, LogLine(0, "INFO", "x" * 100_000))
    clock.advance(6)
    await fill(store, True)
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await jobs.tick()
    await fill(store, False)
    await jobs.tick()
    ended = await jobs.get(job.id)
    assert ended is not None
    assert ended.failure is not None
    assert ended.failure.code == "startup_timeout"
    await jobs.close()
    store.close()


def damage(path: Path, kind: str) -> None:
    whole = path.read_bytes()
    match kind:
        case "header":
            path.write_bytes(b"not a database, whatever it was" + whole[31:])
        case "truncated":
            path.write_bytes(whole[: len(whole) // 2])
        case "emptied":
            path.write_bytes(b"")
        case "middle":
            path.write_bytes(whole[:8192] + bytes(len(whole) - 8192))


@pytest.mark.parametrize("kind", ["header", "truncated", "middle", "emptied"])
async def test_a_damaged_store_is_refused_and_left_alone(tmp_path: Path, kind: str) -> None:
    store = Store(tmp_path)
    jobs = Jobs(store)
    await jobs.start(sweep=False)
    for _ in range(50):
        await jobs.submit(new(input={"prompt": "x" * 500}))
    await jobs.close()
    store.close()
    path = tmp_path / FILE
    damage(path, kind)
    damaged = path.read_bytes()
    for _ in range(2):
        with pytest.raises(StoreDamaged, match=r"is damaged\. Nothing was changed"):
            Store(tmp_path)
    assert path.read_bytes() == damaged


async def test_a_store_moved_away_starts_empty(tmp_path: Path) -> None:
    Store(tmp_path).close()
    (tmp_path / FILE).rename(tmp_path / "old")
    Store(tmp_path).close()
    assert (tmp_path / FILE).exists()


async def test_a_newer_store_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.migrate("notes", [TABLE, "ALTER TABLE notes ADD COLUMN author TEXT;"])
    with pytest.raises(StoreTooNew):
        store.migrate("notes", [TABLE])
    store.close()


async def test_a_failed_migration_leaves_the_old_version(tmp_path: Path, store: Store) -> None:
    await store.write(add("kept"))
    with pytest.raises(StoreUnavailable):
        store.migrate("notes", [TABLE, "ALTER TABLE notes ADD COLUMN author TEXT; SELECT * FROM no_such_table;"])
    store.migrate("notes", [TABLE, "ALTER TABLE notes ADD COLUMN editor TEXT;"])
    assert await notes(store) == ["kept"]


async def test_after_the_end_nothing_is_written(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.migrate("notes", [TABLE])
    late = store.post(add("on its way"))
    store.close()
    await late
    with pytest.raises(StoreUnavailable):
        await store.write(add("too late"))
    store = Store(tmp_path)
    assert await notes(store) == ["on its way"]
    store.close()


async def test_the_data_folder_is_private(tmp_path: Path) -> None:
    Store(tmp_path / "data").close()
    assert (tmp_path / "data").stat().st_mode & 0o077 == 0
