"""Times early in a line in the forms that programs write: instant, level and fields, and the same by known shapes."""

import datetime as dt

import pytest

from engine.steps.parse import ParseSettings

AUTO = ParseSettings(format="auto")
READ_NS = 1_780_000_000 * 10**9


def ns(text):
    return int(dt.datetime.fromisoformat(text + "+00:00").timestamp()) * 10**9


@pytest.mark.parametrize(
    ("line", "moment", "level", "component", "message"),
    [
        (b"2024-03-10 06:25:01 PM ERROR app: five", "2024-03-10T18:25:01", "error", "", "app: five"),
        (b"2024-03-10 12:25:01 AM ERROR five", "2024-03-10T00:25:01", "error", "", "five"),
        (b"03/10/2024 06:25:04 PM ERROR five", "2024-03-10T18:25:04", "error", "", "five"),
        (b"3/10/24 6:25:04 PM error: five", "2024-03-10T18:25:04", "error", "", "five"),
        (b"10.03.2024 06:25:01 [ERROR] five", "2024-03-10T06:25:01", "error", "", "five"),
        (b"10/03/2024 06:25:01 - ERROR - five", "2024-03-10T06:25:01", "error", "", "five"),
        (b"03/28/2024 06:25:01 ERROR five", "2024-03-28T06:25:01", "error", "", "five"),
        (b"Sun, 10 Mar 2024 07:25:01 +0100 ERROR five", "2024-03-10T06:25:01", "error", "", "five"),
        (b"Sun Mar 10 06:25:01 UTC 2024 WARN five", "2024-03-10T06:25:01", "warn", "", "five"),
        (b"20240310 06:25:01 ERROR five", "2024-03-10T06:25:01", "error", "", "five"),
        (b"20240310T062501Z ERROR five", "2024-03-10T06:25:01", "error", "", "five"),
        (b"2024-03-10 06:25:01 +03 ERROR five", "2024-03-10T03:25:01", "error", "", "five"),
        (b"2024-03-10T06:25:01-05 ERROR five", "2024-03-10T11:25:01", "error", "", "five"),
        (b"web-1  | 2024-03-10T06:25:01Z ERROR five", "2024-03-10T06:25:01", "error", "web-1", "five"),
        (b"shop: 2024-03-10 06:25:01 ERROR five", "2024-03-10T06:25:01", "error", "shop", "five"),
        (b"  2024-03-10 06:25:01 ERROR five", "2024-03-10T06:25:01", "error", "", "five"),
        (b"2024/03/10 06:25:01 [W] five", "2024-03-10T06:25:01", "warn", "", "five"),
        (b"[W 2024-03-10 06:25:01 App] five", "2024-03-10T06:25:01", "warn", "App", "five"),
        (b"W20240310 06:25:01.0 7 main.cc:12] five", "2024-03-10T06:25:01", "warn", "main.cc:12", "five"),
        (b"2024-03-10 06:25:01.0  7  8 W Tag: five", "2024-03-10T06:25:01", "warn", "Tag", "five"),
        (b"2024 Mar 10 06:25:01 sw %ETHPORT-4-DOWN: five", "2024-03-10T06:25:01", "warn", "ETHPORT", "DOWN: five"),
        (b"2024-03-10 07:25:01 CET ERROR five", "2024-03-10T06:25:01", "error", "", "five"),
        (b"2024-03-10 01:25:01.0 EST [7] ERROR:  five", "2024-03-10T06:25:01", "error", "", "five"),
        (b"Sun Mar 10 07:25:01 CET 2024 ERROR five", "2024-03-10T06:25:01", "error", "", "five"),
        (b"[10-Mar-2024 07:25:01 Europe/Berlin] PHP Warning:  five", "2024-03-10T06:25:01", "warn", "", "five"),
        (b"[10-Jul-2024 08:25:01 Europe/Berlin] PHP Warning:  five", "2024-07-10T06:25:01", "warn", "", "five"),
        (b"Sun 2024-03-10 07:25:01 CET h1 app[7]: five", "2024-03-10T06:25:01", "", "app", "five"),
        (b"# User@Host: app[app] @  [10.0.0.7] # Query_time: 3  Lock_time: 0 SET timestamp=1710051901; SELECT 1;",
         "2024-03-10T06:25:01", "", "", "# Query_time: 3  Lock_time: 0 SET timestamp=1710051901; SELECT 1;"),
        (b"Mar 10 2024 06:25:01 h1 app[7]: five", "2024-03-10T06:25:01", "", "app", "five"),
        (b"[2024-03-10  06:25:01] WARN five", "2024-03-10T06:25:01", "warn", "", "five"),
        (b"  WARN 2024-03-10 06:25:01.0 [main] five", "2024-03-10T06:25:01", "warn", "", "[main] five"),
        (b"1710051901000 ERROR five", "2024-03-10T06:25:01", "error", "", "five"),
        (b"[1710051901000] [main] WARN c.e.Shop - five", "2024-03-10T06:25:01", "warn", "c.e.Shop", "five"),
        (b"1710051901000000: five", "2024-03-10T06:25:01", "", "", "five"),
        (b"1710051901000000000 [error] five", "2024-03-10T06:25:01", "error", "", "five"),
        (b"@4000000065ed530700000000 ERROR five", "2024-03-10T06:28:13", "error", "", "five"),
        (b"2024-03-10T06:25:01Z web-1 ERROR five", "2024-03-10T06:25:01", "error", "", "five"),
        (b"2024-03-10 06:25:01 ip-10-0-0-7 [warn] five", "2024-03-10T06:25:01", "warn", "", "five"),
    ],
)  # fmt: skip
def test_instant_level_and_fields(line, moment, level, component, message, parser_of, batch_of):
    parser = parser_of(AUTO)
    found = parser.take_apart(line, READ_NS)
    assert found.time_ns == ns(moment)
    assert (found.level, found.component, found.message) == (level, component, message)
    for _ in range(3):
        parsed = parser.parse(batch_of([line] * 3))
        assert parsed.good.time_ns.tolist() == [found.time_ns] * 3
        assert {parser.formats[number] for number in parsed.rows.format.tolist()} == {found.format}


@pytest.mark.parametrize(
    ("line", "level"),
    [
        (b"<3>five", "error"),
        (b"<12>app[7]: five", "warn"),
        (b"W/Tag( 17): five", "warn"),
        (b'{"time":"2024-03-10T06:25:01Z","level":{"name":"WARN"},"message":"five"}', "warn"),
    ],
)
def test_levels_without_time(line, level, parser_of):
    assert parser_of(AUTO).take_apart(line, READ_NS).level == level


@pytest.mark.parametrize(
    ("line", "host", "thread"),
    [
        (b"2024-03-10 06:25:01 web-1 ERROR five", "web-1", ""),
        (b"2024-03-10 06:25:01 db3.example.org WARN five", "db3.example.org", ""),
        (b"2024-03-10 06:25:01 worker-1 ERROR five", "", "worker-1"),
        (b"2024-03-10 06:25:01 order-service ERROR five", "", ""),
        (b"2024-03-10 06:25:01 order 18 failed", "", ""),
    ],
)
def test_a_host_is_a_name_with_a_number_in_front_of_a_level(line, host, thread, parser_of):
    fields = parser_of(AUTO).take_apart(line, READ_NS)
    assert (fields.host, fields.thread) == (host, thread)


@pytest.mark.parametrize(
    "line", [b"4006381333931 scanned", b"12 errors found", b"123456789012 rows", b"@someone hello", b"@deadbeef hello"]
)
def test_other_numbers_and_marks_are_not_times(line, parser_of):
    fields = parser_of(AUTO).take_apart(line, READ_NS)
    assert (fields.format, fields.time_ns, fields.message) == ("unknown", READ_NS, line.decode())
