"""The level at the beginning of a message whose header has none, as in containers' logs and syslog."""

import re

from engine.formats.base import LEVELS

_RUN = re.compile(rb"[0-9]+")
_LOOKED_AT = 120  # bytes, with each number as one: behind them a word in capitals is rather part of the message
_KLOG = re.compile(rb"([IWEF])0 0:0:0\.0 +0 [^ \]]+:0\] ")
_KLOG_LEVELS = {b"I": "info", b"W": "warn", b"E": "error", b"F": "fatal"}
_FIELD = re.compile(rb"(?i)(?<![a-z])(?:level|lvl|severity|loglevel|prio)\"? ?[=:] ?\"?([a-z]+)")
_TAG = re.compile(rb"(?i)^(trace|debug|info|notice|warn|warning|error|fatal|critical|panic)0?: ")
_WORD = re.compile(
    rb"(?:^|[\s\[(<|:])(TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERR|ERROR|SEVERE|FATAL|CRIT|CRITICAL|ALERT|EMERG|PANIC"
    rb"|TRC|DBG|INF|WRN|FTL)"
    rb"(?=[\s\])>|:,/-])|\[(trace|debug|info|notice|warn|warning|err|error|fatal|crit|critical)\]"
)


def level_within(message: bytes) -> str:
    """One of the six levels, or "": of klog's letter, a field `level`, or a word at the place of a level.

    Numbers count as one digit each, so lines of one shape have one level.
    """
    head = _RUN.sub(b"0", message)[:_LOOKED_AT]
    if found := _KLOG.match(head):
        return _KLOG_LEVELS[found[1]]
    for pattern in (_FIELD, _TAG, _WORD):
        if found := pattern.search(head):
            level = LEVELS.get(found[found.lastindex or 1].decode().upper(), "")
            if level:
                return level
    return ""
