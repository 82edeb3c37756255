"""Runs our Flower apps in a long-lived process.

    python -m federation.flower.executor ROLE ADDRESS SECRET_FILE [CA_FILE]

Flower's own executor starts a process for every message and every run. Each imports Flower again, and runs the
code that came with the run. This one stays and runs the installed code: as `client` `client_app` for each message
of a SuperNode, as `server` `server_app` for each run on a SuperLink. A message costs tens of milliseconds instead
of one to three seconds, a run starts four seconds earlier, and no coordinator can make a region run its code.
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

from federation.flower.superlink_clock import AHEAD
from federation.flower.supernode import FIRST_POLL_S, IDLE_S, MAX_POLL_S

log = logging.getLogger(__name__)

CLIENT_APP = TaskType.CLIENT_APP
"""Tasks of a region; `serve` takes it from callers outside this folder, which name nothing of Flower's own."""

HELD_S = 0.5
"""A request for a task that took longer was held by the other side, so the next one is sent at once."""

SILENCE_S = 60.0
"""Time without an answer after which the process ends; its supervisor restarts it."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """The runtime interface of a SuperNode or SuperLink, on loopback, which hands out tasks."""

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
    """Fetch tasks and run them one after the other, forever.

    Args:
        runtime: Hands out the tasks.
        secret: Secret that the other side was started with; without it no process on this machine gets a task.
        kind: Kind of the tasks.
        run: Called with the token of each task; does not raise errors that only concern the task.

    Raises:
        httpx.HTTPError: no answer for `SILENCE_S`.
    """
    protected = frozenset({"/flwr.proto.Runtime/AcquireTask"})
    client = runtime.client(SuperExecAuthHttpInterceptor(master_secret=secret, protected_methods=protected))
    answered_s, not_held = time.monotonic(), 0
    while True:
        asked_s = time.monotonic()
        try:
            taken = client.AcquireTask(AcquireTaskRequest(supported_task_types=[kind]))
            answered_s = time.monotonic()
        except httpx.HTTPError:  # such as 503, while the other side stops
            if time.monotonic() - answered_s > SILENCE_S:
                raise
        else:
            if taken.HasField("task") and taken.token:
                run(runtime, taken.token)
                not_held = 0
                continue
        not_held = not_held + 1 if time.monotonic() - asked_s < HELD_S else 0
        if not_held > 1:  # the first request after a task is never held
            time.sleep(IDLE_S)


def run_message(runtime: Runtime, token: str) -> None:
    """Run the ClientApp on one message and push its reply; an exception becomes an error reply."""
    from federation.flower.client_app import app

    client = runtime.client(RuntimeTokenHttpInterceptor(token))
    heartbeat = HeartbeatSender(make_task_heartbeat_fn_http(client))
    heartbeat.start()
    try:
        message, context = _pull(client)
        sent_s = message.metadata.created_at
        # The life of the message, by this machine's clock.
        message.metadata.created_at = sent_s + float(context.node_config.get(AHEAD, 0.0))
        try:
            reply, status, details = app(message=message, context=context), SubStatus.COMPLETED, ""
        except Exception as error:
            # The edge between Flower and the region: the round gets the reason, and the node continues.
            status, details = SubStatus.FAILED, f"{type(error).__name__}: {error}"
            log.error("a %s message failed: %s", message.metadata.message_type, details)
            reply = Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, details), reply_to=message)
        # And that of the reply by the SuperLink's: it expires together with the question.
        reply.metadata.created_at, reply.metadata.ttl = sent_s, message.metadata.ttl
        push_message(client, reply, context)
        push_task_output(client, context, status, details)
    except httpx.HTTPError as error:
        log.error("the SuperNode did not accept the reply: %s", error)
    finally:
        heartbeat.stop()
        client.close()


def run_round_task(runtime: Runtime, token: str) -> None:
    """Run the ServerApp for one run."""
    from flwr.superlink.grid import HttpGrid

    from federation.flower.server_app import main

    client = runtime.client(RuntimeTokenHttpInterceptor(token))
    heartbeat = HeartbeatSender(make_task_heartbeat_fn_http(client))
    heartbeat.start()
    grid = HttpGrid(runtime.address, runtime.authority is None, runtime.authority, token=token)
    try:
        task = client.PullTaskInput(PullTaskInputRequest())
        run = run_from_proto(task.run)
        # A message reads its sender and its run here.
        TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = (
            task.task_id, run.run_id, task.context.node_id,
        )  # fmt: skip
        grid.set_run(run)
        try:
            main(grid, Path(str(run.override_config["folder"])))
            status, details = SubStatus.COMPLETED, ""
        except Exception as error:
            # The edge of a run: this process must survive for the next one.
            log.exception("the run failed")
            status, details = SubStatus.FAILED, f"{type(error).__name__}: {error}"
        push_task_output(client, None, status, details)
    except httpx.HTTPError as error:
        log.error("the SuperLink could not be reached during the run: %s", error)
    finally:
        heartbeat.stop()
        grid.close()
        client.close()


def _pull(client: RuntimeHttpClient) -> tuple[Message, Context]:
    """The message of the task, with its weights.

    Flower's own function waits a second if the SuperNode does not have all parts of the message yet, which is
    usual for a message that is fetched this early.
    """
    context = context_from_proto(client.PullTaskInput(PullTaskInputRequest()).context)
    tree = client.PullMessages(PullAppMessagesRequest()).message_object_trees[0]
    node = Node(node_id=context.node_id)
    message = pull_and_inflate_object_from_tree(
        tree,
        make_pull_object_fn_protobuf(client.PullObject, node, context.run_id),
        make_confirm_message_received_fn_protobuf(client.ConfirmMessageReceived, node, context.run_id),
        return_type=Message,
        initial_backoff=FIRST_POLL_S,
        backoff_cap=MAX_POLL_S,
    )
    vars(message.metadata)["_message_id"] = tree.object_id  # as Flower's own function does
    return message, context


def main(role: str, address: str, secret_file: str, authority_file: str | None = None) -> None:
    """Serve as `client` or `server`."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    runtime = Runtime(address, None if authority_file is None else Path(authority_file).read_bytes())
    kind, run = {
        "client": (CLIENT_APP, run_message),
        "server": (TaskType.SERVER_APP, run_round_task),
    }[role]
    if role == "server":
        import federation.flower.server_app  # noqa: F401  # loaded before the first run
    serve(runtime, Path(secret_file).read_bytes(), kind, run)


if __name__ == "__main__":
    main(*sys.argv[1:])
