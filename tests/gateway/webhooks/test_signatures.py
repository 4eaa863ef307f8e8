"""Signatures hold for a receiver that follows fal's recipe, or Standard Webhooks' own library, and for nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks import Webhook, WebhookVerificationError

from gateway.webhooks.identity import Identity
from schemas.errors import StoreDamaged
from tests.gateway.webhooks.ended import end
from tests.gateway.webhooks.receivers import Call, receiving
from tests.support.gateway_thread import ServedGateway

JWKS = "/rest/.well-known/jwks.json"
FAL_HEADERS = tuple(f"x-fal-webhook-{name}" for name in ("request-id", "user-id", "timestamp", "signature"))
STANDARD_HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")


@pytest.fixture(scope="module")
def call(telling: ServedGateway) -> Iterator[Call]:
    with receiving() as receiver:
        end(telling, f"{receiver.url}/signed")
        yield receiver.wait_for("/signed", 1)[0]


def fal_accepts(keys: dict, headers: dict[str, str], body: bytes) -> bool:
    """What fal's documents tell a receiver to do, the time's age apart."""
    request_id, user_id, timestamp, signature = (headers[name] for name in FAL_HEADERS)
    message = "\n".join([request_id, user_id, timestamp, hashlib.sha256(body).hexdigest()]).encode()
    for key in keys["keys"]:
        # fal's sample decodes without padding the text first.
        public = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(key["x"]))
        try:
            public.verify(bytes.fromhex(signature), message)
        except (InvalidSignature, ValueError):
            continue
        return True
    return False


def standard_accepts(secret: str, headers: dict[str, str], body: bytes) -> bool:
    try:
        Webhook(secret).verify(body, {name: headers[name] for name in STANDARD_HEADERS})
    except WebhookVerificationError:
        return False
    return True


@pytest.fixture(scope="module")
def keys(telling: ServedGateway) -> dict:
    answer = httpx2.get(telling.url + JWKS)
    assert answer.status_code == 200
    assert "max-age" in answer.headers["cache-control"]
    return answer.json()


@pytest.fixture(scope="module")
def secret(telling: ServedGateway) -> str:
    return telling.gateway.webhooks.identity.secret("local")


def test_the_public_key_is_a_padded_jwk(keys: dict) -> None:
    (key,) = keys["keys"]
    assert (key["kty"], key["crv"], len(key["x"]), key["x"][-1]) == ("OKP", "Ed25519", 44, "=")


def test_fals_receivers_accept(call: Call, keys: dict) -> None:
    assert fal_accepts(keys, call.headers, call.body)
    assert call.headers["x-fal-webhook-request-id"] == json.loads(call.body)["request_id"]


def test_standard_receivers_accept(call: Call, secret: str) -> None:
    assert standard_accepts(secret, call.headers, call.body)
    assert secret.startswith("whsec_")
    assert 24 <= len(base64.b64decode(secret.removeprefix("whsec_"))) <= 64


@pytest.mark.parametrize("name", FAL_HEADERS)
def test_fals_receivers_refuse_a_changed_header(call: Call, keys: dict, name: str) -> None:
    assert not fal_accepts(keys, {**call.headers, name: flipped(call.headers[name])}, call.body)


@pytest.mark.parametrize("name", STANDARD_HEADERS)
def test_standard_receivers_refuse_a_changed_header(call: Call, secret: str, name: str) -> None:
    assert not standard_accepts(secret, {**call.headers, name: flipped(call.headers[name])}, call.body)


@pytest.mark.parametrize("change", [lambda body: body + b" ", lambda body: body[:-1], lambda body: body.swapcase()])
def test_a_changed_body_is_refused(call: Call, keys: dict, secret: str, change) -> None:
    assert not fal_accepts(keys, call.headers, change(call.body))
    assert not standard_accepts(secret, call.headers, change(call.body))


def test_other_keys_do_not_fit(call: Call, tmp_path: Path) -> None:
    stranger = Identity(tmp_path)
    assert not fal_accepts(stranger.jwks(), call.headers, call.body)
    assert not standard_accepts(stranger.secret("local"), call.headers, call.body)


def test_each_owner_has_a_secret_of_its_own(tmp_path: Path) -> None:
    identity = Identity(tmp_path)
    assert identity.secret("ann") != identity.secret("bob")


def test_keys_are_drawn_once_and_readable_by_nobody_else(tmp_path: Path) -> None:
    first = Identity(tmp_path / "keys")
    second = Identity(tmp_path / "keys")
    assert first.jwks() == second.jwks()
    assert first.secret("ann") == second.secret("ann")
    for path in (tmp_path / "keys").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_damaged_key_is_not_replaced_in_silence(tmp_path: Path) -> None:
    Identity(tmp_path)
    (tmp_path / "ed25519").write_bytes(b"short")
    with pytest.raises(StoreDamaged, match="ed25519 is damaged"):
        Identity(tmp_path)


def flipped(text: str) -> str:
    """`text` with its last digit or letter changed."""
    index = next(place for place in reversed(range(len(text))) if text[place].isalnum())
    # Far enough that a base64 character's unused bits are not all that changes.
    other = "7" if text[index] != "7" else "3"
    return text[: max(index - 2, 0)] + other * (index - max(index - 2, 0) + 1) + text[index + 1 :]
