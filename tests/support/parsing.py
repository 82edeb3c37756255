"""Parsers over hand-made batches, next to the plain way: patterns and Drain3 only."""

import random
from collections.abc import Iterable, Sequence

import numpy as np

from bench.peers.guarded_drain import miner_of
from connectors.base import LineBatch
from engine.compiled.session_key import hash_key
from engine.formats.http_status import name_status
from engine.formats.registry import FORMATS
from engine.parsing.continuation import CONTINUATION, WITHIN
from engine.parsing.record_blocks import RecordBlocks
from engine.parsing.template_rules import template_rules
from engine.parsing.templates import LITERAL_TEXT, OVERFLOW_TEXT
from engine.steps.parse import BadLineError, Parser, ParseSettings
from models.base import template_id

READ_NS = 1_780_000_000 * 10**9  # 2026-05-28


def make_batch(lines: Sequence[bytes], first: int = 0, read_ns: int = READ_NS) -> LineBatch:
    ends = np.cumsum([len(line) + 1 for line in lines], dtype=np.int64) - 1
    positions = np.arange(first, first + len(lines), dtype=np.int64)
    return LineBatch("p", b"".join(line + b"\n" for line in lines), ends, positions, read_ns, read_ns)


class Answers:
    """A parser's results for a stream, line by line, independent of its batches."""

    def __init__(self) -> None:
        self.good: list[tuple[int, int, int, int, bytes]] = []  # row, time, template, session, key
        self.cluster: list[int] = []
        self.bad: list[tuple[str, str]] = []
        self.texts: dict[int, str] = {}


def feed(parser: Parser, lines: Sequence[bytes], cuts: Iterable[int] = (), first: int = 0) -> Answers:
    answers, start = Answers(), 0
    for end in [*sorted(cuts), len(lines)]:
        parsed = parser.parse(make_batch(lines[start:end], first + start))
        columns = (
            parsed.good.rows,
            parsed.good.time_ns,
            parsed.good.template,
            parsed.good.session,
            parsed.good.key_start,
            parsed.good.key_end,
        )
        positions = parsed.good.lines.positions.tolist()
        for row, time, template, session, a, b in zip(*(c.tolist() for c in columns), strict=True):
            answers.good.append((positions[row], time, template, session, parsed.good.lines.data[a:b]))
        answers.cluster += parsed.cluster.tolist()
        answers.bad += [(letter.place, letter.reason) for letter in parsed.good.bad]
        assert not set(answers.texts) & set(parsed.good.templates)
        answers.texts |= parsed.good.templates
        assert set(parsed.good.template.tolist()) <= set(answers.texts)
        start = end
    assert all(template_id(text) == identity for identity, text in answers.texts.items())
    return answers


def new_parser(settings: ParseSettings, snapshot: bytes | None = None) -> Parser:
    return Parser(settings, lambda partition, position: f"{partition}:{position}", snapshot=snapshot)


def expected(settings: ParseSettings, lines: Sequence[bytes]) -> Answers:
    """The same answers by the plain way: one record after the other, patterns and Drain3 only."""
    answers, parser, entry = Answers(), new_parser(settings), FORMATS[settings.format]
    miner = miner_of(template_rules(entry, settings), guarded=True)
    streams = entry.streams
    joins, size, last = {"": False}, {"": 0}, ""
    follows, same = entry.follows, ""

    def continues(stream: str, text: bytes, belongs: bool = False) -> bool:
        fits = joins.get(stream, False) and size[stream] + len(text) <= settings.max_join_bytes
        found = fits and bool(belongs or CONTINUATION.match(text) or (size[stream] and WITHIN.match(text)))
        size[stream] = size.get(stream, 0) + (len(text) if found else 0)
        return found

    records = RecordBlocks(settings.format).join(make_batch(lines))
    for row, position in enumerate(records.positions.tolist()):
        line = records.line(row)
        try:
            fields = parser.take_apart(line, READ_NS)
        except BadLineError as reason:
            if not continues(last, line, entry.keeps):
                last, joins[""] = "", False
                answers.bad.append((f"p:{position}", str(reason)))
            continue
        if follows is not None:
            before, match = same, follows.match(line)
            same = "" if match is None else match["same"].decode("latin-1")
            again = match and same == before and (match.lastgroup == "more" or follows.groups == 1)
            if again and continues(last, line, belongs=True):
                continue
        last = fields.component if fields.component in streams else ""
        if last and continues(last, fields.message.encode("utf-8", "surrogatepass")):
            continue
        joins[last], size[last] = entry.joins or entry.keeps, 0
        message = name_status(fields.message) if entry.http else fields.message
        tokens = (LITERAL_TEXT if token == OVERFLOW_TEXT else token for token in miner.masker.mask(message).split())
        cluster, _ = miner.drain.add_log_message(" ".join(tokens))
        identity = template_id(cluster.get_template())
        answers.texts[identity] = cluster.get_template()
        key = fields.session_key.encode("utf-8", "surrogatepass")
        answers.good.append((position, fields.time_ns, identity, hash_key(key), key))
        answers.cluster.append(cluster.cluster_id)
    answers.good = dated(answers.good)
    return answers


def dated(records: Sequence[tuple[int, int, int, int, bytes]]) -> list[tuple[int, int, int, int, bytes]]:
    """Records with the time of the one before, or at the head of the next, where they have that of reading."""
    times = [time for _, time, *_ in records if READ_NS != time <= READ_NS + 86_400 * 10**9]
    last, found = times[0] if times else READ_NS, []
    for position, time, *rest in records:
        last = time if READ_NS != time <= READ_NS + 86_400 * 10**9 else last
        found.append((position, last if time == READ_NS else time, *rest))
    return found


def mutate(line: bytes, rng: random.Random) -> bytes:
    """A line with a few random injuries; most often only its digits change."""
    out = bytearray(line)
    for _ in range(rng.choice((0, 0, 1, 1, 2, 4))):
        at = rng.randrange(len(out) + 1)
        kind = rng.randrange(12)
        if kind < 4 and at < len(out) and 48 <= out[at] <= 57:
            out[at] = rng.randrange(48, 58)
        elif kind < 6:
            out[at:at] = str(rng.randrange(10 ** rng.randrange(1, 22))).encode()
        elif kind < 7:
            del out[at : at + rng.randrange(1, 4)]
        elif kind < 8:
            out[at:at] = rng.choice((b"\xff", b"\x00", b"\xc3\x28", b"\r", b" ", b"-", b":", b"\xd9\xa3", b"<*>", b"a"))
        elif kind < 9:
            out = out[:at]
        elif kind < 10:
            out += rng.choice((b"\r", b" ", b" 17", b" x" * rng.randrange(1, 9)))
        else:
            out = bytearray(bytes(rng.randrange(48, 58) if 48 <= c <= 57 and i > 20 else c for i, c in enumerate(out)))
    return bytes(out).replace(b"\n", b" ")
