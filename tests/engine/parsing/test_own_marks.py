"""Messages that hold the marks of the miner itself."""

import pytest

from engine.parsing.parse_settings import ParseSettings
from engine.parsing.templates import LITERAL_TEXT


@pytest.mark.parametrize("message", ["<*> <*> <*> done", "<*>", "<NUM> <NUM>", "<IP> <*> <*> <*>", r"<\*> <*>"])
def test_equal_lines_share_a_template(message, parser_of, batch_of):
    parsed = parser_of(ParseSettings(format="raw")).parse(batch_of([message.encode()] * 50))
    assert set(parsed.cluster.tolist()) == {1}
    assert list(parsed.good.templates.values()) == [message.replace("<*>", LITERAL_TEXT)]
