"""A node's knowledge of the SuperLink's clock."""

import datetime
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from flwr.common.constant import TIMESTAMP_HEADER
from flwr.supercore.primitives.asymmetric import generate_key_pairs

from federation.flower.superlink_clock import SuperLinkClock

NOW_S = 1_800_000_000.0
HOUR_S = 3600.0


def stated(at_s: float) -> str:
    return format_datetime(datetime.datetime.fromtimestamp(at_s, datetime.UTC), usegmt=True)


@pytest.mark.parametrize("ahead_s", [2 * HOUR_S, -3 * HOUR_S, 30.0, -30.0])
def test_a_difference_is_corrected(ahead_s: float) -> None:
    clock = SuperLinkClock(lambda: NOW_S + ahead_s)
    assert clock.observe(stated(NOW_S))
    assert clock.ahead_s == ahead_s
    assert clock.now().timestamp() == NOW_S
    assert not clock.observe(stated(NOW_S)), "the correction is known"


@pytest.mark.parametrize("ahead_s", [0.0, 2.9, -2.9])
def test_what_the_header_cannot_resolve_is_not_corrected(ahead_s: float) -> None:
    clock = SuperLinkClock(lambda: NOW_S + ahead_s)
    assert not clock.observe(stated(NOW_S))
    assert clock.ahead_s == 0.0


def test_a_clock_that_was_set_right_is_not_corrected_any_more() -> None:
    ahead_s = HOUR_S
    clock = SuperLinkClock(lambda: NOW_S + ahead_s)
    clock.observe(stated(NOW_S))
    ahead_s = 0.4
    assert clock.observe(stated(NOW_S))
    assert clock.ahead_s == 0.0


@pytest.mark.parametrize("header", [None, "", "yesterday"])
def test_an_answer_without_a_time_changes_nothing(header: str | None) -> None:
    assert not SuperLinkClock().observe(header)


class Server:
    """Refuses requests that are signed more than five minutes ago or in the future, as a SuperLink does."""

    def __init__(self) -> None:
        self.ages_s: list[float] = []

    def __call__(self, context: Any) -> httpx.Response:
        signed = datetime.datetime.fromisoformat(context.request.headers[TIMESTAMP_HEADER]).timestamp()
        self.ages_s.append(NOW_S - signed)
        return httpx.Response(200 if -5 < NOW_S - signed < 305 else 401, headers={"Date": stated(NOW_S)})


def asked(server: Server, ahead_s: float, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    clock = SuperLinkClock(lambda: NOW_S + ahead_s)
    monkeypatch.setattr("flwr.supernode.node_auth_http_interceptor.now", clock.now)
    signing = clock.authentication()(*generate_key_pairs())
    contexts = [SimpleNamespace(request=httpx.Request("POST", "http://superlink/")) for _ in range(2)]
    return [signing.intercept(context, server).status_code for context in contexts]  # type: ignore[arg-type]


def test_a_request_refused_for_its_time_is_signed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    assert asked(server, HOUR_S, monkeypatch) == [200, 200]
    assert server.ages_s == [-HOUR_S, 0.0, 0.0]


def test_a_request_refused_for_another_reason_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(Server):
        def __call__(self, context: Any) -> httpx.Response:
            super().__call__(context)
            return httpx.Response(401, headers={"Date": stated(NOW_S)})

    server = Refusing()
    assert asked(server, 0.0, monkeypatch) == [401, 401]
    assert len(server.ages_s) == 2
