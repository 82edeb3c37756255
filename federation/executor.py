"""`python -m federation.executor ADDRESS SECRET_FILE`: runs a region's ClientApp for every message its SuperNode holds.

A stock SuperNode starts a process for each message, which imports Flower anew, and runs in it the code
that came with the run. This one stays, and runs the ClientApp that is installed here
(`federation.client_app`): a message costs tens of milliseconds instead of one to three seconds, and no
coordinator can make a region run code of its choosing.
"""

import logging
import sys
import time
from pathlib import Path

import httpx
from flwr.app import Context, Error, Message
from flwr.common.constant import ErrorCode, SubStatus
from flwr.common.serde import context_from_proto
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
from flwr.supernode.runtime.run_clientapp import push_message, push_task_output

from federation.client_app import app
from federation.supernode import FIRST_LOOK_S, LAST_LOOK_S

log = logging.getLogger(__name__)

POLL_S = 0.1
"""Between two looks for a message, on loopback."""

SILENCE_S = 60.0
"""After so long without an answer from the SuperNode the process ends, and the node starts both anew."""


def serve(address: str, secret: bytes) -> None:
    """Takes tasks and runs them one after the other, for ever.

    Args:
        address: host:port of the SuperNode's runtime interface, on loopback.
        secret: What the SuperNode was started with; without it nobody on this machine gets a task.

    Raises:
        httpx.HTTPError: the SuperNode did not answer for `SILENCE_S`.
    """
    protected = frozenset({"/flwr.proto.Runtime/AcquireTask"})
    client = _client(address, SuperExecAuthHttpInterceptor(master_secret=secret, protected_methods=protected))
    heard_s = time.monotonic()
    while True:
        try:
            taken = client.AcquireTask(AcquireTaskRequest(supported_task_types=[TaskType.CLIENT_APP]))
            heard_s = time.monotonic()
        except httpx.TransportError:
            if time.monotonic() - heard_s > SILENCE_S:
                raise
        else:
            if taken.HasField("task") and taken.token:
                run_task(address, taken.token)
        time.sleep(POLL_S)


def run_task(address: str, token: str) -> None:
    """Runs the ClientApp on one message and pushes its reply; an exception in it becomes an error reply."""
    client = _client(address, RuntimeTokenHttpInterceptor(token))
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


def _client(address: str, interceptor: ProtobufClientInterceptor) -> RuntimeHttpClient:
    return RuntimeHttpClient.from_server_address(
        server_address=address,
        insecure=True,
        root_certificates=None,
        interceptors=[RuntimeVersionHttpInterceptor(component_name="flwr-clientapp"), interceptor],
    )


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    serve(sys.argv[1], Path(sys.argv[2]).read_bytes())
