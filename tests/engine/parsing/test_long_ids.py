"""Session keys that are long numbers, decimals or have an exponent keep their digits."""

import pytest

from engine.formats.json_fields import JsonFields
from engine.steps.parse import ParseSettings

SETTINGS = [
    ParseSettings(format=format, json_fields=JsonFields(session=("id", "ctx.id"))) for format in ("json", "auto")
]
by_format = pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: s.format)


@pytest.mark.parametrize(
    "number",
    ["18446744073709551615", "18446744073709551616", "340282366920938463463374607431768211457", "-9223372036854775809",
     "1.10", "1e3", "0.1234567890123456789012"],
)  # fmt: skip
@pytest.mark.parametrize("form", ['"id":%s', '"ctx":{"id":%s}'])
@by_format
def test_the_key_is_what_is_written(number, form, settings, parser_of, batch_of):
    line = ('{"time":"2024-03-10T06:25:01Z","msg":"a",' + form % number + "}").encode()
    parser = parser_of(settings)
    assert parser.take_apart(line, 1_780_000_000 * 10**9).session_key == number
    good = parser.parse(batch_of([line])).good
    assert good.lines.data[int(good.key_start[0]) : int(good.key_end[0])] == number.encode()


@by_format
def test_a_hundred_long_ids_are_a_hundred_sessions(settings, parser_of, batch_of):
    lines = [b'{"time":"2024-03-10T06:25:01Z","msg":"a","id":%d}' % (2**64 + i) for i in range(100)]
    assert len(set(parser_of(settings).parse(batch_of(lines)).good.session.tolist())) == 100
