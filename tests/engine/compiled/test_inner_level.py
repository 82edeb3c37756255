"""Levels of messages whose header has none, and of lines that a container runtime wrapped."""

import random
import re
import uuid

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.compiled.inner_level import level_within
from engine.formats.base import LEVEL_NAMES, LEVELS
from engine.steps.parse import ParseSettings

READ_NS = 1_780_000_000 * 10**9
CASES = [
    (b"2024-03-10 06:25:01,123 ERROR [main] com.example.App - failed", "error"),
    (b"2024-03-10T06:25:01.123Z  WARN 1 --- [main] c.e.App : slow", "warn"),
    (b"I0310 06:25:01.123456       1 controller.go:132] synced", "info"),
    (b"E0310 06:25:01.123456   12345 reflector.go:138] failed to list", "error"),
    (b'time="2024-03-10T06:25:01Z" level=warning msg="slow"', "warn"),
    (b'{"level":"error","ts":1710051901.123,"msg":"boom"}', "error"),
    (b"[2024-03-10 06:25:01 +0000] [7] [CRITICAL] out of workers", "fatal"),
    (b"2024/03/10 06:25:01 [error] 31#31: *1 open() failed", "error"),
    (b"4711: error : virNetSocketReadWire:1805 : End of file", "error"),
    (b"error    : 'nginx' process is not running", "error"),
    (b"[ 611 ] {} <Information> Application: Ready", "info"),
    (b"Puppet (err): Could not retrieve catalog", "error"),
    (b"imap(alice)<17><x>: Error: open() failed", "error"),
    (b"NOTICE[2211] chan_sip.c: Registration failed", "info"),
    (b"cpu1:2097)WARNING: NMP: awaiting fast path state update", "warn"),
    (b"web-1 daemon.err shop[7]: no stock", "error"),
    (b"local7.warning: no stock", "warn"),
    (b"production.ERROR: no stock", "error"),
    (b"[E] order 18 failed", "error"),
    (b"(10:00:01) warning: slow", "warn"),
    (b"E! [outputs.influxdb] connection refused", "error"),
    (b"W [MSGID: 101019] [xlator.c:623:init] 0-shop: slow", "warn"),
    (b"E core/framework/op.cc:1827] no device", "error"),
    (b"W 4711 4712] (raylet) slow", "warn"),
    (b"17.301s error: out of disk", "error"),
    (b"[node1: config: raid.disk.missing:error]: Disk is missing", "error"),
    (b"[error||17 |VM.start] failed", "error"),
    (b"mod_posix\twarn\tReceived SIGTERM", "warn"),
    (b"system,error,critical login failure", "error"),
    (b"<17> Error    Failed to connect", "error"),
    (b"T:17    warning <general>: no addon", "warn"),
    (b"<local3.info> web-1 event: CLIENT", "info"),
    (b'"app","shop",seg-1,,"ERROR","42P01"', "error"),
    (b"npm ERR! code E404", "error"),
    (b"cmd/git.go:17:Run() [E] exit status 128", "error"),
    (b'worker|head|W|host "x" is slow', "warn"),
    (b"a warning of two  words", ""),
    (b"I am, or was, here", ""),
    (b"no ERRORS were found", ""),
    (b"no (error) and mail.errors", ""),
    (b"an error without a mark", ""),
    (b"level up", ""),
    (b"x" * 130 + b" ERROR late", ""),
    (b"\xff\xfe", ""),
    (b"", ""),
]


@pytest.mark.parametrize(("message", "level"), CASES)
def test_level_of_what_was_wrapped(message, level):
    assert level_within(message) == level


@pytest.mark.parametrize("format", ["cri", "auto"])
def test_wrapped_lines_have_the_level_of_what_is_in_them(format, parser_of, batch_of):
    lines = [b"2024-03-10T06:25:01.123456789Z stdout F " + message for message, _ in CASES if message]
    wanted = [level for message, level in CASES if message]
    parser = parser_of(ParseSettings(format=format))
    for _ in range(3):
        parsed = parser.parse(batch_of(lines))
        assert [LEVEL_NAMES[code] for code in parsed.level().tolist()] == wanted
    assert [parser.take_apart(line, READ_NS).level for line in lines] == wanted


def test_ids_before_a_level_do_not_move_it_for_other_lines(parser_of, batch_of):
    ids = [uuid.UUID(int=random.Random(i).getrandbits(128)) for i in range(200)]
    lines = [b"2024-03-10T06:25:01.123456789Z stdout F " + b"x" * 88 + b" %s ERROR late" % str(i).encode() for i in ids]
    parser = parser_of(ParseSettings(format="cri"))
    for _ in range(3):
        parsed = parser.parse(batch_of(lines))
        levels = [LEVEL_NAMES[code] for code in parsed.level().tolist()]
        assert levels == [parser.take_apart(line, READ_NS).level for line in lines]
    assert {"", "error"} == set(levels)


def test_dockers_lines_too(parser_of, batch_of):
    texts = [(message.decode(), level) for message, level in CASES[:8]]
    lines = [
        orjson.dumps({"log": text + "\n", "stream": "stderr", "time": "2024-03-10T06:25:01.123456789Z"})
        for text, _ in texts
    ]
    parser = parser_of(ParseSettings(format="docker"))
    parsed = parser.parse(batch_of(lines))
    assert [LEVEL_NAMES[code] for code in parsed.level().tolist()] == [level for _, level in texts]


KLOG = re.compile(rb"([IWEF])0 0:0:0\.0 +0 [^ \]]+:0\] ")
FIELD = re.compile(rb"(?i)(?<![a-z])(?:level|lvl|severity|loglevel|prio)\"? ?[=:] ?\"?([a-z]+)")
LETTER = re.compile(rb"([TDIWEF])(?:! | \[)|\[([TDIWEF])\] |([IWEF]) (?:[^ \]]*[A-Za-z][./][A-Za-z]|0[0 ]*\] )")
LETTER_WITHIN = re.compile(rb"(?s)(?<=.\|)([DIWEF])(?=\|)|(?<= \[)([DIWEF])(?=\] )")
_TAGS = rb"(?i:trace|debug|info|notice|warn|warning|error|fatal|critical|panic)"
TAG = re.compile(rb"(?i)^[^a-z]*(?:(?<=0)[a-z]+(?![a-z])[^a-z]*)*?(?<![a-z])(" + _TAGS + rb")0? *: ")
_WORDS = "trace debug info notice warn warning err error fatal crit critical alert emerg panic".split()
_CAPITALS = b"(" + "|".join([*_WORDS, "severe", "trc", "dbg", "dbug", "inf", "wrn", "ftl"]).upper().encode() + b")"
_BRACKETED = b"((?i:" + "|".join([*_WORDS, "information", "emergency"]).encode() + b"))"
_FACILITY = rb"(?i:kern|user|mail|daemon|auth|authpriv|syslog|lpr|news|uucp|cron|ftp|local)"
_PLACES = (
    rb"(?<![^\s\[(<|:)])" + _CAPITALS + rb"(?=[\s\])>|:,/\[!-])",
    rb"(?<=,\")" + _CAPITALS + rb"(?=\",)",
    rb"(?<=\.)" + _CAPITALS + rb"(?=:)",
    *(
        before + _BRACKETED + after
        for before, after in (
            (rb"(?<=\[)", rb"(?=\])"), (rb"(?<=<)", rb"(?=>)"), (rb"(?<=\()", rb"(?=\):)"), (rb"(?<=\t)", rb"(?=\t)"),
            (rb"(?<=,)", rb"(?=,)"), (rb"(?<=\[)", rb"(?=\|)"), (rb"(?<=:)", rb"(?=\])"),
            (rb"(?:(?<= )|^)", rb"(?= <)"), (rb"(?<=[:\])>|-] )", rb"(?=  )"),
        )
    ),
    rb"(?<=[:\])>|-] )(" + _TAGS + rb")(?=: )",
    rb"(?<![A-Za-z])" + _FACILITY + rb"0?\.((?i:" + "|".join(sorted(LEVELS)).encode() + rb"))(?=[ :>])",
)  # fmt: skip
NAME = re.compile(b"|".join(_PLACES))


def by_patterns(message: bytes) -> str:
    """The level as regular expressions find it."""
    head = re.sub(rb"[0-9]+", b"0", message)[:120]
    if found := KLOG.match(head):
        return {b"I": "info", b"W": "warn", b"E": "error", b"F": "fatal"}[found[1]]
    if found := LETTER.match(head):
        return _of_letter(found)
    for pattern in (FIELD, TAG, NAME):
        if (found := pattern.search(head)) and (level := LEVELS.get(found[found.lastindex or 1].decode().upper(), "")):
            return level
    found = LETTER_WITHIN.search(head)
    return _of_letter(found) if found else ""


def _of_letter(found: re.Match[bytes]) -> str:
    return dict(zip("TDIWEF", LEVEL_NAMES[1:], strict=True))[found[found.lastindex or 0].decode()]


WORDS = [
    *LEVELS,
    *map(str.lower, LEVELS),
    "Warning",
    "level",
    "LVL",
    "severity",
    "loglevel",
    "prio",
    "mylevel",
    "daemon",
    "local",
    "x",
    "12",
    "0",
]
MARKS = [
    *" \t[](){}<>|:,/-=\"'._0\0!E",
    "é",
    ": ",
    '="',
    '" : "',
    "I0310 06:25:01.123456  1 c.go:132] ",
    "x" * 50,
    "7" * 130,
]


@settings(max_examples=2000)
@given(st.lists(st.sampled_from(WORDS + MARKS * 2), max_size=12).map("".join).map(str.encode))
@example(b"level=none level=error")
@example(b"level: [error] x")
@example(b"warning0: ERROR x")
@example(b"[ERROR] [warn]")
@example(b"I0310 06:25:01.123456  1 a b:132] ")
@example(b"E0310 06:25:01.123456 1 :132] x")
@example(b"x" * 116 + b" ERR")
@example(b"x" * 115 + b" ERR ")
@example(b"x" * 108 + b" level=error")
def test_levels_are_those_that_patterns_find(message: bytes) -> None:
    assert level_within(message) == by_patterns(message)
