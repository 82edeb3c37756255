"""Lines that container runtimes wrapped: pieces are put together, traces joined, streams kept apart."""

import json

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.offline.export import RecordReader
from engine.parsing.continuation import CONTINUATION, WITHIN
from engine.parsing.json_reader import PIECE_BYTES
from engine.parsing.template_rules import masked_message
from engine.steps.parse import ParseSettings

FIRST_S = 1_475_713_000  # 2016-10-06T00:16:40Z
OUT, ERR = "stdout", "stderr"
FULL = "x" * PIECE_BYTES


def cri(row, stream, text, piece=False):
    minute, second = divmod(40 + row, 60)
    return f"2016-10-06T00:{16 + minute:02d}:{second:02d}.000000000Z {stream} {'P' if piece else 'F'} {text}".encode()


def docker(row, stream, text, piece=False):
    minute, second = divmod(40 + row, 60)
    return json.dumps(
        {
            "log": text + ("" if piece else "\n"),
            "stream": stream,
            "time": f"2016-10-06T00:{16 + minute:02d}:{second:02d}Z",
        }
    ).encode()


WRAP = {"cri": cri, "docker": docker}


def settings_of(format, **more):
    return ParseSettings.model_validate({"format": format, **more})


def records_of(parser_of, batch_of, given, lines, cuts=()):
    """Records of a stream that is cut into batches."""
    reader = RecordReader(parser_of(given))
    found, start = [], 0
    for end in [*sorted(min(cut, len(lines)) for cut in cuts), len(lines)]:
        found += reader.add(batch_of(lines[start:end], start))
        start = end
    return found + reader.finish(), reader


def rows_of(parser_of, batch_of, given, lines, cuts, restart):
    """What the parser reports of a stream: place, time, template and key of each record, and what the rest became."""
    parser, rows, other, texts, start = parser_of(given), [], [], {}, 0
    for end in [*sorted(min(cut, len(lines)) for cut in cuts), len(lines), None]:
        parsed = parser.finish() if end is None else parser.parse(batch_of(lines[start:end], start))
        if parsed is None:
            continue
        texts |= parsed.good.templates
        places = parsed.good.lines.positions[parsed.good.rows].tolist()
        keys = [parsed.good.lines.data[a:b] for a, b in zip(parsed.good.key_start, parsed.good.key_end, strict=True)]
        whole = [parsed.good.lines.line(row) for row in parsed.good.rows.tolist()]
        rows += zip(
            places,
            parsed.good.time_ns.tolist(),
            [texts[t] for t in parsed.good.template.tolist()],
            keys,
            whole,
            strict=True,
        )
        if end is not None:
            other += [(start + row, "joined", stream) for row, stream in parsed.joined.items()]
            other += [(start + row, "piece") for row in parsed.pieces]
            assert len(parsed) + len(parsed.good.bad) + len(parsed.joined) + len(parsed.pieces) == end - start
            start = end
        if restart:
            parser = parser_of(given, parser.snapshot())
    return rows, sorted(other)


def plainly(lines, max_lines, max_bytes):
    """The records by the rules alone: (row, stream, text, piece) → (second of the first line, stream, message)."""
    pieces, whole = {}, []
    for row, stream, text, piece in lines:
        first, before = pieces.pop(stream, (row, ""))
        text = before + text
        if piece and len(text) < max_bytes:
            pieces[stream] = (first, text)
        else:
            whole.append((row, first, stream, text))
    whole += [(len(lines), first, stream, text) for stream, (first, text) in pieces.items()]
    records, last = [], {}
    for row, first, stream, text in whole:
        head = last.get(stream)
        looks = CONTINUATION.match(text.encode()) or (head and head[3] and WITHIN.match(text.encode()))
        if head and looks and row - head[0] <= max_lines and head[3] + len(text) <= max_bytes:
            head[2].append(text)
            head[3] += len(text)
        else:
            last[stream] = [row, first, [text], 0]
            records.append((stream, last[stream]))
    return [(FIRST_S + head[1], stream, "\n".join(head[2]).rstrip("\n")) for stream, head in records]


TEXTS = st.sampled_from(
    ["order 17 failed", "started", "", "\tat com.example.Orders.place(Orders.java:17)", "java.io.IOException: 5",
     "Traceback (most recent call last):", "Caused by: x", "socket.timeout: late", "... 3 more", "KeyError"]
)  # fmt: skip
LINES = st.lists(st.tuples(st.sampled_from([OUT, ERR]), TEXTS, st.sampled_from([False, False, True])), max_size=30)
VALUES = st.one_of(
    st.sampled_from([OUT, ERR, FULL, "\tat x\n", "failed\n", ""]), st.none(), st.integers(-9, 9), st.just([OUT]),
    st.just({"a": OUT}), st.text(max_size=9),
)  # fmt: skip
DOCUMENTS = st.fixed_dictionaries(
    {"log": VALUES, "time": st.just("2016-10-06T00:16:40Z")},
    optional={"stream": VALUES, "attrs": VALUES, "more": VALUES},
)
CUTS = st.lists(st.integers(0, 30), max_size=8)


@settings(max_examples=100, deadline=None)
@given(LINES, CUTS, st.booleans(), st.sampled_from([(500, 1000), (3, 1000), (500, 40), (2, 0)]))
def test_no_cut_and_no_restart_changes_what_the_rules_say(parser_of, batch_of, drawn, cuts, restart, bounds):
    numbered = [(row, *line) for row, line in enumerate(drawn)]
    lines = [cri(row, stream, text, piece) for row, stream, text, piece in numbered]
    given = settings_of("cri", max_join_lines=bounds[0], max_join_bytes=bounds[1], session_key="(?P<key>[0-9]+) failed")
    found, reader = records_of(parser_of, batch_of, given, lines, cuts)
    reported = [(record["timestamp"] // 10**9, record["component"], record["message"]) for record in found]
    assert sorted(reported) == sorted(plainly(numbered, *bounds))
    assert reader.bad == 0
    assert len(found) + reader.joined == len(lines)
    whole = rows_of(parser_of, batch_of, given, lines, (), False)
    assert rows_of(parser_of, batch_of, given, lines, cuts, restart) == whole
    assert len(whole[0]) == len(found)


@pytest.mark.parametrize("format", ["cri", "docker"])
def test_a_trace_may_be_cut_anywhere(format, parser_of, batch_of):
    chain = [
        "failed",
        "Traceback (most recent call last):",
        "  x",
        "socket.timeout: late",
        "",
        "KeyError",
        "",
        "",
        "done",
    ]
    lines = [WRAP[format](row, *line) for row, line in enumerate((s, text) for text in chain for s in (ERR, OUT))]
    if format == "cri":
        lines[4:4] = [b"\tat x", b"", b"\tat y"]
        lines += [b"\tat x", b"\tat y", b"nonsense", b"\tat z", cri(30, OUT, "\tat x"), b"\tat x"]
    whole = rows_of(parser_of, batch_of, settings_of(format), lines, (), False)
    assert len(whole[0]) == 4
    for cuts in (*([cut] for cut in range(len(lines))), range(len(lines)), range(0, len(lines), 3)):
        for restart in (False, True):
            assert rows_of(parser_of, batch_of, settings_of(format), lines, cuts, restart) == whole


@settings(max_examples=5, deadline=None)
@given(LINES, CUTS)
def test_it_is_the_same_where_the_format_is_recognised(parser_of, batch_of, drawn, cuts):
    lines = [cri(row, *line) for row, line in enumerate(drawn)]
    named, auto = (
        rows_of(parser_of, batch_of, settings_of(name), lines, cuts, name == "auto") for name in ("cri", "auto")
    )
    assert named == auto


@settings(max_examples=30, deadline=None)
@given(LINES, CUTS, st.booleans())
def test_dockers_pieces_are_as_long_as_its_buffer(parser_of, batch_of, drawn, cuts, restart):
    numbered = [(row, stream, FULL + text if piece else text, piece) for row, (stream, text, piece) in enumerate(drawn)]
    lines = [docker(*line) for line in numbered]
    given = settings_of("docker", max_join_bytes=3 * PIECE_BYTES)
    found, reader = records_of(parser_of, batch_of, given, lines, cuts)
    reported = [(record["timestamp"] // 10**9, record["component"], record["message"]) for record in found]
    assert sorted(reported) == sorted(plainly(numbered, 500, 3 * PIECE_BYTES))
    assert len(found) + reader.joined == len(lines)
    whole = rows_of(parser_of, batch_of, given, lines, (), False)
    assert rows_of(parser_of, batch_of, given, lines, cuts, restart) == whole


@pytest.mark.parametrize("format", ["cri", "docker", "auto"])
def test_a_long_line_is_one_record_with_the_time_and_the_header_of_its_first_piece(format, parser_of, batch_of):
    wrap = WRAP["docker" if format == "docker" else "cri"]
    lines = [
        wrap(0, OUT, "a " + FULL, True), wrap(1, ERR, "between"), wrap(2, OUT, FULL + " caf", True), wrap(3, OUT, "é 7")
    ]  # fmt: skip
    found, reader = records_of(parser_of, batch_of, settings_of(format), lines)
    assert [record["timestamp"] // 10**9 - FIRST_S for record in found] == [1, 0]
    assert found[1]["message"] == "a " + FULL + FULL + " café 7"
    assert (found[1]["component"], reader.joined, reader.bad) == (OUT, 2, 0)


def test_the_template_and_the_session_are_those_of_the_whole_message(parser_of, batch_of):
    given = settings_of("cri", session_key="order (?P<key>[0-9]+) ")
    parser = parser_of(given)
    lines = [cri(0, OUT, "x"), cri(1, ERR, "no space for ord", True), cri(2, ERR, "er 17 ", True), cri(3, ERR, "of 4")]
    parsed = parser.parse(batch_of([*lines, cri(4, OUT, "order 5 placed")]))
    assert parsed.good.rows.tolist() == [0, 3, 4]
    assert [parsed.good.templates[t] for t in parsed.good.template.tolist()][1] == "no space for order <NUM> of <NUM>"
    assert [parsed.good.lines.data[a:b] for a, b in zip(parsed.good.key_start, parsed.good.key_end, strict=True)] == [
        b"",
        b"17",
        b"5",
    ]
    assert parsed.good.lines.line(3) == cri(1, ERR, "no space for order 17 of 4")
    assert parsed.good.lines.line(4) == cri(4, OUT, "order 5 placed")
    assert parsed.good.lines.positions.tolist() == [0, 1, 2, 3, 4]


def test_a_piece_may_end_within_a_character(parser_of, batch_of):
    raw = "ärger".encode()
    lines = [cri(0, OUT, "", True) + raw[:1], cri(1, OUT, "") + raw[1:]]
    found, _ = records_of(parser_of, batch_of, settings_of("cri"), lines)
    assert [record["message"] for record in found] == ["ärger"]


def test_lines_beyond_the_bound_are_cut_into_records_and_lose_nothing(parser_of, batch_of):
    lines = [*(cri(row, OUT, f"{row:04d}" * 10, True) for row in range(10)), cri(10, OUT, "end")]
    found, reader = records_of(parser_of, batch_of, settings_of("cri", max_join_bytes=100), lines)
    assert [len(record["message"]) for record in found] == [120, 120, 120, 43]
    assert "".join(record["message"] for record in found) == "".join(f"{row:04d}" * 10 for row in range(10)) + "end"
    assert [record["timestamp"] // 10**9 - FIRST_S for record in found] == [0, 3, 6, 9]
    assert reader.joined == 7
    for bound, records in ((80, 6), (81, 4), (0, len(lines))):
        found, _ = records_of(parser_of, batch_of, settings_of("cri", max_join_bytes=bound), lines)
        assert len(found) == records


@pytest.mark.parametrize("format", ["cri", "docker", "auto"])
def test_a_trace_joins_the_record_before_it_in_its_stream(format, parser_of, batch_of):
    wrap = WRAP["docker" if format == "docker" else "cri"]
    python = ["Traceback (most recent call last):", '  File "orders.py", line 7, in place', "ValueError: 17"]
    chained = [*python, "", "During handling of the above exception, another exception occurred:", "", *python]
    texts = [(ERR, "order 17 failed"), (OUT, "GET /orders/17")]
    texts += [line for text in chained for line in ((ERR, text), (OUT, "GET /health"))]
    texts += [(ERR, "order 18 failed"), (OUT, "\tindented"), (ERR, "java.lang.IllegalStateException: no customer")]
    texts += [(ERR, "\tat com.example.App.main(App.java:3)"), (ERR, "Caused by: java.io.IOException: broken pipe")]
    lines = [wrap(row, *line) for row, line in enumerate(texts)]
    found, reader = records_of(parser_of, batch_of, settings_of(format), lines)
    errors = [record["message"] for record in found if record["component"] == ERR]
    assert errors[0].split("\n") == ["order 17 failed", *chained]
    assert errors[1].count("\n") == 3
    assert [record["timestamp"] for record in found] == sorted(record["timestamp"] for record in found)
    assert found[-2]["message"] == "GET /health\n\tindented"
    assert {record["template"] for record in found if record["component"] == ERR} == {"order <NUM> failed"}
    assert (len(found), reader.joined) == (12, len(lines) - 12)


def test_a_trace_joins_no_record_that_began_too_many_lines_before(parser_of, batch_of):
    for between, records in ((2, 3), (3, 5)):
        lines = [cri(0, ERR, "failed"), *(cri(1, OUT, "fine"),) * between, cri(9, ERR, "\tat x")]
        given = settings_of("cri", max_join_lines=3)
        for cuts in ((), (1,), (1, 2, 3)):
            found, _ = records_of(parser_of, batch_of, given, lines, cuts)
            assert len(found) == records


def test_records_come_out_when_no_line_can_join_them_any_more(parser_of, batch_of):
    reader = RecordReader(parser_of(settings_of("cri", max_join_lines=5)))
    assert reader.add(batch_of([cri(0, ERR, "failed"), cri(1, OUT, "fine")])) == []
    assert reader.add(batch_of([cri(2, OUT, "fine")] * 3)) == []
    assert [record["message"] for record in reader.add(batch_of([cri(3, OUT, "fine")]))] == ["failed"] + ["fine"] * 4


def test_lines_without_a_header_join_the_record_right_before_them(parser_of, batch_of):
    lines = [cri(0, ERR, "failed"), cri(1, OUT, "fine"), b"\tat x", b"\tat y", cri(2, ERR, "\tat z"), b"nonsense"]
    for cuts in ((), (2,), (3, 4)):
        found, reader = records_of(parser_of, batch_of, settings_of("cri"), lines, cuts)
        assert [record["message"] for record in found] == ["failed\n\tat z", "fine\n\tat x\n\tat y"]
        assert reader.bad == 1


def test_documents_of_collectors_are_left_alone(parser_of, batch_of):
    def collected(log, **more):
        return orjson.dumps({"log": log, "stream": ERR, "time": "2016-10-06T00:16:40Z", **more})

    pods = [
        collected(log, kubernetes={"pod_name": pod}) for pod, log in (("a", "failed\n"), ("b", "\tat x\n"), ("a", FULL))
    ]
    short = [collected("without a line end"), collected("nor this")]
    parser = parser_of(settings_of("docker"))
    assert len(parser.parse(batch_of(pods + short))) == 5
    assert parser.finish() is None
    assert len(parser.parse(batch_of([collected("failed\n", attrs={"tag": "a"}), collected("\tat x\n")]))) == 1


@settings(max_examples=100, deadline=None)
@given(st.lists(DOCUMENTS, max_size=6))
def test_no_document_breaks_the_parser(parser_of, batch_of, documents):
    parser = parser_of(settings_of("docker", max_join_bytes=3 * PIECE_BYTES))
    for _ in range(2):
        parsed = parser.parse(batch_of([orjson.dumps(document) for document in documents]))
        assert len(parsed) + len(parsed.good.bad) + len(parsed.joined) + len(parsed.pieces) == len(documents)
    parser.finish()


def test_pieces_with_colour_codes_and_carriage_returns_are_read(parser_of, batch_of):
    lines = [b"\x1b[31m" + cri(0, OUT, "a ", True) + b"\x1b[0m", cri(1, ERR, "b\x1b[1m"), cri(2, OUT, "c") + b"\r"]
    lines += [b"\x1b[1mnonsense", cri(3, OUT, "d")]
    parser = parser_of(settings_of("cri"))
    parsed = parser.parse(batch_of(lines))
    assert [parsed.good.lines.line(row).split(b" F ")[1] for row in parsed.good.rows.tolist()] == [b"b", b"a c", b"d"]
    assert [letter.raw for letter in parsed.good.bad] == [b"\x1b[1mnonsense"]


def test_what_joined_a_record_of_docker_is_no_part_of_its_template(parser_of, batch_of):
    lines = [docker(0, ERR, "order 17 failed"), docker(1, ERR, "\tat x")]
    (record,), _ = records_of(parser_of, batch_of, settings_of("docker"), lines)
    assert masked_message("docker", record["message"]) == record["template"] == "order <NUM> failed"


def test_what_is_open_outlives_a_restart_at_the_very_end(parser_of, batch_of):
    for format, wrap in WRAP.items():
        first = parser_of(settings_of(format))
        first.parse(batch_of([wrap(0, OUT, "a " + FULL, True), wrap(1, ERR, "b")], first=7))
        again = parser_of(settings_of(format), first.snapshot())
        rest = again.finish()
        assert rest is not None
        assert (rest.good.lines.positions.tolist(), rest.good.lines.partition) == ([7], "p")
        assert rest.good.time_ns.tolist() == [FIRST_S * 10**9]
        assert again.finish() is None


def test_snapshots_from_before_streams_were_kept_are_read(parser_of, batch_of):
    parser = parser_of(settings_of("cri"))
    parser.parse(batch_of([cri(0, ERR, "failed")]))
    saved = orjson.loads(parser.snapshot())
    for name in ("streams", "last", "pieces"):
        del saved[name]
    assert len(parser_of(settings_of("cri"), orjson.dumps(saved)).parse(batch_of([cri(1, ERR, "\tat x")]))) == 1
    plain = orjson.loads(parser_of(settings_of("hdfs")).snapshot())
    assert not {"streams", "last", "pieces", "tail"} & set(plain)
