"""Whatever fits, or nearly fits, the gateway's OpenAPI document is answered without a server error."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.schemas import APIOperation

from tests.support.gateway import AT_ONCE, GatewayProcess, RemoteWorker, joined, serving_gateway

EXAMPLES = 4
FOOOCUS_API = "Fooocus-API"
MORE_EXAMPLES = 12
"""For each operation of that door, of each kind: what fits the document, and what just does not."""

HONEST_501 = {"/v1/generation/image-enhance", "/v2/generation/image-enhance", "/v1/tools/generate_mask"}
PAPER = ("-u", "-m", "tests.support.paper_worker")


@pytest.fixture(scope="module")
def operations(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[APIOperation]]:
    """Every operation of a live gateway with a quick worker."""
    home = tmp_path_factory.mktemp("openapi")
    process = GatewayProcess(home / "gateway")
    with serving_gateway(process), joined(RemoteWorker(process, home, "paper-1", PAPER, AT_ONCE)):
        document = schemathesis.openapi.from_url(f"{process.url}/openapi.json")
        yield [found.ok() for found in document.get_all_operations()]


def test_no_server_error(operations: list[APIOperation]) -> None:
    assert len(operations) > 25
    for operation in operations:
        _try(operation, GenerationMode.POSITIVE, EXAMPLES)


@pytest.mark.parametrize("mode", GenerationMode)
def test_no_server_error_at_fooocus_apis_door(operations: list[APIOperation], mode: GenerationMode) -> None:
    own = [operation for operation in operations if FOOOCUS_API in operation.tags]
    assert len(own) > 15
    for operation in own:
        if mode is GenerationMode.POSITIVE or _takes_anything(operation):
            _try(operation, mode, MORE_EXAMPLES)


def _takes_anything(operation: APIOperation) -> bool:
    """Whether there is anything a request could get wrong."""
    return bool(list(operation.iter_parameters()) or list(operation.body))


def _try(operation: APIOperation, mode: GenerationMode, examples: int) -> None:
    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def answered(case: schemathesis.Case) -> None:
        status = case.call(timeout=60).status_code
        assert status == 501 if operation.path in HONEST_501 else status < 500, f"{operation.label}: {status}"

    answered()
