"""The words of an alert: what is new first, what sounds worst first, severity from the texts."""

import jsonschema
import pytest

from engine.records import Decision
from engine.steps.alert_reasons import MAX_REASONS, AlertWords
from tests.support.paths import DOCS

TEXTS = {
    1: "session opened for user <*>",
    2: "Out of memory: Killed process <NUM> (<*>)",
    3: "connection to <*> timed out",
    4: "GET /api/<*> <UNAVAILABLE>",
    5: "heartbeat from <*>",
}


@pytest.fixture
def describe():
    words = AlertWords(lambda t: TEXTS.get(t, f"template {t}"))

    def run(counts, news=(), threshold=0.5, **more):
        decision = Decision(0, 0, "0" * 16, 1, threshold, tuple(news))
        return words.describe(decision, counts, score=0.9, where="web-1", **more)

    return run


def test_what_is_new_is_named_the_worst_first(describe):
    words = describe({1: 5, 5: 3, 3: 2, 2: 1}, news=(5, 3, 2))
    assert [r["kind"] for r in words.reasons] == ["new", "new", "new", "score"]
    assert [r["template"] for r in words.reasons] == [TEXTS[2], TEXTS[3], TEXTS[5], ""]
    assert words.summary == f"web-1: lines not seen in normal windows: {TEXTS[2]} (and 2 more)"
    assert words.severity == "critical"
    assert words.reasons[0]["sentence"].startswith("1 line, none")
    assert words.reasons[1]["sentence"].startswith("2 lines, none")


def test_without_news_the_line_that_adds_most_or_sounds_worst_is_named(describe):
    assert describe({1: 5, 3: 2}).summary == f"web-1: unusual window of 7 lines: {TEXTS[3]}"
    explained = describe({1: 5, 3: 2}, top_lines=[TEXTS[1]])
    assert explained.reasons == [
        {
            "kind": "score", "sentence": "the window scores 0.9; alerts start at 0.5", "template": TEXTS[1],
            "observed": 0.9, "usual": 0.5, "unit": "score",
        }
    ]  # fmt: skip


def test_the_least_threshold_is_described_without_its_digits(describe):
    (reason,) = describe({1: 5}, threshold=1e-45).reasons
    assert reason["sentence"] == "the window scores 0.9; any score above 0 is an alert"


@pytest.mark.parametrize(("template", "severity"), [(1, "low"), (5, "low"), (3, "high"), (2, "critical"), (4, "high")])
def test_severity_is_that_of_the_worst_text(describe, template, severity):
    assert describe({1: 1, template: 1}).severity == severity


def test_reasons_are_bounded_and_fit_the_schema(describe):
    words = describe(dict.fromkeys(range(10, 60), 1), news=range(10, 60))
    assert len(words.reasons) == MAX_REASONS + 1
    import json

    schema = json.loads((DOCS / "alert.schema.json").read_text("utf-8"))
    part = {**schema, "required": [], "additionalProperties": True}
    jsonschema.validate({"reasons": words.reasons, "severity": words.severity, "summary": words.summary}, part)


def test_an_empty_window_has_words_too(describe):
    assert describe({}).severity == "low"
