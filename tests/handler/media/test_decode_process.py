"""The decoding process: limits that hold, a worker that survives it, threads that share it, no orphan left."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from handler.media import decode as media
from handler.media.decode import Decoder
from handler.media.decode_protocol import Limits, Verdict

from .hostile_images import hostile, many_scans
from .image_files import pattern, save

PIXELS = pattern()
GOOD = save(PIXELS, "PNG")


@pytest.fixture
def decoder(request):
    decoder = Decoder(limits=getattr(request, "param", Limits()))
    yield decoder
    decoder.close()


def assert_works(decoder: Decoder) -> None:
    verdict, image = decoder.decode(GOOD)
    assert verdict is Verdict.OK
    np.testing.assert_array_equal(np.asarray(image), PIXELS)


def process_of(decoder: Decoder) -> int:
    decoder.start()
    assert decoder._process is not None
    return decoder._process.pid


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def gone(pid: int) -> bool:
    """Whether the process has ended, also if nobody has reaped it yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def wait_for(condition, seconds: float = 60) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize("decoder", [Limits(cpu_s=1, wall_s=600)], indirect=True)
def test_the_processor_time_of_one_image_is_limited(decoder):
    started = time.monotonic()
    assert decoder.decode(many_scans(4000)) == (Verdict.DAMAGED, None)
    assert time.monotonic() - started < 300
    assert_works(decoder)


@pytest.mark.parametrize("decoder", [Limits(cpu_s=600, wall_s=3)], indirect=True)
def test_the_wall_time_of_one_image_is_limited(decoder):
    started = time.monotonic()
    assert decoder.decode(many_scans(4000)) == (Verdict.DAMAGED, None)
    assert time.monotonic() - started < 60
    assert_works(decoder)


@pytest.mark.parametrize("decoder", [Limits(memory_bytes=150 * 2**20)], indirect=True)
def test_the_memory_of_one_image_is_limited(decoder):
    assert decoder.decode(hostile("largest RGBA, 16 bit")[0]) == (Verdict.DAMAGED, None)
    assert_works(decoder)


def test_a_killed_process_is_replaced(decoder):
    for _ in range(3):
        pid = process_of(decoder)
        os.kill(pid, signal.SIGKILL)
        assert_works(decoder)
        assert process_of(decoder) != pid


def test_a_stopped_process_does_not_hang_the_worker():
    decoder = Decoder(limits=Limits(wall_s=3))
    pid = process_of(decoder)
    os.kill(pid, signal.SIGSTOP)
    assert_works(decoder)
    assert gone(pid)
    decoder.close()


def test_a_fork_that_is_killed_costs_only_its_own_image():
    decoder = Decoder()
    pid = process_of(decoder)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(decoder.decode, many_scans(4000))
        assert wait_for(lambda: children_of(pid))
        assert_works(decoder)
        os.kill(children_of(pid)[0], signal.SIGKILL)
        assert slow.result() == (Verdict.DAMAGED, None)
    assert process_of(decoder) == pid
    decoder.close()


def test_the_process_is_reused_and_leaves_no_forks(decoder):
    pid = process_of(decoder)
    for _ in range(20):
        assert_works(decoder)
    assert process_of(decoder) == pid
    assert wait_for(lambda: not children_of(pid))


def test_closing_ends_it(decoder):
    pid = process_of(decoder)
    decoder.close()
    assert gone(pid)
    assert_works(decoder)


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM])
def test_it_dies_with_the_worker(sign):
    script = (
        "import sys, time; from handler.media.decode import Decoder\n"
        "decoder = Decoder(); decoder.start(); print(decoder._process.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        pid = int(worker.stdout.readline())
        assert not gone(pid)
        worker.send_signal(sign)
        worker.wait(60)
    assert wait_for(lambda: gone(pid))


def test_it_dies_with_the_worker_even_if_another_process_holds_its_socket():
    """A process forked from the worker (the SDK's heartbeat) inherits the socket and may outlive the worker."""
    script = (
        "import os, sys, time; from handler.media.decode import Decoder\n"
        "decoder = Decoder(); decoder.start()\n"
        "heir = os.fork()\n"
        "if heir: print(decoder._process.pid, heir, flush=True)\n"
        "time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        pid, heir = map(int, worker.stdout.readline().split())
        worker.kill()
        worker.wait(60)
        try:
            assert wait_for(lambda: gone(pid))
        finally:
            os.kill(heir, signal.SIGKILL)


def test_it_does_not_see_the_workers_keys(monkeypatch):
    monkeypatch.setenv("RUNPOD_AI_API_KEY", "secret")
    decoder = Decoder()
    environment = Path(f"/proc/{process_of(decoder)}/environ").read_bytes()
    decoder.close()
    assert b"secret" not in environment
    assert b"PATH" in environment


def test_many_threads_get_their_own_pictures(decoder):
    pictures = [np.roll(PIXELS, shift, axis=1) for shift in range(24)]
    files = [save(picture, "PNG") for picture in pictures]
    with ThreadPoolExecutor(8) as pool:
        for (verdict, image), picture in zip(pool.map(decoder.decode, files), pictures, strict=True):
            assert verdict is Verdict.OK
            np.testing.assert_array_equal(np.asarray(image), picture)


def test_it_outlives_the_thread_that_started_it(decoder):
    starter = threading.Thread(target=decoder.start)
    starter.start()
    starter.join()
    pid = process_of(decoder)
    time.sleep(0.2)
    assert_works(decoder)
    assert process_of(decoder) == pid


def test_the_event_loop_goes_on_while_a_picture_decodes():
    async def main() -> tuple[int, object]:
        ticks = 0
        work = asyncio.create_task(asyncio.to_thread(media.decode, hostile("largest RGBA")[0], ("x",)))
        while not work.done():
            await asyncio.sleep(0.005)
            ticks += 1
        return ticks, work.result().size

    ticks, size = asyncio.run(main())
    assert ticks > 5
    assert size == (4096, 4096)
