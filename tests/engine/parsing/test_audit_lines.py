"""Fields of auditd in hexadecimal digits are decoded, and thousands of commands make few templates."""

import pytest

from engine.offline.export import RecordReader
from engine.steps.parse import ParseSettings

HEAD = b"type=PROCTITLE msg=audit(1710051901.123:%d): proctitle="


@pytest.mark.parametrize(
    ("field", "text"),
    [
        (b"636174002F6574632F736861646F77", 'proctitle="cat /etc/shadow"'),
        (b"62617368", 'proctitle="bash"'),
        (b'"bash"', 'proctitle="bash"'),
        (b"2269742073", 'proctitle="\'it s"'),
        (b"C3A4", 'proctitle="ä"'),
        (b"FF0A", 'proctitle="\\xff\\x0a"'),
        (b"(null)", "proctitle=(null)"),
        (b"ABC", "proctitle=ABC"),
    ],
)
@pytest.mark.parametrize("format", ["auto", "auditd"])
def test_fields_are_decoded(field, text, format, parser_of, batch_of):
    reader = RecordReader(parser_of(ParseSettings(format=format)))
    (record,) = [*reader.add(batch_of([HEAD % 7 + field])), *reader.finish()]
    assert (record["format"], record["message"]) == ("auditd", text)


def test_commands_share_templates(parser_of, batch_of):
    lines = [HEAD % i + f"/bin/cat /srv/{i:x} {'x ' * (i % 7)}".encode().hex().upper().encode() for i in range(500)]
    parsed = parser_of(ParseSettings(format="auto")).parse(batch_of(lines))
    assert len(parsed.good.templates) == 1
