"""A webhook asked for through fal's clients: the URL arrives whole, the payload is what the result call answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.fal.conftest import address_of
from tests.gateway.doors.fal.conftest import APP
from tests.gateway.webhooks.receivers import receiving
from tests.gateway.webhooks.test_signatures import JWKS, fal_accepts
from tests.support.fal.clients import KINDS, Client, ClientError
from tests.support.gateway import GatewayProcess, serving_gateway

QUERY = "?next=https%3A%2F%2Fexample.com%2F%3Fa%3D1%26b%3D2&c=%2B"
WAIT_S = 60


def test_both_clients_webhooks(tmp_path: Path) -> None:
    gateway = GatewayProcess(tmp_path, ("--tls-port", "0", "--allow-private-webhooks"))
    with serving_gateway(gateway), receiving() as receiver:
        for kind in ("js-middleware", "py-env"):
            client = Client(KINDS[kind], address_of(gateway))
            path = f"/{kind}{QUERY}"
            request_id = client.submit(APP, {"num_images": 9}, webhook=receiver.url + path)
            (call,) = receiver.wait_for(path, 1, WAIT_S)
            told = json.loads(call.body)
            with pytest.raises(ClientError) as failed:
                client.result(APP, request_id)
            client.close()
            assert told["payload"] == {"detail": failed.value.detail}
            assert (told["request_id"], told["status"]) == (request_id, "ERROR")
            assert fal_accepts(gateway.get(JWKS)[1], call.headers, call.body)
