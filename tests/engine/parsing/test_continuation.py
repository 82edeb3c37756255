import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.offline.export import RecordReader
from engine.parsing.continuation import CONTINUATION
from engine.steps.parse import ParseSettings

HEAD = b"2024-03-10 06:25:01,123 [main] ERROR com.example.App - order 17 failed"
JAVA = [
    b"java.lang.IllegalStateException: no customer",
    b"\tat com.example.Orders.place(Orders.java:17)",
    b"\tat com.example.App.main(App.java:3)",
    b"Caused by: java.io.IOException: broken pipe",
    b"\t... 12 more",
    b"... 3 common frames omitted",
]
PYTHON = [
    b"Traceback (most recent call last):",
    b'  File "orders.py", line 7, in place',
    b"    raise ValueError(customer)",
    b"ValueError: 17",
    b"During handling of the above exception, another exception occurred:",
    b"KeyError",
]


def settings_of(format: str = "log4j", **more: object) -> ParseSettings:
    return ParseSettings.model_validate({"format": format, **more})


@pytest.mark.parametrize("line", JAVA + PYTHON)
def test_lines_of_traces_are_known(line):
    assert CONTINUATION.match(line)


@pytest.mark.parametrize("line", [b"", b" ", b"order 17 failed", b"at noon", b"error: no space", b"17 more"])
def test_other_lines_are_not(line):
    assert not CONTINUATION.match(line)


@pytest.mark.parametrize("format", ["log4j", "auto"])
def test_a_trace_is_one_record(format, parser_of, batch_of):
    parser = parser_of(settings_of(format))
    parsed = parser.parse(batch_of([HEAD, *JAVA, HEAD, *PYTHON, HEAD]))
    assert parsed.good.rows.tolist() == [0, 7, 14]
    assert not parsed.good.bad
    assert len(set(parsed.good.template.tolist())) == 1
    assert len(parsed.joined) == 12


@pytest.mark.parametrize("format", ["log4j", "auto"])
def test_chained_traces_are_one_record_blank_lines_and_all(format, parser_of, batch_of):
    chained = [
        *PYTHON[:4], b"", PYTHON[4], b"\r", *PYTHON[:3], b"requests.exceptions.Timeout: after 3 s", b"", PYTHON[4], b"",
        *PYTHON[:2], b"StopIteration",
    ]  # fmt: skip
    lines = [HEAD, *chained, b"", HEAD, b"", b"socket.timeout: no trace has begun", HEAD]
    parser = parser_of(settings_of(format))
    reader = RecordReader(parser)
    records = [*reader.add(batch_of(lines)), *reader.finish()]
    message = records[0]["message"].split("\n")
    assert message[1:] == [line.decode().strip("\r") for line in chained]
    assert [r["message"] for r in records if r["format"] == "log4j"][1:] == ["order 17 failed"] * 2
    assert reader.joined == len(chained) + 1
    assert reader.bad == (1 if format == "auto" else 2)


@given(st.lists(st.integers(0, 40), max_size=6))
def test_batches_may_cut_a_trace_anywhere(parser_of, batch_of, cuts):
    lines = [HEAD, *JAVA, b"nonsense", JAVA[0], HEAD, *PYTHON, b"", PYTHON[1]] * 2
    parser, rows, joined, bad = parser_of(settings_of(max_join_lines=4)), [], [], []
    start = 0
    for end in [*sorted(min(cut, len(lines)) for cut in cuts), len(lines)]:
        parsed = parser.parse(batch_of(lines[start:end], start))
        rows += (parsed.good.rows + start).tolist()
        joined += [row + start for row in parsed.joined]
        bad += [int(letter.place.split(":")[1]) for letter in parsed.good.bad]
        parser = parser_of(settings_of(max_join_lines=4), parser.snapshot())
        start = end
    half = len(lines) // 2
    assert rows == [0, 9, half, half + 9]
    assert joined == [i + base for base in (0, half) for i in (1, 2, 3, 4, 10, 11, 12, 13)]
    assert sorted(rows + joined + bad) == list(range(len(lines)))


def test_traces_are_bounded_in_lines_and_bytes(parser_of, batch_of):
    lines = [HEAD, *[b"\tat x"] * 10]
    for more, kept in (({"max_join_lines": 3}, 3), ({"max_join_bytes": 11}, 2), ({"max_join_lines": 0}, 0)):
        parser = parser_of(settings_of(**more))
        parsed = parser.parse(batch_of(lines))
        assert len(parsed.good.bad) == 10 - kept
        assert len(parsed.joined) == kept


def test_without_a_record_there_is_nothing_to_join(parser_of, batch_of):
    assert len(parser_of(settings_of()).parse(batch_of(JAVA)).good.bad) == len(JAVA)
    assert len(parser_of(settings_of("syslog")).parse(batch_of(JAVA)).good.bad) == len(JAVA)
    auto = parser_of(settings_of("auto"))
    assert auto.parse(batch_of(JAVA)).good.rows.tolist() == [0]
