"""Pictures in a bucket of a real S3 server: bytes, headers, keys, links and who may read them."""

from __future__ import annotations

import logging
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest

import schemas.bucket
from handler.storage import signer
from handler.storage.s3 import reachable
from schemas.errors import FieldError, StorageUnavailable
from tests.support.s3 import Bucket

from .conftest import QUICK, store_of, target_of
from .fault_proxy import fault_proxy

PICTURE = bytes(range(256)) * 2000


def get(url: str) -> tuple[bytes, dict[str, str]]:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return answer.read(), dict(answer.headers)


def status_of(url: str) -> int:
    try:
        get(url)
    except urllib.error.HTTPError as refusal:
        return refusal.code
    return 200


def test_the_link_returns_the_same_bytes_and_type(bucket: Bucket):
    url = store_of(bucket).put("a-0.webp", PICTURE, "image/webp")
    body, headers = get(url)
    assert body == PICTURE
    assert headers["Content-Type"] == "image/webp"
    assert headers["Content-Disposition"] == 'inline; filename="a-0.webp"'


def test_the_key_is_prefix_job_and_name(bucket: Bucket):
    store_of(bucket, "sync-1b2c-e1", prefix="tenants/a").put("a-0.png", b"x", "image/png")
    store_of(bucket, "sync-1b2c-e1").put("a-0.png", b"x", "image/png")
    assert bucket.keys() == ["sync-1b2c-e1/a-0.png", "tenants/a/sync-1b2c-e1/a-0.png"]


def test_an_expired_link_is_refused(bucket: Bucket, monkeypatch: pytest.MonkeyPatch):
    """Links made an hour ago, by boto3's clock: one for less than that, one for more."""
    store_of(bucket).put("a-0.png", PICTURE, "image/png")
    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda *_, **__: an_hour_ago.replace(tzinfo=None))
    short, long = (signer.link(target_of(bucket, presign_s=life_s), "job-1/a-0.png") for life_s in (3500, 7200))
    assert (status_of(short), status_of(long)) == (403, 200)


def test_an_unsigned_and_a_tampered_link_are_refused(bucket: Bucket):
    lasting = store_of(bucket).put("b-0.png", PICTURE, "image/png")
    store_of(bucket).put("a-0.png", PICTURE, "image/png")
    assert status_of(lasting) == 200
    assert status_of(lasting.partition("?")[0]) in (400, 401, 403)
    assert status_of(lasting.replace("b-0.png", "a-0.png")) == 403
    assert status_of(lasting.replace("X-Amz-Expires=604800", "X-Amz-Expires=604799")) == 403
    signature = lasting.rpartition("=")[2]
    flipped = ("0" if signature[0] != "0" else "1") + signature[1:]
    assert status_of(lasting.replace(signature, flipped)) == 403


def test_links_live_a_week_unless_told_otherwise(bucket: Bucket):
    assert "X-Amz-Expires=604800&" in store_of(bucket).put("a-0.png", b"x", "image/png")
    assert "X-Amz-Expires=60&" in store_of(bucket, presign_s=60).put("a-0.png", b"x", "image/png")


def test_a_public_address_replaces_the_link(bucket: Bucket):
    store = store_of(bucket, prefix="out", public_url="https://cdn.example.com/pictures")
    assert store.put("a-0.png", b"x", "image/png") == "https://cdn.example.com/pictures/out/job-1/a-0.png"
    assert bucket.read("out/job-1/a-0.png") == b"x"


@pytest.mark.parametrize(
    "name",
    ["Zürich – 東京 🎨.png", "../../etc/passwd", "a b+c%20&d=e?.png", 'quote".png', "line\r\nX-Evil: 1.png", "", ".."],
)
def test_odd_names_become_safe_keys_that_still_read_back(bucket: Bucket, name: str):
    url = store_of(bucket, job_id=name).put(name, PICTURE, "image/png")
    assert get(url)[0] == PICTURE
    (key,) = bucket.keys()
    assert len(key.split("/")) == 2
    assert all(part and not part.startswith(".") and part.isascii() for part in key.split("/"))


def test_jobs_whose_ids_look_alike_do_not_share_a_key(bucket: Bucket):
    ids = ["job/1", "job_1", "job 1", "job\\1", "Job_1"]
    urls = {job: store_of(bucket, job).put("a-0.png", job.encode(), "image/png") for job in ids}
    assert {job: get(url)[0] for job, url in urls.items()} == {job: job.encode() for job in ids}
    assert len(bucket.keys()) == len(ids)


def test_many_jobs_at_once_keep_their_own_pictures(bucket: Bucket):
    def put(number: int) -> bool:
        data = f"picture {number}".encode() * 1000
        url = store_of(bucket, f"job-{number // 4}").put(f"a-{number % 4}.png", data, "image/png")
        return get(url)[0] == data

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(put, range(12)))
    assert len(bucket.keys()) == 12


def test_the_same_name_again_replaces_the_file(bucket: Bucket):
    store = store_of(bucket)
    store.put("a-0.png", b"first", "image/png")
    assert get(store.put("a-0.png", b"second", "image/png"))[0] == b"second"


def test_remove_takes_a_file_back_and_never_raises(bucket: Bucket):
    store = store_of(bucket)
    url = store.put("a-0.png", PICTURE, "image/png")
    store.remove("a-0.png")
    store.remove("a-0.png")
    assert status_of(url) == 404
    store_of(bucket, endpoint_url="http://127.0.0.1:9").remove("a-0.png")


def test_one_client_serves_all_jobs_of_a_target(bucket: Bucket):
    clients = []
    threads = [threading.Thread(target=lambda: clients.append(signer._client(target_of(bucket)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(clients) == 4
    assert len({id(client) for client in clients}) == 1
    assert signer._client(target_of(bucket, secret_access_key="other")) is not clients[0]


def test_settings_of_other_programs_do_not_change_a_link(bucket: Bucket, monkeypatch):
    strange = {
        "AWS_PROFILE": "no-such-profile",
        "AWS_ACCESS_KEY_ID": "other",
        "AWS_SECRET_ACCESS_KEY": "other",
        "AWS_SESSION_TOKEN": "other",
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_USE_FIPS_ENDPOINT": "true",
        "AWS_CONFIG_FILE": "/no/such/file",
    }
    for name, value in strange.items():
        monkeypatch.setenv(name, value)
    for cache in (schemas.bucket._session, signer._make_client):
        cache.cache_clear()
    assert get(store_of(bucket).put("a-0.png", PICTURE, "image/png"))[0] == PICTURE


REFUSALS = [
    ({"secret_access_key": "wrong"}, "refuses these credentials", ["s3Config"]),
    ({"access_key_id": "nobody:here"}, "refuses these credentials", ["s3Config"]),
    ({"bucket_name": "no-such-bucket"}, "does not exist", ["s3Config", "bucketName"]),
    ({"region": "eu-west-1"}, "is in another region", ["s3Config", "endpointUrl"]),
]


@pytest.mark.parametrize(("change", "words", "loc"), REFUSALS)
def test_a_refusal_fails_at_once_with_words(bucket: Bucket, caplog, change, words, loc):
    caplog.set_level(logging.DEBUG, "handler")
    with fault_proxy(bucket.server.endpoint) as proxy:
        changes = {"endpoint_url": proxy.endpoint, **change}
        with pytest.raises(StorageUnavailable, match=words) as operators:
            store_of(bucket, **changes).put("a-0.png", PICTURE, "image/png")
        with pytest.raises(FieldError, match=words) as callers:
            store_of(bucket, from_job=True, **changes).put("a-0.png", PICTURE, "image/png")
    assert len(proxy.visits) == 2
    assert callers.value.details[0]["loc"] == loc
    assert bucket.keys() == []
    assert "127.0.0.1" not in str(operators.value)
    assert bucket.name in caplog.text or "no-such-bucket" in caplog.text
    for text in (caplog.text, repr(operators.value), repr(callers.value.details)):
        assert not any(secret in text for secret in ("wrong", bucket.server.secret, "Signature", "Credential="))


def test_secrets_stay_out_of_every_repr(bucket: Bucket):
    target = target_of(bucket)
    request = signer.put_request(target, "k", b"picture-bytes", "image/png")
    for text in (repr(target), repr(request), repr(store_of(bucket))):
        assert not any(secret in text for secret in (bucket.server.secret, bucket.server.access_key, "Signature"))
        assert "picture-bytes" not in text


def test_reachable_writes_reads_and_leaves_nothing(bucket: Bucket):
    with fault_proxy(bucket.server.endpoint) as proxy:
        reachable(target_of(bucket, endpoint_url=proxy.endpoint, prefix="out"), QUICK)
    assert [visit.split()[0] for visit in proxy.visits] == [b"PUT", b"GET", b"DELETE"]
    assert all(f"/{bucket.name}/out/worker-check.txt?".encode() in visit for visit in proxy.visits)
    assert bucket.keys() == []


@pytest.mark.parametrize(("change", "words", "_loc"), REFUSALS)
def test_reachable_tells_the_operator_which_bucket_and_why(bucket: Bucket, change, words, _loc):
    target = target_of(bucket, **change)
    host = urlsplit(bucket.server.endpoint).netloc
    with pytest.raises(StorageUnavailable) as failure:
        reachable(target, QUICK)
    assert str(failure.value) == f"bucket {target.bucket_name} at {host} {words}"


def test_reachable_says_when_nobody_answers(bucket: Bucket):
    with pytest.raises(StorageUnavailable, match=r"at 127\.0\.0\.1:9 does not answer"):
        reachable(target_of(bucket, endpoint_url="http://127.0.0.1:9"), QUICK)
