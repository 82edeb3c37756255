"""Silences: conditions, times, and a file that changes while the engine runs."""

from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest
from pydantic import ValidationError

from engine.steps.silences import (
    LOOK_S,
    SilenceFileError,
    Silences,
    SuppressionRule,
    is_silenced,
    read_silences,
    write_silences,
)
from foundation.documents.alert import AlertDocument

RULE = SuppressionRule(name="a", template="^backup")


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_rule_holds_within_its_times_only() -> None:
    rule = SuppressionRule(
        name="a", starts=datetime(2026, 11, 28, 10, tzinfo=UTC), ends=datetime(2026, 11, 28, 12, tzinfo=UTC)
    )
    at = [int(datetime(2026, 11, 28, hour, tzinfo=UTC).timestamp()) * 10**9 for hour in (9, 10, 11, 12)]
    assert [rule.matches(1.0, "", [], time_ns=time_ns) for time_ns in at] == [False, True, True, False]


def test_a_rule_for_a_reason_leaves_other_reasons_alone() -> None:
    rule = SuppressionRule(name="a", template="disk", reason="new")
    assert rule.matches(1.0, "", ["disk full"], reason="new")
    assert not rule.matches(1.0, "", ["disk full"])


@pytest.mark.parametrize(
    "values",
    [
        {}, {"comment": "x"}, {"template": "("}, {"starts": "2026-11-28T10:00:00Z"}, {"ends": "2026-11-28T10:00:00"},
        {"starts": "2026-11-28T10:00:00Z", "ends": "2026-11-28T10:00:00Z"},
    ],
)  # fmt: skip
def test_a_rule_that_cannot_work_is_refused(values: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        SuppressionRule.model_validate({"name": "a", **values})


def test_an_alert_is_silenced_only_when_all_of_its_reasons_are() -> None:
    def alert(*reasons: tuple[str, str]) -> AlertDocument:
        found = [{"kind": kind, "template": text} for kind, text in reasons]
        last = "2026-11-28T10:00:00.000000000Z"
        return cast(AlertDocument, {"score": 2.0, "session": "", "last_time": last, "reasons": found})

    backup = SuppressionRule(name="a", template="^backup")
    silent = SuppressionRule(name="b", reason="silent", template="heartbeat")
    assert is_silenced(alert(("new", "backup of <*>")), [backup])
    assert not is_silenced(alert(("new", "backup of <*>"), ("new", "disk failed")), [backup, silent])
    assert is_silenced(alert(("new", "backup of <*>"), ("silent", "heartbeat <*>")), [backup, silent])
    assert not is_silenced(alert(("more", "heartbeat <*>")), [silent])
    assert not is_silenced(alert(("new", "backup of <*>")), [])
    over = SuppressionRule(name="c", template="^backup", ends=datetime(2026, 11, 28, 9, tzinfo=UTC))
    assert not is_silenced(alert(("new", "backup of <*>")), [over])


def test_a_file_is_read_again_when_it_changes_and_a_broken_one_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, clock = tmp_path / "silences.json", Clock()
    fixed = SuppressionRule(name="fixed", session="x")
    silences = Silences((fixed,), path, clock)
    assert silences() == (fixed,)
    write_silences(path, [RULE])
    assert silences() == (fixed,)
    clock.now_s += LOOK_S
    assert silences() == (fixed, RULE)
    path.write_text("[{]")
    clock.now_s += LOOK_S
    assert silences() == (fixed, RULE)
    assert str(path) in caplog.text
    path.unlink()
    clock.now_s += LOOK_S
    assert silences() == (fixed,)


@pytest.mark.parametrize("text", ["{}", "[1]", '[{"name": "a"}]', '[{"name": "a", "template": "(", "x": 1}]'])
def test_a_file_that_is_not_one_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "silences.json"
    path.write_text(text)
    with pytest.raises(SilenceFileError, match=r"silences\.json: "):
        read_silences(path)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    rules = (RULE, SuppressionRule(name="b", reason="new", ends=datetime(2027, 1, 1, tzinfo=UTC), comment="ü"))
    write_silences(tmp_path / "s.json", rules)
    assert read_silences(tmp_path / "s.json") == rules
