import logging
from dataclasses import replace
from types import SimpleNamespace

import pytest

from engine.clock import ManualClock
from engine.flow.worker_context import Context, Drain
from engine.runtime.worker import with_gap_of_model
from engine.settings import from_mapping
from engine.windows.recent import RecentLines


@pytest.fixture
def running(tmp_path):
    def make(trained_gap_s, **window):
        jsonl = {"type": "jsonl", "path": str(tmp_path / "out.jsonl")}
        settings = from_mapping(
            {
                "region": "eu", "source": {"type": "memory"}, "window": window, "model": {"store": str(tmp_path)},
                "sinks": [jsonl], "dead_letters": jsonl, "recovery": {"path": str(tmp_path / "state")},
            },
            "here",
        )  # fmt: skip
        clock = ManualClock()
        follower = SimpleNamespace(get=lambda: SimpleNamespace(gap_s=trained_gap_s))
        return Context(settings, 0, 1, None, clock, Drain(clock, 1.0), {}, RecentLines(10), follower, None)

    return make


def test_sessions_end_at_the_gap_that_the_model_was_trained_with(running):
    given = running(44_000.0, kind="session")
    started = with_gap_of_model(given)
    assert started.settings.window.gap_s == 44_000
    # The state in the recovery folder stays valid, whichever model comes next.
    assert (
        running(5.0, kind="session").settings.fingerprint() == running(44_000.0, kind="session").settings.fingerprint()
    )


def test_a_gap_of_the_settings_is_kept_with_a_warning(running, caplog):
    given = running(44_000.0, kind="session", gap_s=60)
    with caplog.at_level(logging.WARNING):
        assert with_gap_of_model(given) is given
    assert "window.gap_s = 60 is set, but the model was trained on sessions with a gap of 44000 s" in caplog.text


@pytest.mark.parametrize(("gap_s", "kind"), [(None, "session"), (44_000.0, "sliding")])
def test_without_sessions_in_training_or_serving_nothing_changes(running, gap_s, kind, caplog):
    given = running(gap_s, kind=kind)
    assert with_gap_of_model(given) is given
    without = replace(given, follower=None)
    assert with_gap_of_model(without) is without
    assert not caplog.records
