"""Requests that are held until there is work, without a server: the application and its clients are coroutines."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from federation.flower.held_requests import Gates, HeldRequests, HeldRoute

TAKE, GIVE, OTHER = "/take", "/give", "/other"
SOON_S = 5.0
"""Only a failure takes that long."""


@dataclass
class Answer:
    """A protobuf answer, as far as the middleware looks at it."""

    work: list[str] = field(default_factory=list)

    def ByteSize(self) -> int:
        return len(self.work)


class Shop:
    """An application that hands out what others brought."""

    def __init__(self, hold_s: float = 60.0) -> None:
        self.work: list[str] = []
        self.gates = Gates()
        held = {TAKE: HeldRoute(lambda asked: asked, hold_s)}
        self.app = HeldRequests(self._answer, held=held, wakes={GIVE: lambda asked: [asked]}, gates=self.gates)

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "http.request"
        if scope["path"] == GIVE:
            self.work.append("work")
        taken, self.work = ([], self.work) if scope["path"] != TAKE else (self.work[:1], self.work[1:])
        scope["state"]["protobuf_response"] = Answer(taken)
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def ask(self, path: str, key: str = "eu", gone: asyncio.Event | None = None) -> tuple[int, list[str]]:
        """The status of the answer and the work in it."""
        scope: dict[str, Any] = {"type": "http", "path": path, "state": {"protobuf_request": key}}
        sent: list[tuple[int, Answer]] = []
        read = False

        async def receive() -> Any:
            nonlocal read
            if not read:
                read = True
                return {"type": "http.request", "body": b"", "more_body": False}
            await (gone or asyncio.Event()).wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":  # Flower's translation takes the answer as soon as it starts
                sent.append((message["status"], scope["state"].pop("protobuf_response", Answer())))

        await self.app(scope, receive, send)
        [(status, answer)] = sent
        return status, answer.work


def within(run: Callable[[Shop], Coroutine[Any, Any, None]], shop: Shop | None = None) -> None:
    async def limited() -> None:
        await asyncio.wait_for(run(shop or Shop()), SOON_S)

    asyncio.run(limited())


async def turns() -> None:
    """Let every task run as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_the_first_request_is_answered_at_once_and_the_second_waits_for_work() -> None:
    async def run(shop: Shop) -> None:
        assert await shop.ask(TAKE) == (200, [])
        second = asyncio.create_task(shop.ask(TAKE))
        await turns()
        assert not second.done()
        await shop.ask(GIVE)
        assert await second == (200, ["work"])

    within(run)


def test_work_that_came_before_the_request_is_handed_out_at_once_and_all_of_it() -> None:
    async def run(shop: Shop) -> None:
        await shop.ask(TAKE)
        await shop.ask(GIVE)
        await shop.ask(GIVE)
        assert [await shop.ask(TAKE) for _ in range(3)] == [(200, ["work"]), (200, ["work"]), (200, [])]

    within(run)


def test_work_for_another_key_wakes_nobody() -> None:
    async def run(shop: Shop) -> None:
        await shop.ask(TAKE)
        waiting = asyncio.create_task(shop.ask(TAKE))
        await shop.ask(TAKE, "us")
        await shop.ask(GIVE, "us")
        await turns()
        assert not waiting.done()
        waiting.cancel()

    within(run)


def test_without_work_a_request_is_answered_after_its_time() -> None:
    async def run(shop: Shop) -> None:
        await shop.ask(TAKE)
        assert await shop.ask(TAKE) == (200, [])

    within(run, Shop(hold_s=0.01))


def test_a_client_that_is_gone_takes_nothing() -> None:
    async def run(shop: Shop) -> None:
        await shop.ask(TAKE)
        gone = asyncio.Event()
        first = asyncio.create_task(shop.ask(TAKE, gone=gone))
        await turns()
        gone.set()
        assert await first == (503, [])
        await shop.ask(GIVE)
        assert await shop.ask(TAKE) == (200, ["work"])

    within(run)


def test_a_restarted_client_replaces_its_earlier_request() -> None:
    async def run(shop: Shop) -> None:
        await shop.ask(TAKE)
        before = asyncio.create_task(shop.ask(TAKE))
        await turns()
        after = asyncio.create_task(shop.ask(TAKE))
        await turns()
        await shop.ask(GIVE)
        assert await after == (200, ["work"])
        assert await before == (503, [])

    within(run)


def test_another_thread_can_bring_work() -> None:
    async def run(shop: Shop) -> None:
        await shop.ask(TAKE)
        waiting = asyncio.create_task(shop.ask(TAKE))
        await turns()
        shop.work.append("work")
        await asyncio.to_thread(shop.gates.wake, ["eu"])
        assert await waiting == (200, ["work"])

    within(run)


def test_other_requests_pass() -> None:
    async def run(shop: Shop) -> None:
        assert await shop.ask(OTHER) == (200, [])
        assert await shop.ask(OTHER) == (200, [])

    within(run)
