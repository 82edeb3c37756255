"""Runs our Flower apps in a process that stays.

    python -m federation.flower.executor ROLE ADDRESS SECRET_FILE [CA_FILE]

Flower's own executor starts a process for every message, and for every run, which imports Flower anew, and
runs in it the code that came with the run. This one stays and runs what is installed here: as `client`
`client_app` for each message that a SuperNode holds, as `server` `server_app` for each run on a SuperLink.
A message costs tens of milliseconds instead of one to three seconds, a run starts four
seconds sooner, and no coordinator can make a region run code of its choosing.
"""

import logging
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
from flwr.app import Context, Error, Message
from flwr.common.constant import ErrorCode, SubStatus
from flwr.common.serde import context_from_proto, run_from_proto
from flwr.proto.node_pb2 import Node
from flwr.proto.runtime_pb2 import AcquireTaskRequest, PullAppMessagesRequest, PullTaskInputRequest
from flwr.supercore.constant import TaskType
from flwr.supercore.heartbeat import HeartbeatSender, make_task_heartbeat_fn_http
from flwr.supercore.inflatable.inflatable_protobuf_utils import (
    make_confirm_message_received_fn_protobuf,
    make_pull_object_fn_protobuf,
)
from flwr.supercore.inflatable.inflatable_utils import pull_and_inflate_object_from_tree
from flwr.supercore.interceptors import (
    RuntimeTokenHttpInterceptor,
    RuntimeVersionHttpInterceptor,
    SuperExecAuthHttpInterceptor,
)
from flwr.supercore.protobuf.client import ProtobufClientInterceptor
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supercore.task_identity import TaskIdentity
from flwr.supernode.runtime.run_clientapp import push_message, push_task_output

from federation.flower.supernode import FIRST_LOOK_S, IDLE_S, LAST_LOOK_S, ROUND_LASTS_S

log = logging.getLogger(__name__)

POLL_S = 0.1
"""Between two looks for a task while a round is under way. A look costs the other side some milliseconds, so
where nothing has come for `ROUND_LASTS_S` there is one in `IDLE_S`."""

SILENCE_S = 60.0
"""After so long without an answer the process ends, and whoever watches it starts it anew."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """Where tasks come from: the runtime interface of a SuperNode or SuperLink, on loopback."""

    address: str
    authority: bytes | None = None

    def client(self, interceptor: ProtobufClientInterceptor) -> RuntimeHttpClient:
        """A client of the interface."""
        return RuntimeHttpClient.from_server_address(
            server_address=self.address,
            insecure=self.authority is None,
            root_certificates=self.authority,
            interceptors=[RuntimeVersionHttpInterceptor(component_name="flwr-clientapp"), interceptor],
        )


def serve(runtime: Runtime, secret: bytes, kind: TaskType, run: Callable[[Runtime, str], None]) -> None:
    """Takes tasks and runs them one after the other, for ever.

    Args:
        runtime: Gives them.
        secret: What the other side was started with; without it nobody on this machine gets a task.
        kind: Of the tasks.
        run: Called with the token of a task; does not raise what only concerns that task.

    Raises:
        httpx.HTTPError: no answer for `SILENCE_S`.
    """
    protected = frozenset({"/flwr.proto.Runtime/AcquireTask"})
    client = runtime.client(SuperExecAuthHttpInterceptor(master_secret=secret, protected_methods=protected))
    heard_s, worked_s = time.monotonic(), float("-inf")
    while True:
        try:
            taken = client.AcquireTask(AcquireTaskRequest(supported_task_types=[kind]))
            heard_s = time.monotonic()
        except httpx.TransportError:
            if time.monotonic() - heard_s > SILENCE_S:
                raise
        else:
            if taken.HasField("task") and taken.token:
                run(runtime, taken.token)
                worked_s = time.monotonic()
        time.sleep(POLL_S if time.monotonic() - worked_s < ROUND_LASTS_S else IDLE_S)


def run_message(runtime: Runtime, token: str) -> None:
    """Runs the ClientApp on one message and pushes its reply; an exception in it becomes an error reply."""
    from federation.flower.client_app import app

    client = runtime.client(RuntimeTokenHttpInterceptor(token))
    heartbeat = HeartbeatSender(make_task_heartbeat_fn_http(client))
    heartbeat.start()
    try:
        message, context = _pull(client)
        try:
            reply, status, details = app(message=message, context=context), SubStatus.COMPLETED, ""
        except Exception as error:
            # The edge between Flower and the region: the round learns what went wrong, the node stays.
            status, details = SubStatus.FAILED, f"{type(error).__name__}: {error}"
            log.error("a %s message failed: %s", message.metadata.message_type, details)
            reply = Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, details), reply_to=message)
        push_message(client, reply, context)
        push_task_output(client, context, status, details)
    except httpx.HTTPError as error:
        log.error("the SuperNode took no reply: %s", error)
    finally:
        heartbeat.stop()
        client.close()


def run_round_task(runtime: Runtime, token: str) -> None:
    """Runs the ServerApp for one run."""
    from flwr.superlink.grid import HttpGrid

    from federation.flower.server_app import main

    client = runtime.client(RuntimeTokenHttpInterceptor(token))
    heartbeat = HeartbeatSender(make_task_heartbeat_fn_http(client))
    heartbeat.start()
    grid = HttpGrid(runtime.address, runtime.authority is None, runtime.authority, token=token)
    try:
        given = client.PullTaskInput(PullTaskInputRequest())
        run = run_from_proto(given.run)
        # A message takes its sender and its run from here.
        TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = (
            given.task_id, run.run_id, given.context.node_id,
        )  # fmt: skip
        grid.set_run(run)
        try:
            main(grid, Path(str(run.override_config["folder"])))
            status, details = SubStatus.COMPLETED, ""
        except Exception as error:
            # The edge of a run: the next one must find this process alive.
            log.exception("the run broke")
            status, details = SubStatus.FAILED, f"{type(error).__name__}: {error}"
        push_task_output(client, None, status, details)
    except httpx.HTTPError as error:
        log.error("the SuperLink went away during the run: %s", error)
    finally:
        heartbeat.stop()
        grid.close()
        client.close()


def _pull(client: RuntimeHttpClient) -> tuple[Message, Context]:
    """The message of the task, with its weights.

    Flower's own function waits a second where the SuperNode has not got all parts of the message yet,
    which is the rule for a message taken as early as here.
    """
    context = context_from_proto(client.PullTaskInput(PullTaskInputRequest()).context)
    tree = client.PullMessages(PullAppMessagesRequest()).message_object_trees[0]
    node = Node(node_id=context.node_id)
    message = pull_and_inflate_object_from_tree(
        tree,
        make_pull_object_fn_protobuf(client.PullObject, node, context.run_id),
        make_confirm_message_received_fn_protobuf(client.ConfirmMessageReceived, node, context.run_id),
        return_type=Message,
        initial_backoff=FIRST_LOOK_S,
        backoff_cap=LAST_LOOK_S,
    )
    vars(message.metadata)["_message_id"] = tree.object_id  # Flower itself fills it in so
    return message, context


def main(role: str, address: str, secret_file: str, authority_file: str | None = None) -> None:
    """Serves as `client` or `server`."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    runtime = Runtime(address, None if authority_file is None else Path(authority_file).read_bytes())
    kind, run = {
        "client": (TaskType.CLIENT_APP, run_message),
        "server": (TaskType.SERVER_APP, run_round_task),
    }[role]
    if role == "server":
        import federation.flower.server_app  # noqa: F401  # the first run does not wait for it
    serve(runtime, Path(secret_file).read_bytes(), kind, run)


if __name__ == "__main__":
    main(*sys.argv[1:])
