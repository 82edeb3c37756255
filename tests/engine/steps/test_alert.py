import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from engine.clock import ManualClock
from engine.records import Decision
from engine.steps.alert import MOST_REDACTED, AlertSettings, AlertWriter, alert_id
from engine.windows.recent import RecentLines
from foundation.documents.alert import EVENT_TYPE, AlertDocument
from models.base import Explanation, template_id
from tests.support.documents import check_document

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
DUE = Decision(0, 3, "0123456789abcdef", 2, 0.5)


@pytest.fixture
def write(scored):
    """The one record for a window; `recent` holds the lines given."""

    def run(window, *, lines=(), decision=DUE, clock=None, traceparent="", region="eu-west", reasons=None, **settings):
        recent = RecentLines(1 << 20)
        texts = {}
        for parsed in lines:
            recent.add(parsed)
            texts |= parsed.templates
        writer = AlertWriter(
            AlertSettings(**settings),
            region,
            recent=recent,
            templates=texts,
            describe=lambda partition, position: f"{partition}/{position}",
            clock=clock or ManualClock(wall_ns=1_700_000_000_123_456_789),
            explain=reasons or (lambda *_: pytest.fail("no explanation was asked for")),
        )
        (record,) = writer.records(scored(window, traceparent=traceparent), (decision,))
        check_document("alert", record.document)
        return record

    return run


def test_the_document_says_what_why_where_and_when(write, window, parsed_lines):
    lines = parsed_lines(
        [(b"blk_1", b"disk failed"), (b"blk_2", b"noise"), (b"blk_1", b"disk failed")], partition="t/3"
    )
    disk = template_id("disk failed")
    record = write(
        window(rows=(disk, disk), score=0.75, key="blk_1", partition="t/3", first=0, last=2, time_ns=1_000_000_001),
        lines=[lines],
        traceparent=TRACE,
    )
    identity = alert_id("eu-west", "t/3", "blk_1", 0, 2)
    assert record.document == {
        "schema_version": 1,
        "id": identity,
        "summary": "blk_1: unusual window of 2 lines: disk failed",
        "severity": "high",
        "reasons": [
            {
                "kind": "score",
                "sentence": "the window scores 0.75; alerts start at 0.5",
                "template": "disk failed",
                "observed": 0.75,
                "usual": 0.5,
                "unit": "score",
            }
        ],
        "region": "eu-west",
        "source": "t/3",
        "session": "blk_1",
        "score": 0.75,
        "threshold": 0.5,
        "model": "model",
        "version": 1,
        "first_position": 0,
        "last_position": 2,
        "first_place": "t/3/0",
        "last_place": "t/3/2",
        "first_time": "1970-01-01T00:00:01.000000001Z",
        "last_time": "1970-01-01T00:00:01.000000001Z",
        "line_count": 2,
        "closed": False,
        "templates": [{"id": f"{disk & 0xFFFFFFFFFFFFFFFF:016x}", "text": "disk failed", "count": 2}],
        "lines": ["blk_1|disk failed", "blk_1|disk failed"],
        "lines_omitted": 0,
        "explanation": None,
        "classification": None,
        "repeats": 3,
        "group": "0123456789abcdef",
        "group_count": 2,
        "created": "2023-11-14T22:13:20.123456789Z",
        "traceparent": TRACE,
    }
    assert (record.id, record.key) == (identity, "blk_1")


def test_the_headers_are_cloudevents_attributes(write, window):
    record = write(window(score=0.9, key="blk_1", partition="topic/3"), traceparent=TRACE)
    assert record.headers == {
        "ce_specversion": "1.0",
        "ce_type": EVENT_TYPE,
        "ce_source": "/driftline/eu-west/topic/3",
        "ce_id": record.id,
        "ce_time": "2023-11-14T22:13:20.123456789Z",
        "ce_subject": "blk_1",
        "content-type": "application/json",
        "traceparent": TRACE,
    }


def test_optional_headers_are_left_out_where_there_is_nothing_to_say(write, window):
    assert not {"ce_subject", "traceparent"} & set(write(window(key="")).headers)


@pytest.mark.parametrize(
    ("source", "uri"),
    [
        ("/var/log/my app.log", "/driftline/eu-west/var/log/my%20app.log"),
        ("/var/log/\udcff?.log", "/driftline/eu-west/var/log/%FF%3F.log"),
    ],
)
def test_the_source_header_is_a_uri_reference_for_any_path(write, window, source, uri):
    assert write(window(partition=source)).headers["ce_source"] == uri


# --- identity ------------------------------------------------------------------------------------


def test_the_id_depends_on_the_window_and_not_on_when_or_how_it_was_scored(write, window):
    early = write(window(score=0.6), clock=ManualClock(wall_ns=1))
    late = write(
        window(score=0.9, time_ns=5), clock=ManualClock(wall_ns=10**18), decision=Decision(0, 9, "f" * 16, 7, 0.1)
    )
    assert early.id == late.id
    assert early.document["created"] != late.document["created"]


def test_the_id_tells_windows_apart(write, window):
    base = window(partition="p", key="s", first=3, last=9)
    others = [
        window(partition="q", key="s", first=3, last=9),
        window(partition="p", key="t", first=3, last=9),
        window(partition="p", key="s", first=4, last=9),
        window(partition="p", key="s", first=3, last=8),
    ]
    ids = {write(w).id for w in (base, *others)} | {write(base, region="us").id}
    assert len(ids) == 6


names = st.text(st.sampled_from("ab/"), max_size=3)


@given(pairs=st.lists(st.tuples(names, names), min_size=2, max_size=2, unique=True))
def test_neighbouring_parts_of_the_id_do_not_run_into_each_other(pairs):
    assert len({alert_id("r", source, session, 1, 2) for source, session in pairs}) == 2


def test_the_id_is_fixed_for_ever():
    # Consumers drop repeats by it, across upgrades of the engine too.
    assert alert_id("eu", "topic/0", "blk_1", 1, 2) == "4d77e0865dc8189540fc1bbe135defa7"


# --- quoted lines --------------------------------------------------------------------------------


def test_the_last_lines_of_the_window_are_quoted_and_the_rest_counted(write, window, parsed_lines):
    lines = parsed_lines([(b"s", b"line %d" % i) for i in range(5)])
    record = write(window(rows=(1,) * 5, first=0, last=4), lines=[lines], max_lines=2)
    assert record.document["lines"] == ["s|line 3", "s|line 4"]
    assert record.document["lines_omitted"] == 3


def test_none_is_quoted_if_none_is_wanted(write, window, parsed_lines):
    record = write(window(rows=(1, 1), first=0, last=0), lines=[parsed_lines([(b"s", b"x")])], max_lines=0)
    assert (record.document["lines"], record.document["lines_omitted"]) == ([], 2)


def test_never_more_lines_than_the_window_has(write, window, parsed_lines):
    lines = parsed_lines([(b"s", b"late"), (b"s", b"a"), (b"s", b"b")])
    record = write(window(rows=(1, 1), first=0, last=2), lines=[lines])
    assert (record.document["lines"], record.document["lines_omitted"]) == (["s|a", "s|b"], 0)


def test_lines_that_are_no_longer_held_count_as_omitted(write, window):
    record = write(window(rows=(1, 1, 1)))
    assert (record.document["lines"], record.document["lines_omitted"]) == ([], 3)


def test_secrets_are_redacted_before_a_line_is_cut(write, window, parsed_lines):
    lines = parsed_lines([(b"s", b"user=ann password=hunter2hunter2")])
    record = write(
        window(rows=(1,), first=0, last=0), lines=[lines], redact=(r"password=\S+", r"ann"), max_line_bytes=24
    )
    assert record.document["lines"] == ["s|user=[redacted] [redac"]


def test_the_beginning_of_a_secret_at_the_end_of_what_is_redacted_is_not_quoted(write, window, parsed_lines):
    line = b"password=" + b"x" * (MOST_REDACTED - 40) + b" password=" + b"y" * 100
    lines = parsed_lines([(b"s", line)])
    record = write(window(rows=(1,), first=0, last=0), lines=[lines], redact=(r"password=\w{100,}",))
    assert "y" not in record.document["lines"][0]
    short = parsed_lines([(b"s", b"password=" + b"x" * 100 + b" rest")])
    record = write(window(rows=(1,), first=0, last=0), lines=[short], redact=(r"password=\w{100,}",))
    assert record.document["lines"] == ["s|[redacted] rest"]


def test_template_texts_are_redacted_as_well(write, window, parsed_lines):
    lines = parsed_lines([(b"s", b"token abc123 used")])
    record = write(
        window(rows=(template_id("token abc123 used"),), first=0, last=0), lines=[lines], redact=("abc[0-9]+",)
    )
    assert record.document["templates"][0]["text"] == "token [redacted] used"


def test_redaction_knows_letters_beyond_ascii(write, window, parsed_lines):
    lines = parsed_lines([(b"s", "user=zoë ok".encode())])
    record = write(window(rows=(1,), first=0, last=0), lines=[lines], redact=(r"user=\w+",))
    assert record.document["lines"] == ["s|[redacted] ok"]


def test_bytes_that_are_no_text_are_shown_as_such(write, window, parsed_lines):
    lines = parsed_lines([(b"s", b"\xff\x00 raw\r")])
    assert write(window(rows=(1,), first=0, last=0), lines=[lines]).document["lines"] == ["s|\\xff\x00 raw"]


@given(
    text=st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=60),
    limit=st.integers(16, 40),
)
def test_a_cut_line_keeps_its_size_and_whole_characters(text, limit, scored, window, parsed_lines):
    recent = RecentLines(1 << 20)
    recent.add(parsed_lines([(b"s", text.encode())]))
    writer = AlertWriter(
        AlertSettings(max_line_bytes=limit), "r", recent=recent, templates={},
        describe=lambda *_: "", clock=ManualClock(),
    )  # fmt: skip
    (record,) = writer.records(scored(window(rows=(1,), first=0, last=0)), (DUE,))
    (line,) = record.document["lines"]
    assert len(line.encode()) <= limit
    assert ("s|" + text).startswith(line)


@pytest.mark.parametrize("pattern", ["(", "[a", "(?P<a>x)(?P<a>y)"])
def test_a_redaction_that_does_not_compile_is_refused_with_its_text(pattern):
    with pytest.raises(ValidationError, match="is not a regular expression"):
        AlertSettings(redact=(pattern,))


# --- explanation ---------------------------------------------------------------------------------


def reasons(contributions, base=0.1):
    explanation = Explanation(np.array(contributions, np.float32), np.array([base], np.float32))
    return lambda scored, index: explanation


def test_the_lines_that_add_most_are_listed_with_their_contributions(write, window, parsed_lines):
    texts = (b"start", b"disk failed", b"stop token=x")
    lines = parsed_lines([(b"s", text) for text in texts])
    rows = tuple(template_id(text.decode()) for text in texts)
    record = write(
        window(rows=rows, first=0, last=2), lines=[lines], explain=True, explain_lines=2, redact=("token=x",),
        reasons=reasons([-0.25, 0.5, 0.25]),
    )  # fmt: skip
    assert record.document["explanation"] == {
        "base": pytest.approx(0.1),
        "lines": [
            {"line": 1, "text": "disk failed", "raw": "s|disk failed", "contribution": 0.5},
            {"line": 2, "text": "stop [redacted]", "raw": "s|stop [redacted]", "contribution": 0.25},
        ],
        "rest": -0.25,
    }


def test_explained_lines_are_quoted_as_far_as_they_are_held_and_may_be(write, window, parsed_lines):
    lines = parsed_lines([(b"s", b"b")], first=1)
    explained = {"explain": True, "reasons": reasons([0.5, 0.25])}
    held = write(window(rows=(1, 2), first=0, last=1), lines=[lines], **explained)
    assert [row["raw"] for row in held.document["explanation"]["lines"]] == [None, "s|b"]
    none = write(window(rows=(1, 2), first=0, last=1), lines=[lines], max_lines=0, **explained)
    assert [row["raw"] for row in none.document["explanation"]["lines"]] == [None, None]


def test_an_alert_goes_out_though_it_cannot_be_explained(write, window):
    assert write(window(), explain=True, reasons=lambda *_: None).document["explanation"] is None


def test_all_windows_of_a_batch_are_explained_at_once(scored, window):
    asked = []

    def explain(batch, index):
        asked.append(index.tolist())
        return Explanation(np.array([1, 2, 3], np.float32), np.array([0.5, 0.25], np.float32))

    writer = AlertWriter(
        AlertSettings(explain=True), "r", recent=RecentLines(1 << 20), templates={},
        describe=lambda *_: "", clock=ManualClock(), explain=explain,
    )  # fmt: skip
    batch = scored(window(rows=(7, 8)), window(rows=(1,)), window(rows=(9,)))
    first, second = writer.records(batch, tuple(Decision(i, 0, "0" * 16, 1, 0.5) for i in (0, 2)))
    assert asked == [[0, 2]]
    assert [row["contribution"] for row in first.document["explanation"]["lines"]] == [2.0, 1.0]
    assert [row["contribution"] for row in second.document["explanation"]["lines"]] == [3.0]
    assert (first.document["explanation"]["base"], second.document["explanation"]["base"]) == (0.5, 0.25)
    assert writer.records(batch, ()) == []


# --- time ----------------------------------------------------------------------------------------


def test_optional_fields_are_left_out_where_they_are_empty(write, window):
    assert set(write(window()).document) == AlertDocument.__required_keys__ | {
        "schema_version", "summary", "severity", "reasons",
    }  # fmt: skip
