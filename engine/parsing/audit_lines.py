"""Lines of auditd: fields that it writes in hexadecimal digits, because they hold spaces or quotes, become text."""

import re
from typing import Any

from engine.parsing.record_block import PassedLines, Placed

_ENCODED = re.compile(
    rb" (proctitle|cmd|comm|exe|name|cwd|key|acct|path|dir|data|grp|vm|new-disk|old-disk)"
    rb"=((?:[0-9A-F][0-9A-F])+)(?= |$)"
)
_FIRST = re.compile(rb"(?:node=[^ ]+ )?type=[^ ]+ msg=audit\(")


class AuditKind:
    """See `engine.parsing.record_block.BlockKind`; each line is a record of its own."""

    name = "auditd"
    formats = ("auditd",)

    def begin(self, line: bytes) -> "AuditLine | None":
        """See `BlockKind`."""
        return AuditLine() if _FIRST.match(line) and _ENCODED.search(line) else None

    def restore(self, state: list[Any]) -> "AuditLine":
        """See `BlockKind`."""
        return AuditLine()


class AuditLine(PassedLines):
    """See `engine.parsing.record_block.RecordBlock`."""

    done = True

    def take(self, position: int, line: bytes) -> list[Placed] | None:
        """See `RecordBlock`."""
        return [(position, _ENCODED.sub(_decoded, line))]


def _decoded(field: re.Match[bytes]) -> bytes:
    """The field with its text in quotation marks; arguments of a command are parted by spaces."""
    text = bytes.fromhex(field[2].decode("ascii")).rstrip(b"\0").replace(b"\0", b" ")
    printed = text.decode("utf-8", "backslashreplace").translate({i: f"\\x{i:02x}" for i in range(32)})
    return b' %b="%b"' % (field[1], printed.replace('"', "'").encode())
