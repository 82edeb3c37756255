"""Templates from the rollup: counts that add up, sparklines, life lines, and the difference of two ranges."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sql_rollup import SNAPSHOTS, KeptDays, SqlRollupSink
from connectors.sql_schema import LEVEL_COLUMNS
from engine.api.template_lines import LinePattern
from engine.api.templates import change_of
from foundation.score_buckets import quantile
from foundation.time_text import NS_PER_S, parse_time
from tests.engine.api.conftest import START_NS, alert, at
from tests.support.counts import MINUTE_NS, counts_record

START = START_NS // (60 * NS_PER_S) + 1
A, B, C = "a" * 16, "b" * 16, "c" * 16
TEXTS = {A: "disk <*> failed", B: "user <*> logged in", C: "cache miss"}


def minute(offset):
    return at(((START + offset) * 60 * NS_PER_S - START_NS) / NS_PER_S)


def row(template, offset, lines, *, region="eu", partition="app.log", part=0, errors=0, text=""):
    counts = (0, 0, 0, lines - errors, 0, errors, 0, 0, 0, 0)
    return counts_record(
        partition, START + offset, part, template, counts, region=region, text=text or TEXTS[template],
        example=f"example of {template[0]} in minute {offset}", last_ns=(START + offset) * MINUTE_NS + NS_PER_S,
    )  # fmt: skip


@pytest.fixture
def count(services, store):
    def write(*records, keep_days=30, keep_hourly_days=90):
        sink = SqlRollupSink(store, KeptDays(keep_days, keep_hourly_days, 730))
        sink.open(None)
        for written in (records, *(records[-1:] for _ in range(SNAPSHOTS))):
            sink.write(written)
            sink.flush(5)
            sink.snapshot()
        sink.close()

    return write


@pytest.fixture
def client(log_in):
    return log_in("viewer")


RANGE = {"since": minute(0), "until": minute(10)}


def test_templates_are_listed_with_exact_counts(client, count, add_alerts):
    count(row(A, 0, 3, errors=1), row(A, 9, 2), row(A, 9, 5, part=START + 9), row(B, 1, 4), row(B, 10, 100))
    add_alerts(alert("x", 90), alert("y", 10_000))
    found = client.get("/api/v1/templates", params=RANGE).json()
    assert (found["total_lines"], found["total_templates"]) == (14, 2)
    first, second = found["items"]
    assert (first["id"], first["lines"], first["levels"], first["alerts"]) == (A, 10, {"info": 9, "error": 1}, 1)
    assert (first["first_seen"], first["example"]) == (minute(0), "example of a in minute 0")
    assert (sum(first["sparkline"]), first["sparkline"][0], first["sparkline"][-1]) == (10, 3, 7)
    assert (second["id"], second["lines"], sum(second["sparkline"])) == (B, 4, 4)
    only = client.get("/api/v1/templates", params={**RANGE, "text": "LOGGED"}).json()
    assert ([i["id"] for i in only["items"]], only["total_lines"]) == ([B], 14)


def test_rows_are_replaced_and_lives_only_grow(client, count):
    count(row(A, 5, 9))
    count(row(A, 5, 3), row(A, 7, 1))
    count(row(A, 2, 1))
    (item,) = client.get("/api/v1/templates", params=RANGE).json()["items"]
    assert (item["lines"], item["first_seen"], item["example"]) == (5, minute(2), "example of a in minute 5")


def test_a_life_line_has_its_minutes_or_longer_parts(client, count):
    count(row(A, 0, 3), row(A, 1, 1, errors=1), row(A, 9, 2, region="us"))
    found = client.get(f"/api/v1/templates/{A}", params=RANGE).json()
    assert [(p["time"], p["lines"]) for p in found["points"]] == [(minute(0), 3), (minute(1), 1), (minute(9), 2)]
    assert found["regions"] == ["eu", "us"]
    longer = client.get(f"/api/v1/templates/{A}", params={**RANGE, "step_minutes": 5, "region": "eu"}).json()
    assert [(p["time"], p["lines"], p["levels"]) for p in longer["points"]] == [(minute(0), 4, {"info": 3, "error": 1})]
    assert client.get(f"/api/v1/templates/{C}", params=RANGE).status_code == 404
    wide = {"since": minute(0), "until": minute(5_000)}
    assert client.get(f"/api/v1/templates/{A}", params=wide).status_code == 422


def scored(template, offset, windows, anomalous, scores, *, part=0):
    """A row of windows; template "" has those of all templates."""
    counts = (*(0 for _ in LEVEL_COLUMNS), windows, anomalous, 1)
    return counts_record("app.log (windows 0)", START + offset, part, template, counts, tuple(scores.items()))


LOW, HIGH = 20, 30
"""Buckets of scores."""


def test_windows_and_quantiles_of_scores_are_those_of_the_range(client, count):
    count(
        row(A, 0, 5), scored(A, 0, 3, 1, {LOW: 2, HIGH: 1}), scored("", 0, 4, 1, {LOW: 3, HIGH: 1}),
        scored(A, 0, 1, 1, {HIGH: 1}, part=START + 9), scored("", 70, 2, 2, {HIGH: 2}), scored(A, 70, 2, 2, {HIGH: 2}),
    )  # fmt: skip
    whole = {"since": minute(-60), "until": minute(120)}
    low, high = (quantile({bucket: 1}, 0.5) for bucket in (LOW, HIGH))
    (item,) = client.get("/api/v1/templates", params=whole).json()["items"]
    assert (item["lines"], item["windows"], item["anomalous"]) == (5, 6, 4)
    for step in (1, 60, 180):
        life = client.get(f"/api/v1/templates/{A}", params={**whole, "step_minutes": step}).json()["points"]
        assert sum(p["windows"] for p in life) == 6
        assert sum(p["anomalous"] for p in life) == 4
        assert (sum(p["alerts"] for p in life), life[-1]["scores"]["p99"]) == (3, high)
    assert client.get(f"/api/v1/templates/{A}", params=RANGE).json()["points"][0]["scores"]["median"] == low
    for points in (500, 3):
        series = client.get("/api/v1/series", params={**whole, "points": points}).json()
        assert (series["lines"], series["windows"], sum(p["anomalous"] for p in series["points"])) == (5, 6, 3)
    first, *_ = [p["scores"] for p in series["points"] if p["scores"]]
    assert first == {"median": low, "p90": low, "p99": low}
    assert client.get("/api/v1/series", params={**whole, "region": "us"}).json()["windows"] == 0


def test_the_difference_of_two_ranges_adds_up_to_all_lines(client, count):
    count(row(A, 0, 10), row(B, 0, 4), row(A, 5, 21), row(C, 6, 2), row(C, 6, 3, region="us"), row(C, 9, 50))
    asked = {"since_a": minute(0), "until_a": minute(1), "since_b": minute(5), "until_b": minute(7)}
    found = client.get("/api/v1/templates/diff", params=asked).json()
    assert [(c["id"], c["kind"], c["before"], c["after"]) for c in found["changes"]] == [
        (B, "gone", 4, 0), (C, "new", 0, 5), (A, "same", 10, 21),
    ]  # fmt: skip
    assert (found["lines_before"], found["lines_after"]) == (14, 26)
    assert [sum(lines) for lines in zip(*found["lines_by_kind"].values(), strict=True)] == [14, 26]
    assert sum(found["kinds"].values()) == 3
    regions = client.get("/api/v1/templates/diff", params={**asked, "region_b": "us"}).json()
    assert regions["lines_after"] == 3


def test_ranges_are_checked(client):
    for query in ({"since": minute(5), "until": minute(5)}, {"since": "x"}, {"since": "1990-01-01T00:00:00Z"}):
        assert client.get("/api/v1/templates", params=query).status_code == 422
    assert client.get("/api/v1/templates").json()["items"] == []


def test_where_minutes_are_deleted_a_range_begins_with_an_hour_and_then_with_a_day(client, count):
    days = {"keep_days": 2, "keep_hourly_days": 4}
    count(row(A, 0, 3), row(A, 3 * 1_440, 2), row(A, 5 * 1_440, 1), **days)
    whole = {"since": minute(70), "until": minute(6 * 1_440)}
    found = client.get("/api/v1/templates", params=whole).json()
    assert (found["total_lines"], sum(item["lines"] for item in found["items"])) == (6, 6)
    assert (parse_time(found["since"]) // (60 * NS_PER_S)) % 1_440 == 0
    hours = client.get("/api/v1/templates", params={**whole, "since": minute(2 * 1_440 + 7)}).json()
    assert (hours["total_lines"], (parse_time(hours["since"]) // (60 * NS_PER_S)) % 60) == (3, 0)


def test_a_short_range_of_deleted_minutes_has_the_lines_of_whole_hours_and_days(client, count):
    count(row(A, 0, 3), row(A, 2 * 1_440 + 61, 2), row(A, 5 * 1_440, 1), keep_days=2, keep_hourly_days=4)
    for first, lines, step in ((2 * 1_440 + 62, 2, 60), (5, 3, 1_440), (5 * 1_440, 1, 1)):
        asked = {"since": minute(first), "until": minute(first + 3)}
        series = client.get("/api/v1/series", params=asked).json()
        assert (series["lines"], series["step_minutes"]) == (lines, step)
        assert sum(point["lines"] for point in series["points"]) == lines
        listed = client.get("/api/v1/templates", params=asked).json()
        assert (listed["total_lines"], listed["items"][0]["lines"]) == (lines, lines)
        assert sum(listed["items"][0]["sparkline"]) == lines
        life = client.get(f"/api/v1/templates/{A}", params=asked).json()
        assert (life["step_minutes"], sum(point["lines"] for point in life["points"])) == (step, lines)


def test_a_life_line_has_the_templates_that_it_covers_and_those_that_cover_it(client, count):
    ann, bob = row("1" * 16, 0, 1, text="user ann logged in"), row("2" * 16, 3, 1, text="user bob logged in")
    count(ann, bob, row("3" * 16, 4, 1, text="<*> <*> <*> <*>"), row(B, 5, 2), row(A, 5, 1))
    found = client.get(f"/api/v1/templates/{B}").json()["relatives"]
    assert [(r["text"], r["first_seen"]) for r in found["covers"]] == [
        ("user bob logged in", minute(3)), ("user ann logged in", minute(0)),
    ]  # fmt: skip
    assert found["covered_by"] == []
    found = client.get(f"/api/v1/templates/{'1' * 16}").json()["relatives"]
    assert ([r["id"] for r in found["covered_by"]], found["covers"]) == ([B], [])


def test_the_lines_of_a_template_are_those_of_alerts(client, count, add_alerts):
    count(row(A, 0, 3))
    templates = [{"id": A, "text": TEXTS[A], "count": 2}]
    lines = ["10:00 ERROR disk 7  failed", "10:01 disk failed", "10:02 INFO hard disk 1 failed over"]
    add_alerts(
        alert("x", 90, templates=templates, lines=lines, session="s7"), alert("y", 95, region="us"),
        alert("z", 100, region="us", templates=templates, lines=["disk 8 failed"]),
    )  # fmt: skip
    found = client.get(f"/api/v1/templates/{A}/lines", params=RANGE).json()
    assert (found["searched"], found["alerts"]) == (3, 2)
    assert [(line["text"], line["region"]) for line in found["items"]] == [("disk 8 failed", "us"), (lines[0], "eu")]
    assert (found["items"][1]["alert"], found["items"][1]["session"]) == (alert("x", 0)["id"], "s7")
    only = client.get(f"/api/v1/templates/{A}/lines", params={**RANGE, "region": "eu", "limit": 1}).json()
    assert [line["text"] for line in only["items"]] == lines[:1]
    assert client.get(f"/api/v1/templates/{B}/lines").status_code == 404


@pytest.mark.parametrize(
    ("text", "line", "fits"),
    [
        ("took <NUM> ms", "[x] took 12.5 ms", True),
        ("took <NUM> ms", "it overtook 1 ms", False),
        ("a=<NUM>,b=<*> (x)", "10:00:a=1,b=2 (x) ", True),
        (r"glob <\*> used", "glob <*> used", True),
        (r"glob <\*> used", "glob all used", False),
    ],
)
def test_a_line_fits_a_template_behind_its_header(text, line, fits):
    assert LinePattern(text).fits(line) == fits


@given(
    st.lists(st.text("a:,<*> ", min_size=1, max_size=6), min_size=1, max_size=4).map("<*>".join),
    st.text("a:,] ", max_size=12),
)
def test_a_line_fits_as_the_regular_expression_of_its_template_does(text, line):
    parts = [r"\S+".join(map(re.escape, word.split("<*>"))) for word in text.split()]
    expected = bool(parts) and re.search(r"(?:^|[\s:\]])" + r"\s+".join(parts) + r"\s*$", line) is not None
    assert LinePattern(text).fits(line) == expected


def test_a_hostile_line_costs_no_more_than_another():
    pattern = LinePattern(",".join(["<*>"] * 8) + " end")
    assert not pattern.fits("," * 100_000 + " x")
    assert pattern.fits("," * 100_000 + " end ")


@given(st.tuples(st.integers(0, 1_000), st.integers(0, 1_000)).filter(any), st.tuples(*[st.integers(1, 100)] * 2))
def test_a_change_and_its_reverse_are_opposite(lines, minutes):
    opposite = {"new": "gone", "gone": "new", "more": "fewer", "fewer": "more", "same": "same"}
    forward = change_of(A, "", lines, minutes)
    back = change_of(A, "", lines[::-1], minutes[::-1])
    assert back.kind == opposite[forward.kind]
    assert forward.rate_before * minutes[0] == pytest.approx(forward.before)
