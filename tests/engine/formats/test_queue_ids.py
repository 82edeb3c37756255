"""Ids of mail queues are one variable, so that a template is one for all of them."""

import pytest

from engine.steps.parse import ParseSettings

IDS = ["1EA252AE6FD", "3F2504E0A1", "4Xyz12AbCdz9Kq", "x2A6P1bC012345"]


@pytest.mark.parametrize("rest", ["client=localhost[10.0.0.7]", "removed", "to=<a@example.com>, status=deferred"])
def test_one_template_for_all_ids(rest, parser_of, batch_of):
    lines = [f"Mar 10 06:25:01 h1 postfix/smtpd[4711]: {queue}: {rest}".encode() for queue in IDS * 2]
    for format in ("auto", "syslog"):
        parsed = parser_of(ParseSettings(format=format)).parse(batch_of(lines))
        assert len(set(parsed.good.template.tolist())) == 1
        (text,) = parsed.good.templates.values()
        assert text.startswith("<ID> ")


def test_words_are_no_ids(parser_of, batch_of):
    line = b"Mar 10 06:25:01 h1 postfix/anvil[7]: statistics: max connection rate 1/60s"
    (text,) = parser_of(ParseSettings(format="syslog")).parse(batch_of([line])).good.templates.values()
    assert text.startswith("statistics: max connection rate")
