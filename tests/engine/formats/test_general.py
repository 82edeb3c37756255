"""Lines of programs that no format describes by name: their time, level and component are found all the same."""

import pytest

from engine.formats.registry import FORMATS
from engine.parsing.format_detection import FIRST_SAMPLE
from engine.steps.parse import ParseSettings

READ_NS = 1_780_000_000 * 10**9
SECOND = 1_710_051_901  # 2024-03-10 06:25:01 UTC
AUTO = ParseSettings(format="auto")


@pytest.mark.parametrize(
    ("line", "format", "level", "component", "message"),
    [
        (b"2024-03-10 06:25:01,123 INFO  [main] com.example.App - up", "levelled", "info", "com.example.App", "up"),
        (b"2024-03-10 06:25:01,123 [WARN] shop.orders: late", "levelled", "warn", "shop.orders", "late"),
        (b"2024-03-10 06:25:01.123 | ERROR    | a.b:run:17 - failed", "levelled", "error", "", "a.b:run:17 - failed"),
        (b"[2024-03-10 06:25:01,123] {taskinstance.py:1332} INFO - Executing", "levelled", "info", "", "Executing"),
        (b"[2024-03-10 06:25:01 +0000] [7] [INFO] Booting worker", "levelled", "info", "", "Booting worker"),
        (b"[2024-03-10 06:25:01,123: INFO/MainProcess] ready.", "levelled", "info", "", "ready."),
        (b"[2024-03-10 06:25:01,123: ERROR/ForkPoolWorker-12] lost", "levelled", "error", "", "lost"),
        (b"2024-03-10T06:25:01.123Z INFO app::server: listening", "levelled", "info", "app::server", "listening"),
        (b"2024-03-10T06:25:01.123Z\tINFO\tc/a.go:12\tStarting", "levelled", "info", "", "c/a.go:12\tStarting"),
        (b"2024-03-10T06:25:01.123Z info: server up", "levelled", "info", "", "server up"),
        (b"2024-03-10 06:25:01 [info     ] order placed id=17", "levelled", "info", "", "order placed id=17"),
        (b"2024-03-10 06:25:01.123 +00:00 [WRN] disk slow", "levelled", "warn", "", "disk slow"),
        (b"2024-03-10T06:25:01Z DBG cache hit key=17", "levelled", "debug", "", "cache hit key=17"),
        (b"2024-03-10T06:25:01.123Z [warning] disk slow", "levelled", "warn", "", "disk slow"),
        (b"2024-03-10 06:25:01 error opening /dev/sda", "dated", "", "", "error opening /dev/sda"),
        (b"2024-03-10 06:25:01 ERRORS: 17", "dated", "", "", "ERRORS: 17"),
        (b"2024-03-10 06:25:01 - up", "dated", "", "", "up"),
        (b"2024/03/10 06:25:01 http: TLS handshake error", "dated", "", "", "http: TLS handshake error"),
        (b"INFO 2024-03-10 06:25:01,123 views 17 1401 done", "level_first", "info", "", "views 17 1401 done"),
        (b"10-Mar-2024 06:25:01.123 SEVERE [main] a.Main.run up", "day_month", "error", "", "[main] a.Main.run up"),
        (b"10/Mar/2024 06:25:01 [error] down", "day_month", "error", "", "down"),
        (b"Mar 10, 2024 6:25:01 AM org.apache.x.Main has begun", "month_day", "", "", "org.apache.x.Main has begun"),
        (b"[Sun Mar 10 06:25:01 2024] usb 1-1: gone", "ctime", "", "", "usb 1-1: gone"),
    ],
)  # fmt: skip
def test_time_level_and_component(line, format, level, component, message, parser_of, batch_of):
    parser = parser_of(AUTO)
    found = parser.take_apart(line, READ_NS)
    assert (found.format, found.level, found.component, found.message) == (format, level, component, message)
    assert found.time_ns // 10**9 == SECOND
    for _ in range(3):
        parsed = parser.parse(batch_of([line] * 3))
        assert parsed.good.time_ns.tolist() == [found.time_ns] * 3
        assert {parser.formats[number] for number in parsed.rows.format.tolist()} == {format}


@pytest.mark.parametrize(
    ("zone", "seconds"),
    [(b"", -32_400), (b"Z", 0), (b" UTC", 0), (b" +0100", -3600), (b"-02:30", 9000), (b" -", -32_400)],
)
def test_a_zone_is_one_only_with_its_digits(zone, seconds, parser_of, batch_of):
    parser = parser_of(ParseSettings(format="levelled", timezone="Asia/Tokyo"))
    line = b"2024-03-10 06:25:01" + zone + b" INFO up"
    want = (SECOND + seconds) * 10**9
    assert parser.take_apart(line, READ_NS).time_ns == want
    for _ in range(3):
        assert parser.parse(batch_of([line] * 2)).good.time_ns.tolist() == [want] * 2


def test_a_source_of_such_lines_is_not_asked_for_them_before_formats_that_say_more(parser_of, batch_of):
    general, hadoop = FORMATS["levelled"].examples[0], FORMATS["hadoop"].examples[0]
    parser = parser_of(AUTO)
    parser.parse(batch_of([general] * FIRST_SAMPLE))
    for _ in range(3):
        parsed = parser.parse(batch_of([hadoop, general]))
        assert [parser.formats[number] for number in parsed.rows.format.tolist()] == ["hadoop", "levelled"]
