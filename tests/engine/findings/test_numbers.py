import pytest

from engine.findings.lines import ColumnReader, is_measure
from engine.steps.parse import Parser, ParseSettings
from tests.engine.findings.lines import batches


@pytest.mark.parametrize(
    ("line", "values"),
    [
        (b"Nov 27 10:00:00 web-1 app[1]: compiled unit 17 in 456 ms", {"unit": 17.0, "in ms": 456.0}),
        (b"Nov 27 10:00:00 web-1 app[1]: sent length=127 bytes=0a0b", {"length": 127.0}),
        (b"Nov 27 10:00:00 web-1 app[1]: request took 1.5s", {"took s": 1.5}),
        (b"Nov 27 10:00:00 web-1 app[1]: waited 12 seconds", {"waited seconds": 12.0}),
        (b'time=2026-11-27T10:00:00Z level=info msg="paid" ms=57 amount=900 id=4711', {"ms": 57.0, "amount": 900.0}),
    ],
)
def test_numbers_are_read_with_what_they_are_called(line, values):
    (batch,) = batches([line])
    reader = ColumnReader()
    lines = reader.read(Parser(ParseSettings(format="auto"), lambda partition, position: "").parse(batch))
    sampled = reader.sample(lines, 0, 1, 1)
    names = [reader.slots[slot][1].rpartition(" ")[0].strip() or reader.slots[slot][1] for slot in sampled.slot]
    assert dict(zip(names, sampled.value.tolist(), strict=True)) == values


@pytest.mark.parametrize(
    ("name", "measure"),
    [
        ("in ms 2/2", True), ("waited seconds 1/1", True), ("unit  1/2", False), ("responseTime", True),
        ("rttMs", True), ("heapMB", True), ("items", False), ("alarms", False),
    ],
)  # fmt: skip
def test_units_say_that_a_number_measures_something(name, measure):
    assert is_measure(name) is measure


def test_the_fraction_at_the_end_of_a_request_is_its_time():
    (batch,) = batches([b'10.0.0.1 - - [27/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 512 "-" "-" 0.125'])
    reader = ColumnReader()
    lines = reader.read(Parser(ParseSettings(format="auto"), lambda partition, position: "").parse(batch))
    sampled = reader.sample(lines, 0, 1, 1)
    assert (reader.slots[sampled.slot[-1]][1].split()[0], sampled.value[-1]) == ("time", 0.125)


def test_a_failed_request_in_a_document_has_one_status():
    lines = [
        b'{"time":"2026-11-27T10:00:0%d+00:00","remote_addr":"10.0.0.1","request_method":"GET","request_uri":"/cart","status":%d}'
        % (i, status)
        for i, status in enumerate((200, 200, 200, 503))
    ]
    (batch,) = batches(lines)
    reader = ColumnReader()
    read = reader.read(Parser(ParseSettings(format="auto"), lambda partition, position: "").parse(batch))
    texts = [reader.table.all[key].text for key in read.columns.key.tolist()]
    assert "<SUCCESS>" in texts[0]
    assert "<UNAVAILABLE>" in texts[3]
    assert "<SUCCESS>" not in texts[3]
