"""How bad the words of a message sound, without any training."""

import re

_DIED = re.compile(
    r"(?i)\bout of memory|\boom\b|oom-kill|outofmemory|cannot allocate memory|\bpanic|segfault|segmentation fault"
    r"|core dumped|killed process|no space left|disk full|i/o error|\bcorrupt|\bfatal\b|traceback|unhandled|uncaught"
    r"|deadlock|data loss|read-only file ?system|\bcrash|\babort|stack ?overflow|status=(?:\d+|<NUM>)/?kill"
    r"|\bemergency\b|hardware error|machine check|too many open files|back-off restarting|\bhung\b|\bhang\b"
    r"|\bstalled\b|lockup|\bsigkill\b|\bsigsegv\b"
)
_FAILED = re.compile(
    r"(?i)\b(?:errors?|fail(?:s|ed|ing|ures?)?|exceptions?|cannot|can't|unable|could not|couldn't|refused|timed? ?out"
    r"|timeouts?|denied|unreachable|unavailable|invalid|rejected|expired|exceeded|broken|lost|dead|died|unhealthy"
    r"|unauthorized|forbidden|violation|bad|critical|severe|alert|illegal|unexpected|reset by peer|not responding"
    r"|no route|mismatch|overflow|overrun|exhausted|full)\b"
    r"|(?<=[a-z])(?:Exception|Error|Failure|Timeout)\b|\b\w+_(?:error|fail(?:ed|ure)?)\b"
)
_UNWELL = re.compile(
    r"(?i)\b(?:warn(?:ings?)?|retr(?:y|ies|ying|ied)|slow|missing|not found|degraded|dropped|dropping"
    r"|disconnect(?:ed)?|restart(?:ed|ing)?|terminat(?:ed|ing)|killed|stopped|stale|skipp(?:ed|ing)|interrupted|backoff"
    r"|back-off|throttl\w+|blocked|closed|down|deprecated|ignor(?:ed|ing)|late|behind|suspect\w*|over ?load\w*)\b"
)
_FINE = re.compile(
    r"(?i)\b(?:no|0|without|zero) (?:\w+ )?(?:errors?|failures?|problems?|warnings?)\b"
    r"|\b(?:errors?|fail(?:ed|ures?)|warnings?)\s*[=:]\s*(?:0|<NUM>)\b"
    r"|\bsuccess(?:ful|fully)?\b|\bsucceeded\b|\brecovered\b|\b(?:back )?online\b"
)
STATUS_SEVERITY = {
    "<UNAVAILABLE>": 3.0,
    "<ERROR>": 3.0,
    "<LIMITED>": 1.75,
    "<DENIED>": 1.25,
    "<REFUSED>": 1.0,
    "<MISSING>": 0.75,
}
"""Severity of a request by the name of its HTTP status as templates have it, the worst first."""
_UNWELL_SEVERITY, _WITHOUT_LEVEL = 1.0, 0.5
_FAILED_STATUS = re.compile("|".join(STATUS_SEVERITY))


def word_severity(text: str, *, quiet: bool = False) -> tuple[float, str]:
    """How bad the worst words of a message sound, and which they are.

    Args:
        text: The message, or its template.
        quiet: Whether the program calls the line information; it is then half believed.

    Returns:
        Severity from 0 (harmless) to 3.5 (a program died), and the word for people; "" for a harmless message.
    """
    factor = 0.6 if quiet else 1.0
    fine = _FINE.search(text) is not None
    for pattern, severity in ((_DIED, 3.5), (_FAILED, 2.25), (_UNWELL, _UNWELL_SEVERITY)):
        if found := pattern.search(text):
            return severity * factor * (0.3 if fine else 1.0), f"word '{found[0].strip()}'"
    return 0.0, ""


def failed_status(text: str) -> str:
    """The first HTTP status in a template that is a failure (`<ERROR>`), "" without one."""
    found = _FAILED_STATUS.search(text)
    return found[0] if found else ""


def template_severity(text: str) -> float:
    """How bad a template sounds: by its HTTP status if that is a failure, because paths may hold any word."""
    if status := failed_status(text):
        return STATUS_SEVERITY[status]
    severity, _ = word_severity(text)
    # Sessions close and hosts go down every day; without a level, such a word alone says little.
    return severity if severity > _UNWELL_SEVERITY else severity * _WITHOUT_LEVEL
