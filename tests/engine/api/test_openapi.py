"""The OpenAPI document: the committed one is that of the code, and the service answers as it describes."""

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from engine.docs import api as page
from tests.engine.api.conftest import alert
from tests.support.paths import ROOT
from tests.support.sweep import sweep

UNTRIED = ("/api/v1/alerts/stream", "/api/v1/setup", "/api/v1/session")
"""Paths that never end, or that have a limit on attempts."""

FEW = settings(
    max_examples=sweep(3, 25), deadline=None, database=None, derandomize=True, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


@pytest.fixture(scope="module")
def document():
    return page.document()


def test_the_committed_document_and_page_are_those_of_the_code(document):
    hint = "run python -m engine.docs.api"
    assert (ROOT / "docs" / "openapi.json").read_text("utf-8") == page.document_text(document), hint
    assert (ROOT / "docs" / "api.md").read_text("utf-8") == page.reference(document), hint
    assert (ROOT / "docs" / "serve.schema.json").read_text("utf-8") == page.settings_schema(), hint


def test_every_route_is_described_with_its_errors(document):
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation["description"], (method, path)
            assert "application/problem+json" in operation["responses"]["default"]["content"], (method, path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_generated_requests_get_the_described_answers(app, log_in, add_alerts):
    import schemathesis  # takes seconds, in every process that only collects this test
    from schemathesis import checks
    from schemathesis.specs.openapi import checks as conformance

    promised = [
        checks.not_a_server_error, conformance.status_code_conformance, conformance.content_type_conformance,
        conformance.response_schema_conformance,
    ]  # fmt: skip
    add_alerts(alert("a", 1), alert("b", 2, group="00000000000000bb"))
    admin = log_in("admin")
    # Where the parser is not compiled yet, that takes longer than a generated request may.
    assert admin.post("/api/predict", json={"logs": "started"}).status_code == 200
    token = admin.post("/api/v1/tokens", json={"name": "fuzz", "role": "admin"}).json()["token"]
    headers = {"Authorization": f"Bearer {token}", "Host": "127.0.0.1"}
    schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", app, headers=headers)
    operations = [found.ok() for found in schema.get_all_operations()]
    tried = [operation for operation in operations if operation.path not in UNTRIED]
    assert len(tried) > 20
    for operation in tried:

        @FEW
        @given(case=operation.as_strategy())
        def check(case):
            answer = case.call(headers=headers)
            case.validate_response(answer, checks=promised, headers=headers)

        check()
