"""The API keeps to its own description: schemathesis asks every operation of a real server, well and badly."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import CheckFunction, not_a_server_error
from schemathesis.specs.openapi import checks

from integration.server.program import Program
from stead.api.toolbox import declared
from stead.control.http import generate

EXAMPLES = int(os.environ.get("STEAD_API_EXAMPLES", "5"))
CHECKS: list[CheckFunction] = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
    checks.unsupported_method,
    checks.ignored_auth,
]
GENEROUS = {
    "login_attempts": 100_000,
    "requests_per_second": 100_000,
    "requests_burst": 1_000_000,
}

schema = schemathesis.openapi.from_dict(json.loads(generate.description()))
SAMPLE = {"git.commit", "system.info", "text.edit"}
"""One handler serves every operation of the toolbox: these stand for all."""
asked = schema.exclude(operation_id=["logout", *(declared().operations.keys() - SAMPLE)])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """One for all operations."""
    folder: Path = tmp_path_factory.mktemp("api")
    with Program(folder, limits=GENEROUS, log_level="warning") as program:
        yield program


@asked.parametrize()
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_operation_keeps_to_its_description(case: schemathesis.Case, server: Program) -> None:
    headers = {"Authorization": f"Bearer {server.token}"}
    case.call_and_validate(base_url=server.url, headers=headers, checks=CHECKS, timeout=60)


def test_the_server_is_whole_after_all_that(server: Program) -> None:
    with server.client() as client:
        assert client.get("/health").json() == {"status": "ok", "database": "ok"}
        assert client.get("/whoami").json()["user"]["name"] == "admin"
    assert '"event": "bug"' not in server.said()
