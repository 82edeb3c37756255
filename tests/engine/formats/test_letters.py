"""Logs of programs that do not write UTF-8, and of several programs of which one does not."""

import pytest

from engine.formats.letters import text_of
from engine.steps.parse import ParseSettings


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"caf\xe9 ouvert", "café ouvert"),
        ("été".encode() + b" \xe9t\xe9", "été été"),
        (b"\x80 5 \x96 \x93quoted\x94", "€ 5 \u2013 “quoted”"),
        (b"no letter of that page: \x81", "no letter of that page: \x81"),
        (b"cut in a character \xe2\x82", "cut in a character â\u201a"),
        (b"plain", "plain"),
    ],
)
def test_bytes_that_are_not_utf8_are_letters(raw, text):
    assert text_of(raw) == text


@pytest.mark.parametrize(
    "line",
    [
        b"2024-03-10 06:25:01 ERROR d\xe9marrage \xe9chou\xe9",
        b'{"time":"2024-03-10T06:25:01Z","level":"error","message":"d\xe9marrage \xe9chou\xe9"}',
        b'time=2024-03-10T06:25:01Z level=error msg="d\xe9marrage \xe9chou\xe9"',
        b"<3>d\xe9marrage \xe9chou\xe9",
    ],
)
def test_the_words_of_a_template_keep_them(line, parser_of, batch_of):
    parsed = parser_of(ParseSettings()).parse(batch_of([line, line]))
    assert set(parsed.good.templates.values()) == {"démarrage échoué"}
    assert parsed.fields(0).level == "error"
