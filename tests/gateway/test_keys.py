"""Keys: who may come in and with which header, whose files and jobs one sees, and how much a key may ask for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from gateway.hosts import is_loopback
from gateway.keys import table
from gateway.keys.key import Key, Principal, digest, draw, id_of
from gateway.keys.limits import Rates
from schemas.errors import QueueFull, RateLimited
from tests.support.gateway import until
from tests.support.gateway_thread import ServedGateway, new_job, threaded_gateway

CLIENT = httpx2.Client(trust_env=False, timeout=60)
PLAIN = "plain-key-of-the-command-line"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(32)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedGateway]:
    """A gateway with one plain key; tests add others."""
    with threaded_gateway(tmp_path_factory.mktemp("guarded") / "data", apikey=PLAIN) as served:
        yield served


@pytest.fixture(scope="module")
def mine(guarded: ServedGateway) -> str:
    return guarded.run(table.add(guarded.gateway.files.store, "mine"))


@pytest.fixture(scope="module")
def private_file(guarded: ServedGateway, mine: str) -> str:
    """The URL of a file that only the bearer of `mine` may read."""
    files = guarded.gateway.files
    stored = guarded.run(files.add(PNG, name="a.png", owner=id_of(mine), public=False))
    url = files.url(stored, guarded.url)
    until(lambda: CLIENT.get(url, headers={"Authorization": mine}).status_code == 200)
    return url


@pytest.mark.parametrize("form", ["Key {}", "key {}", "Bearer {}", "{}", "KEY  {}"])
def test_every_form_of_authorization_is_read(private_file: str, mine: str, form: str) -> None:
    assert CLIENT.get(private_file, headers={"Authorization": form.format(mine)}).status_code == 200


def test_other_places_for_a_key_are_read_too(private_file: str, mine: str) -> None:
    assert CLIENT.get(private_file, headers={"X-API-KEY": mine}).status_code == 200
    assert CLIENT.get(private_file, params={"fal_jwt_token": mine}).status_code == 200


def wrong_keys() -> list[str]:
    stranger = draw()[1]
    return ["", "x", "Key", stranger, f"Key {stranger}", "fooocus_", "Bearer fooocus__", "Basic eDp5", "Key \u00ff"]


@pytest.mark.parametrize("key", wrong_keys(), ids=range(len(wrong_keys())))
def test_wrong_keys_get_401(private_file: str, key: str) -> None:
    answer = CLIENT.get(private_file, headers={"Authorization": key.encode("latin-1")})
    assert answer.status_code == 401
    assert answer.json()["error_type"] == "unauthorized"


def test_a_key_with_one_character_changed_is_wrong(private_file: str, mine: str) -> None:
    for position in (len("fooocus_"), len("fooocus_") + 10, len(mine) - 1):
        changed = mine[:position] + ("0" if mine[position] != "0" else "1") + mine[position + 1 :]
        assert CLIENT.get(private_file, headers={"Authorization": changed}).status_code == 401


def test_another_key_sees_nothing(guarded: ServedGateway, private_file: str) -> None:
    other = guarded.run(table.add(guarded.gateway.files.store, "other"))
    until(lambda: CLIENT.get(private_file, headers={"Authorization": other}).status_code == 404)
    assert CLIENT.get(private_file, headers={"Authorization": f"Key {PLAIN}"}).status_code == 404


def test_jobs_are_their_owners(guarded: ServedGateway) -> None:
    jobs = guarded.gateway.jobs
    job = guarded.run(guarded.gateway.submit(Principal("one", 0, 0), new_job({})))
    assert job.owner == "one"
    assert guarded.run(jobs.get(job.id, "one")) == job
    assert guarded.run(jobs.get(job.id, "two")) is None
    guarded.run(jobs.cancel(job.id))


def test_a_revoked_key_is_refused_within_a_second(guarded: ServedGateway, private_file: str) -> None:
    key = guarded.run(table.add(guarded.gateway.files.store, "short-lived"))
    until(lambda: CLIENT.get(private_file, headers={"Authorization": key}).status_code == 404)
    assert guarded.run(table.revoke(guarded.gateway.files.store, id_of(key)))
    until(lambda: CLIENT.get(private_file, headers={"Authorization": key}).status_code == 401)


def test_without_keys_any_key_will_do(served: ServedGateway) -> None:
    """Clients of fal always send one."""
    files = served.gateway.files
    url = files.url(served.run(files.add(PNG, name="a.png", owner="local", public=False)), served.url)
    assert CLIENT.get(url).status_code == 200
    assert CLIENT.get(url, headers={"Authorization": "Key whatever"}).status_code == 200


def test_a_rate_is_a_minutes_worth_at_once_and_then_evenly() -> None:
    now = [1000.0]
    rates = Rates(lambda: now[0])
    assert [rates.spend("a", 3) for _ in range(4)] == [0, 0, 0, pytest.approx(20)]
    assert rates.spend("b", 3) == 0
    now[0] += 19
    assert rates.spend("a", 3) == pytest.approx(1)
    now[0] += 1.001
    assert [rates.spend("a", 3) == 0, rates.spend("a", 3) > 19] == [True, True]
    assert all(rates.spend("free", 0) == 0 for _ in range(1000))


def test_a_key_beyond_its_rate_is_told_when_to_come_again(guarded: ServedGateway) -> None:
    hasty = Principal("hasty", 2, 0)
    jobs = [guarded.run(guarded.gateway.submit(hasty, new_job({}))) for _ in range(2)]
    with pytest.raises(RateLimited) as refused:
        guarded.run(guarded.gateway.submit(hasty, new_job({})))
    assert 25 <= refused.value.retry_after_s <= 30
    assert refused.value.status == 429
    for job in jobs:
        guarded.run(guarded.gateway.jobs.cancel(job.id))


def test_a_key_may_have_only_so_many_waiting(guarded: ServedGateway) -> None:
    greedy = Principal("greedy", 0, 2)
    jobs = [guarded.run(guarded.gateway.submit(greedy, new_job({}))) for _ in range(2)]
    with pytest.raises(QueueFull):
        guarded.run(guarded.gateway.submit(greedy, new_job({})))
    guarded.run(guarded.gateway.jobs.cancel(jobs[0].id))
    jobs.append(guarded.run(guarded.gateway.submit(greedy, new_job({}))))
    for job in jobs[1:]:
        guarded.run(guarded.gateway.jobs.cancel(job.id))


def test_drawn_keys_differ_and_can_be_searched_for() -> None:
    keys = {draw()[1] for _ in range(1000)}
    assert len(keys) == 1000
    assert all(key.startswith("fooocus_") for key in keys)


def test_a_revoked_key_opens_nothing_even_unrefreshed() -> None:
    assert Key("a", "", digest("s"), None, None, 0, None).opens_with("s")
    assert not Key("a", "", digest("s"), None, None, 0, 1.0).opens_with("s")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "[::1]", "localhost", "fal.localhost"])
def test_loopback_addresses(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "localhost.evil.example", "127.0.0.1.nip.io", "", "1"])
def test_other_addresses_are_not_loopback(host: str) -> None:
    assert not is_loopback(host)


def test_submissions_at_once_do_not_pass_the_limit(guarded: ServedGateway) -> None:
    crowd = Principal("crowd", 0, 5)

    async def all_at_once() -> int:
        tries = [guarded.gateway.submit(crowd, new_job({})) for _ in range(20)]
        results = await asyncio.gather(*tries, return_exceptions=True)
        return sum(not isinstance(result, Exception) for result in results)

    assert guarded.run(all_at_once()) == 5
    guarded.run(guarded.gateway.jobs.purge("crowd", "test"))


def test_the_data_folder_keeps_secrets_to_its_owner(guarded: ServedGateway, tmp_path: Path) -> None:
    with threaded_gateway(tmp_path / "data", worker_secret=None) as served:
        secret = tmp_path / "data" / "worker-secret"
        assert secret.stat().st_mode & 0o077 == 0
        assert served.gateway.fleet.tokens.of("a") != guarded.gateway.fleet.tokens.of("a")


def test_revoking_the_last_key_opens_nothing(tmp_path: Path) -> None:
    with threaded_gateway(tmp_path / "data") as served:
        store, url = served.gateway.files.store, f"{served.url}/queue/fal-ai/fooocus"
        assert CLIENT.post(url, json={}).status_code == 200
        key = served.run(table.add(store, "only"))
        until(lambda: CLIENT.post(url, json={}).status_code == 401)
        assert served.run(table.revoke(store, id_of(key)))
        until(lambda: CLIENT.post(url, json={}, headers={"Authorization": key}).status_code != 200)
        assert CLIENT.post(url, json={}, headers={"Authorization": key}).status_code == 401
        assert CLIENT.post(url, json={}).status_code == 401


def test_invalid_input_counts_at_runpods_door_too(tmp_path: Path) -> None:
    headers = {"Authorization": f"Bearer {PLAIN}"}
    with threaded_gateway(tmp_path / "data", apikey=PLAIN, key_jobs_per_minute=1) as served:
        url = f"{served.url}/runpod/v2/fooocus/run"
        answers = [CLIENT.post(url, json={"input": {"seed": "x"}}, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
    assert int(answers[1].headers["retry-after"]) >= 1
