"""Write docs/formats.md from the registry of formats: `python -m engine.docs.formats`."""

from pathlib import Path

from engine.formats.registry import FORMATS, Format

PAGE = Path(__file__).resolve().parents[2] / "docs" / "formats.md"

_HEAD = """# Log formats

This page is written by `python -m engine.docs.formats` from the registry; do not edit it.

`format = "auto"` in a region's `[parse]` recognises the format of every line. The format that most lines of a source
are written in is found on a sample of its first lines, decided again on every sample after that, and asked first;
sources that mix formats have the format of each line detected. A line of no known format becomes a record of format
`unknown` with the whole line as its message. With a format given by name such lines are dead letters.

The order below is the order of detection. Linux, OpenSSH and Mac of the loghub collection write `syslog`. `levelled`,
`level_first`, `dated`, `dated_zone`, `day_month`, `day_month_zone`, `month_day` and `ctime` are for the many programs
that write a time, a level and a message in their own layout: they match lines that begin with a date in one of
these layouts and match no other format.

Lines that none of these match are tried with `peeled` and `located`: a date and a time in any form, in figures or
with the name of a month, behind numbers, brackets, tags and a level, or behind up to three words. Of dates in figures
alone the first reading that exists counts: year first, then month first if AM or PM follows, day first, month first.

**Level.** A header without a level leaves it to the beginning of the message: a field such as `level=warning`, a tag
(`error: `), a word in capitals, one in brackets (`[warn]`, `<Error>`, `(err):`), a letter (`[E] `, `E! `), or a
severity of syslog behind its facility (`daemon.err`).

**Time.** All times become UTC nanoseconds. Times without a zone are in the zone that the setting `timezone` names.
A missing year is the latest that does not date the line after its arrival (plus `max_future_s`), so
a line of December read in January belongs to the year before; a date left out is found in the same way. Lines without
any time have that of their arrival.

**CEF and LEEF.** The time of the syslog header is used if it is present: all lines of a source are then dated by one
clock and come in its order, while `start` may lie hours before the event was logged. Without such a header it is `rt`,
`start` or `end` of CEF, the first one present, and `devTime` of LEEF: milliseconds since the epoch or `MMM dd [yyyy]
HH:mm:ss[.SSS][ zzz]`, in LEEF also ISO 8601. `devTimeFormat` is not interpreted: a line whose time has another layout
has that of its arrival.

**Stack traces.** In formats marked so, lines that do not parse and look like the rest of a Java stack trace or a Python
traceback belong to the line before them, up to `max_join_lines` and `max_join_bytes`. The record has the time and the
template of its first line; `driftline parse` gives its message whole. In the log of a container (`cri`, `docker`) every
line has a header: its message decides, and it belongs to the record before it in its stream, at most `max_join_lines`
lines further up, those of the other stream included.

**Records over several lines.** Before lines are parsed, these become one line each: documents of JSON that are spread
over lines or stand in an array, the records of a batch (`Records` of CloudTrail and Azure, `logEvents`, OTLP's
`resourceLogs`, lists of Kubernetes), rows below a line `#Fields:` or `#fields` (W3C, Zeek), rows of CSV below the names
of its columns, or whose fields
hold line ends, `java.util.logging`, Samba, .NET's console, slow logs of PHP and MySQL, Windows events, Oracle's alert
log, DB2's diagnostic log, reports of Erlang, the history of apt.
Each record has the position where it begins. What is held comes out after `max_join_wait_s` without a line. In formats
that name such lines, a line with a header of its own may belong to the record before it: PostgreSQL's `DETAIL`, `HINT`
and `STATEMENT`, RabbitMQ's further lines, InnoDB's report on a deadlock. The names of columns above a table, and the
heading that MySQL writes into its logs, give no record.

**auditd.** Fields that it writes in hexadecimal digits, such as `proctitle`, are decoded; the template has `<COMMAND>`
for the whole command.

**Clocks.** In the hour that occurs twice when summer time ends, a step back by over two minutes is the second pass.
One line whose clock is more than ten minutes wrong does not move the watermark of windows; hosts in different zones
within one source are read as if all showed the time of the first.

**Pieces.** Container runtimes write long lines in pieces. In CRI all but the last are marked `P`; Docker's have its 16
KiB and no line end. Pieces of one stream become one record: time and header of the first, the place of the last, the
template and the session key of the whole message. A record that reaches `max_join_bytes` comes out, and what follows
begins another, so that nothing is lost. A shorter `log` without a line end is whole. A source is taken for the log of
one container: of documents with other fields than `log`, `stream`, `time` and `attrs`, which collectors write that mix
containers, each is a record. The wrapper has no level: such a line has the level in its message: klog's letter, a
field `level`, or a word like `ERROR` or `[error]` near its beginning.

**HTTP status.** Templates of access logs name the status, since digits are parameters everywhere else: `<SUCCESS>`,
`<REDIRECTED>`, `<DENIED>` (401, 403, 407), `<MISSING>` (404, 410), `<LIMITED>` (429), `<REFUSED>` (other 4xx),
`<UNAVAILABLE>` (502 to 504), `<ERROR>` (other 5xx). So a server that begins to fail shows in the windows. In lines that
begin with a time the status is what follows a quoted request, a method and its path, or `status=`. In documents it is
in a field whose name ends like `status`, `statusCode` or `responseCode`.

**The journal.** Entries of systemd's journal in its export format (`journalctl -o export`), several lines each, which
may hold binary values, are read as `journald`, up to `max_join_bytes` an entry.

**What lines may hold.** Colour codes, byte order marks and NUL bytes in front are taken out, a final carriage return is
not part of a line, bytes that are not UTF-8 are letters of Windows-1252, and long lines are cut only where their
template is looked for.

## Adding a format

1. Write one entry with its examples next to similar ones in `engine/formats/`: the header as a pattern with named
   groups (listed in `engine/formats/base.py`), or the fields of a document. Time groups state their number of
   digits; everything else must not depend on digits, which is checked when a parser is built.
2. Name it in `FORMATS` in `engine/formats/registry.py`, before the formats that take some of its lines too.
3. Run `python -m engine.docs.formats` and `pytest tests/engine/parsing`, which tests every entry on its examples.

`python -m bench.programs.run --out FOLDER` fetches daemons of Debian's packages, provokes failures, and states how
their logs are read. Formats begin with such a log.

"""


def reference() -> str:
    """The page."""
    rows = "\n".join(
        f"| [`{f.name}`](#{f.name}) | `{_cell(f.expected)}` | {'yes' if f.joins else ''} |" for f in FORMATS.values()
    )
    table = f"| format | layout | stack traces |\n|---|---|---|\n{rows}\n\n"
    return _HEAD + table + "\n".join(_section(format) for format in FORMATS.values())


def _section(format: Format) -> str:
    examples = "\n".join(line.decode().removesuffix("\n") for line in (*format.examples, *format.blocks))
    rules = ", ".join(f"`{name}`" for name in format.sessions)
    sessions = f"Session rules: {rules}; the first is the default.\n" if len(format.sessions) > 1 else ""
    gap = "\n" if sessions else ""
    return f"### {format.name}\n\n```text\n{examples}\n```\n{gap}{sessions}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(reference(), "utf-8")
    print("docs/formats.md written")
