"""The shorter way through the SuperLink, compared with the release of Flower that is installed."""

import inspect

import pytest
from flwr.supercore.corestate.sql_corestate import SqlCoreState
from flwr.supercore.protobuf.translation import PROTOBUF_REQUEST_TYPES
from flwr.superlink import main as application
from flwr.superlink.routers.control import middlewares as control

from federation.flower.held_requests import HeldRequests
from federation.flower.superlink_program import CONCERNS, HELD, WAKES, OnlyBelow, at_most_every, shortened


def layers() -> dict[str, type]:
    return {layer.cls.__name__: layer.cls for layer in application._get_middleware()}  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", CONCERNS)
def test_a_layer_does_nothing_for_paths_that_it_does_not_concern(name: str) -> None:
    source = inspect.getsource(layers()[name])
    if name == "ControlSensitiveResponseMiddleware":
        assert all(path.startswith(CONCERNS[name]) for _, path in control.CONTROL_SENSITIVE_ROUTE_KEYS)
    elif name == "RuntimeTracingMiddleware":
        assert "AcquireTaskResponse" in source
        assert "PullTaskInputResponse" in source
    else:
        assert CONCERNS[name] in source or "not _is_control_path(request.url.path)" in source


def test_the_other_layers_are_those_of_all_requests() -> None:
    assert layers().keys() - CONCERNS.keys() == {"BaseHTTPMiddleware", "ProtobufTranslationMiddleware"}


def test_requests_of_every_interface_pass_its_layers_and_the_held_ones_come_last() -> None:
    app = shortened(application.create_app())
    kinds = [layer.cls for layer in app.user_middleware]
    assert kinds.count(OnlyBelow) == len(CONCERNS)
    assert kinds[-1] is HeldRequests


def test_the_paths_are_flowers() -> None:
    assert HELD.keys() | WAKES.keys() <= {path for _, path in PROTOBUF_REQUEST_TYPES}


def test_expired_tasks_are_looked_for_once_a_second() -> None:
    assert "_cleanup_expired_task_tokens" in vars(SqlCoreState)
    now_s, calls = 5.0, []
    expire = at_most_every(1.0, calls.append, lambda: now_s)
    expire("state")
    expire("state")
    now_s = 6.0
    expire("state")
    assert calls == ["state", "state"]
