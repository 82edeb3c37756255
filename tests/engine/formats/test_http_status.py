"""Access logs: the status decides about the template, and costs no speed."""

import time
from unittest.mock import Mock

import pytest

from engine.formats.http_status import name_status
from engine.formats.registry import FORMATS
from engine.parsing.header import HeaderReader
from engine.parsing.template_rules import masked_message
from engine.steps.parse import ParseSettings

READ_NS = 1_780_000_000 * 10**9
COMBINED = b'10.0.0.7 - - [10/Mar/2024:06:25:01 +0000] "GET /orders/%d HTTP/1.1" %d 612 "-" "curl/7.81.0"'


@pytest.mark.parametrize(
    ("message", "named"),
    [
        ('"GET / HTTP/1.1" 200 612', '"GET / HTTP/1.1" <SUCCESS> 612'),
        ('"GET / HTTP/1.1" 304 -', '"GET / HTTP/1.1" <REDIRECTED> -'),
        ('"GET / HTTP/1.1" 403 9', '"GET / HTTP/1.1" <DENIED> 9'),
        ('"GET / HTTP/1.1" 404 9', '"GET / HTTP/1.1" <MISSING> 9'),
        ('"GET / HTTP/1.1" 429 9', '"GET / HTTP/1.1" <LIMITED> 9'),
        ('"GET / HTTP/1.1" 499 0', '"GET / HTTP/1.1" <REFUSED> 0'),
        ('"GET / HTTP/1.1" 503 9', '"GET / HTTP/1.1" <UNAVAILABLE> 9'),
        ('"GET / HTTP/1.1" 500 9', '"GET / HTTP/1.1" <ERROR> 9'),
        ('"GET /a\\"b 500 c HTTP/1.1" 200 503', '"GET /a\\"b 500 c HTTP/1.1" <SUCCESS> 503'),
        ('"-" 000 0', '"-" 000 0'),
        ('"GET / HTTP/1.1" 2000 9', '"GET / HTTP/1.1" 2000 9'),
        ("no request 500 9", "no request 500 9"),
    ],
)
def test_names_of_statuses(message, named):
    assert name_status(message) == named


@pytest.mark.parametrize("format", ["auto", "access_combined"])
def test_templates_tell_statuses_apart_though_the_lines_have_one_shape(format, parser_of, batch_of):
    parser = parser_of(ParseSettings(format=format))
    codes = [200, 201, 500, 503, 403, 404, 200, 500]
    for _ in range(3):
        parsed = parser.parse(batch_of([COMBINED % (i, code) for i, code in enumerate(codes)]))
        of = dict(zip(codes, parsed.good.template.tolist(), strict=True))
        assert len(set(of.values())) == 5
        assert of[200] == of[201]
        assert parsed.good.template.tolist() == [of[code] for code in codes]


def test_no_line_is_left_to_re_whatever_its_status(parser_of, batch_of, monkeypatch):
    parser = parser_of(ParseSettings(format="access_combined"))
    asked = Mock()
    monkeypatch.setattr(HeaderReader, "match", asked)
    for _ in range(3):
        parser.parse(batch_of([COMBINED % (i, code) for i in range(50) for code in (200, 500, 404)]))
    assert asked.call_count == 0


def test_classifiers_see_the_status():
    message = '"GET /orders/17 HTTP/1.1" 503 612'
    assert masked_message("access_common", message) == '"GET /orders/<NUM> HTTP/<NUM>.<NUM>" <UNAVAILABLE> <NUM>'
    assert masked_message("syslog", message).endswith('" <NUM> <NUM>')
    assert masked_message("json", "handled request status=503") == "handled request status=<UNAVAILABLE>"
    assert {name: FORMATS[name].http for name in ("access_common", "haproxy_http", "json", "logfmt", "syslog")} == {
        "access_common": True, "haproxy_http": True, "json": True, "logfmt": True, "syslog": False,
    }  # fmt: skip


def test_the_client_of_a_site_with_a_very_long_name_is_found_in_one_go(parser_of, batch_of):
    line = b"s" * 60_000 + b':443 10.0.0.7 - - [10/Mar/2024:06:25:01 +0000] "GET / HTTP/1.1" 200 612'
    parser = parser_of(ParseSettings(format="access_common", session_key="client"))
    start_s = time.process_time()
    parsed = parser.parse(batch_of([line]))
    assert time.process_time() - start_s < 2, "the time grows with the square of the name"
    assert parsed.good.lines.data[int(parsed.good.key_start[0]) : int(parsed.good.key_end[0])] == b"10.0.0.7"
