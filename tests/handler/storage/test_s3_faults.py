"""A bucket that fails for a while, or for ever: bounded tries, bounded time, whole objects or none."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import time
import urllib.request

import pytest

from handler.storage.patience import Patience
from schemas.errors import StorageUnavailable
from tests.support.s3 import Bucket

from .conftest import QUICK, store_of
from .fault_proxy import (
    Fault,
    cut_answer,
    drip,
    fault_proxy,
    garbage,
    hang,
    lose_answer,
    refuse_early,
    reset_midway,
    status,
)

PICTURE = hashlib.shake_256(b"picture").digest(1_500_000)
SLOW_DOWN = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>m</Message></Error>"
STALLED = b"<Error><Code>RequestTimeout</Code></Error>"
DENIED = b"<Error><Code>AccessDenied</Code><Message>The Secret Text Of A Server</Message></Error>"
HASTY = dataclasses.replace(QUICK, silence_s=0.4)
"""For servers that never answer."""


@pytest.mark.parametrize(
    "faults",
    [
        [status(500), status(500)],
        [status(503, SLOW_DOWN)],
        [status(507), status(429)],
        [status(400, STALLED)],
        [reset_midway, reset_midway],
        [lose_answer],
        [cut_answer, garbage],
        [hang],
        [refuse_early(503, SLOW_DOWN)],
    ],
    ids=["500 500", "SlowDown", "507 429", "stalled", "reset", "lost answer", "cut, garbage", "hang", "early 503"],
)
def test_after_a_fault_that_passes_the_object_is_whole(bucket: Bucket, faults: list[Fault]):
    # A silence is noticed when it has lasted; the server itself must not be taken for silent on a busy machine.
    patience = dataclasses.replace(QUICK, silence_s=3) if hang in faults else QUICK
    with fault_proxy(bucket.server.endpoint, *faults) as proxy:
        url = store_of(bucket, patience=patience, endpoint_url=proxy.endpoint).put("a-0.png", PICTURE, "image/png")
        assert len(proxy.visits) == len(faults) + 1
        with urllib.request.urlopen(url, timeout=60) as answer:
            assert answer.read() == PICTURE
    assert bucket.keys() == ["job-1/a-0.png"]


@pytest.mark.parametrize("fault", [status(500), status(503, SLOW_DOWN), reset_midway, hang, garbage, cut_answer])
def test_a_fault_that_stays_ends_after_the_allowed_tries(bucket: Bucket, fault: Fault, caplog):
    caplog.set_level(logging.INFO, "handler")
    with fault_proxy(bucket.server.endpoint, *[fault] * 20) as proxy:
        store = store_of(bucket, patience=HASTY, endpoint_url=proxy.endpoint)
        with pytest.raises(StorageUnavailable) as failure:
            store.put("a-0.png", PICTURE, "image/png")
    assert len(proxy.visits) == HASTY.attempts
    assert bucket.keys() == []
    assert failure.value.retryable
    assert "127.0.0.1" not in failure.value.line()
    assert bucket.server.secret not in caplog.text
    assert "Signature" not in caplog.text


@pytest.mark.parametrize("fault", [hang, drip, status(500)])
def test_the_total_time_holds_however_patient_the_rest_is(bucket: Bucket, fault: Fault):
    patience = Patience(attempts=10_000, total_s=1.2, connect_s=120, silence_s=120, pause_s=0.1)
    with fault_proxy(bucket.server.endpoint, *[fault] * 200) as proxy:
        started = time.monotonic()
        with pytest.raises(StorageUnavailable):
            store_of(bucket, patience=patience, endpoint_url=proxy.endpoint).put("a-0.png", b"x", "image/png")
        assert time.monotonic() - started < patience.total_s + 30


def test_pauses_grow_and_differ():
    patience = dataclasses.replace(QUICK, pause_s=0.5)
    spans = [[patience.pause(attempt) for _ in range(200)] for attempt in range(3)]
    assert all(0.25 * 2**n <= pause <= 0.75 * 2**n for n, pauses in enumerate(spans) for pause in pauses)
    assert all(len(set(pauses)) > 100 for pauses in spans)


def test_a_dead_port_is_given_up_with_words(bucket: Bucket):
    with pytest.raises(StorageUnavailable, match="does not answer"):
        store_of(bucket, endpoint_url="http://127.0.0.1:9").put("a-0.png", b"x", "image/png")


def test_by_default_nothing_takes_longer_than_30_seconds():
    assert Patience().total_s == 30


@pytest.mark.parametrize("fault", [status(403, DENIED), refuse_early(403, DENIED), status(301), status(409)])
def test_a_refusal_is_not_tried_again_and_its_text_not_repeated(bucket: Bucket, fault: Fault, caplog):
    with fault_proxy(bucket.server.endpoint, fault) as proxy:
        with pytest.raises(StorageUnavailable) as failure:
            store_of(bucket, endpoint_url=proxy.endpoint).put("a-0.png", PICTURE, "image/png")
        assert len(proxy.visits) == 1
    assert "Secret Text" not in str(failure.value) + caplog.text
    assert bucket.keys() == []


def test_a_refusal_that_comes_while_we_send_is_read(bucket: Bucket):
    """More than the sockets' buffers hold, so that sending breaks before all is sent."""
    with fault_proxy(bucket.server.endpoint, refuse_early(403, DENIED)) as proxy:
        with pytest.raises(StorageUnavailable, match="credentials"):
            store_of(bucket, endpoint_url=proxy.endpoint).put("a-0.png", bytes(32_000_000), "image/png")
        assert len(proxy.visits) == 1


def test_there_is_no_pause_after_the_last_try(bucket: Bucket):
    patience = dataclasses.replace(QUICK, attempts=1, total_s=600, pause_s=300)
    with fault_proxy(bucket.server.endpoint, status(500)) as proxy:
        started = time.monotonic()
        with pytest.raises(StorageUnavailable):
            store_of(bucket, patience=patience, endpoint_url=proxy.endpoint).put("a-0.png", b"x", "image/png")
        assert time.monotonic() - started < 60


def test_damage_on_the_way_is_noticed_by_the_server(bucket: Bucket):
    """The signed MD5 makes the server refuse a body that is not what was sent."""

    def damage(visit):
        body = bytearray(visit.body())
        body[len(body) // 2] ^= 1
        visit.client.sendall(visit.ask(bytes(body)))

    with fault_proxy(bucket.server.endpoint, damage) as proxy, pytest.raises(StorageUnavailable, match="damaged"):
        store_of(bucket, endpoint_url=proxy.endpoint).put("a-0.png", PICTURE, "image/png")
    assert bucket.keys() == []


def test_the_same_bytes_go_again_without_being_made_again(bucket: Bucket):
    """What a caller does after StorageUnavailable: the same call, later."""
    with fault_proxy(bucket.server.endpoint, *[status(500)] * QUICK.attempts) as proxy:
        store = store_of(bucket, endpoint_url=proxy.endpoint)
        with pytest.raises(StorageUnavailable):
            store.put("a-0.png", PICTURE, "image/png")
        store.put("a-0.png", PICTURE, "image/png")
    assert bucket.read("job-1/a-0.png") == PICTURE
