"""The MCP server: its tools read what the REST routes read, and change nothing."""

import asyncio
import sys

import httpx2
import pytest
from mcp import StdioServerParameters
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client

from engine.api.mcp_server import build_mcp
from foundation.content_ids import document_id
from foundation.time_text import NS_PER_S, parse_time
from tests.engine.api.conftest import START_NS, alert, at, new_client
from tests.engine.api.test_templates import A, B, count, minute, row  # noqa: F401


@pytest.fixture
def ask(services):
    def call(tool, **arguments):
        async def story():
            async with Client(build_mcp(services)) as client:
                return await client.call_tool(tool, arguments)

        return asyncio.run(story())

    return call


def over_http(app, token, act):
    """Act with a client of the service's own endpoint."""

    async def story():
        http = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=app), base_url="http://127.0.0.1",
            headers={"Authorization": f"Bearer {token}"},
        )  # fmt: skip
        async with app.router.lifespan_context(app), http:
            async with Client(streamable_http_client("http://127.0.0.1/mcp", http_client=http)) as client:
                return await act(client)

    return asyncio.run(story())


def test_every_tool_is_described_and_read_only(services):
    async def story():
        async with Client(build_mcp(services)) as client:
            return (await client.list_tools()).tools

    tools = asyncio.run(story())
    assert {tool.name for tool in tools} == {
        "list_alerts", "list_groups", "explain_alert", "list_templates", "template_life", "diff_ranges", "list_rounds",
        "list_markers", "list_drift_events", "region_health", "what_became_normal", "what_changed_since_deploy",
    }  # fmt: skip
    assert all(tool.description and tool.annotations.read_only_hint for tool in tools)


def test_alerts_are_listed_and_explained(ask, add_alerts):
    add_alerts(alert("a", 10), alert("b", 20, severity="low"))
    found = ask("list_alerts", severity="medium", since=at(0)).structured_content
    assert [item["id"] for item in found["items"]] == [document_id("a")]
    detail = ask("explain_alert", id=document_id("b")).structured_content
    assert detail["document"]["lines"] == ["disk 1 failed"]
    assert len(ask("list_groups").structured_content["items"]) == 1


def test_ranges_are_compared(ask, count):  # noqa: F811
    count(row(A, 0, 3), row(B, 5, 4))
    found = ask("diff_ranges", since_a=minute(0), until_a=minute(1), since_b=minute(5), until_b=minute(6))
    assert [(c["id"], c["kind"]) for c in found.structured_content["changes"]] == [(B, "new"), (A, "gone")]
    listed = ask("list_templates", since=minute(0), until=minute(9)).structured_content
    assert listed["total_lines"] == 7
    assert ask("template_life", id=A, since=minute(0), until=minute(9)).structured_content["points"][0]["lines"] == 3


def test_changes_since_a_deploy_are_found(ask, count, log_in, add_alerts, clock):  # noqa: F811
    assert "no deploy was marked" in ask("what_changed_since_deploy").content[0].text
    operator, marked_ns = log_in("operator"), parse_time(minute(5))
    for label, offset in (("release 7", 5), ("release 8", 9)):
        operator.post("/api/v1/markers", json={"label": label, "time": minute(offset)})
    count(row(A, 4, 3), row(B, 5, 4), row(A, 1, 9))
    clock.now_s = (marked_ns - START_NS) / NS_PER_S + 120
    times = {"last_time": minute(6), "first_time": minute(5), "created": minute(6)}
    add_alerts({**alert("new", 0), **times}, alert("old", 0, group="00000000000000bb"))
    found = ask("what_changed_since_deploy", label="release 7").structured_content
    assert (found["deploy"]["label"], found["minutes"]) == ("release 7", 2)
    assert [(c["id"], c["kind"]) for c in found["templates"]["changes"]] == [(B, "new"), (A, "gone")]
    assert [group["id"] for group in found["groups"]] == ["00000000000000aa"]
    assert "ask a minute later" in ask("what_changed_since_deploy").content[0].text, "release 8 is not there yet"


def test_an_error_is_one_sentence(ask):
    for found, reason in ((ask("explain_alert", id="x"), "does not exist"), (ask("list_rounds"), "coordinator")):
        assert found.is_error
        assert reason in found.content[0].text


def test_the_same_tools_answer_over_http_with_a_token_of_the_api(app, services, log_in, add_alerts):
    add_alerts(alert("a", 10))
    made = log_in("viewer").post("/api/v1/tokens", json={"name": "assistant", "role": "viewer"}).json()

    async def act(client):
        tools = {tool.name for tool in (await client.list_tools()).tools}
        return tools, await client.call_tool("list_alerts", {}), await client.call_tool("explain_alert", {"id": "x"})

    tools, listed, missing = over_http(app, made["token"], act)
    assert {"list_alerts", "diff_ranges", "what_became_normal"} <= tools
    assert [item["id"] for item in listed.structured_content["items"]] == [document_id("a")]
    assert (missing.is_error, "does not exist" in missing.content[0].text) == (True, True)


def test_over_http_nothing_answers_without_a_token(app, log_in):
    for client, reason in ((new_client(app), "send a token"), (log_in("admin"), "send a token")):
        found = client.post("/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
        assert (found.status_code, found.headers["content-type"]) == (401, "application/problem+json")
        assert reason in found.json()["detail"]
    wrong = new_client(app).post("/mcp", json={}, headers={"Authorization": "Bearer drl_x"})
    assert (wrong.status_code, "revoked" in wrong.json()["detail"]) == (401, True)


@pytest.mark.process
def test_the_command_answers_on_standard_output(tmp_path):
    (tmp_path / "serve.toml").write_text(f'[listen]\n[store]\nurl = "sqlite:///{tmp_path}/alerts.db"\n', "utf-8")
    arguments = ["-m", "engine.cli", "mcp", str(tmp_path / "serve.toml")]

    async def story():
        async with Client(StdioServerParameters(command=sys.executable, args=arguments)) as client:
            return await client.call_tool("list_alerts", {})

    assert asyncio.run(story()).structured_content == {"items": [], "next_cursor": None}
