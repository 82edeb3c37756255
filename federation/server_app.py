"""The Flower ServerApp: reads a round's plan, runs it over the fleet, leaves its result.

Flower gives a run's outcome to nobody, so the result goes into the round's folder, where
`federation.superlink` waits for it.
"""

import functools
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from flwr.app import Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp
from flwr.supercore.inflatable.inflatable_utils import pull_objects
from flwr.superlink.grid import http_grid

from federation import round_files
from federation.base import FederationError
from federation.round import run_round
from federation.supernode import FIRST_LOOK_S, LAST_LOOK_S

POLL_S = 0.2
"""Between two looks for replies; Flower's own grid waits three seconds."""

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Runs the round whose folder the run's configuration names."""
    folder = Path(str(context.run_config["folder"]))
    # The grid takes a reply as soon as its head is there, and waits a second for the rest of it.
    vars(http_grid)["pull_objects"] = functools.partial(
        pull_objects, initial_backoff=FIRST_LOOK_S, backoff_cap=LAST_LOOK_S
    )
    try:
        plan, weights = round_files.read_plan(folder)
        result = run_round(
            PromptGrid(grid), plan.settings, plan.spec, weights, plan.threshold,
            round_id=plan.round_id, clock=time.monotonic, report=print,
        )  # fmt: skip
    except FederationError as error:
        round_files.write_failure(folder, str(error))
    except Exception as error:
        round_files.write_failure(folder, f"the round broke: {type(error).__name__}: {error}")
        raise
    else:
        round_files.write_result(folder, result)


class PromptGrid(Grid):
    """Flower's grid, with replies looked for often, and messages that die when nobody waits for them."""

    def __init__(self, grid: Grid) -> None:
        """Wraps `grid`."""
        self._grid = grid

    def set_run(self, run: Any) -> None:
        """See `Grid`."""
        self._grid.set_run(run)

    @property
    def run(self) -> Any:
        """See `Grid`."""
        return self._grid.run

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """See `Grid`."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        """See `Grid`."""
        return self._grid.get_node_ids()

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """See `Grid`."""
        return self._grid.push_messages(messages)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """See `Grid`."""
        return self._grid.pull_messages(message_ids)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """The replies that came within `timeout` seconds; error replies of messages that died are left out."""
        waiting = list(messages)
        if timeout is not None:
            for message in waiting:
                message.metadata.ttl = timeout
        ids = {i for i in self._grid.push_messages(waiting) if i}
        end_s = None if timeout is None else time.monotonic() + timeout
        replies: list[Message] = []
        while ids and (end_s is None or time.monotonic() < end_s):
            came = list(self._grid.pull_messages(ids))
            replies += came
            ids -= {message.metadata.reply_to_message_id for message in came}
            if ids:
                time.sleep(POLL_S)
        return replies
