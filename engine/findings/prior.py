"""Prior severity of a line, from its level, its words and its HTTP status.

It ranks findings sensibly from a source's first minute, and needs no training. The rules of
`models.classify.rules` add the severity of the seven kinds.
"""

from dataclasses import dataclass
from functools import cache

from engine.formats.base import LEVEL_NAMES
from foundation.documents.alert import Severity
from models.classify.base import CLASSES, NORMAL, Lines
from models.classify.rules import Rules, RulesSettings
from models.text.severity import STATUS_SEVERITY, word_severity

MAX_SEVERITY = 4.0

_FROM: tuple[tuple[float, Severity], ...] = ((3.25, "critical"), (2.0, "high"), (1.25, "medium"), (0.75, "low"))

_LEVEL = {"": 0.0, "trace": 0.0, "debug": 0.0, "info": 0.0, "warn": 1.25, "error": 2.5, "fatal": 3.25}

_AGREEMENT = 0.1
"""Weight of the weaker of level and words, so that lines of one level are ranked by their words.

On the lines of BGL the AUC is .945 by the level alone, .944 by the stronger of both, and .961 with this.
"""


def status_severity(status: str) -> float:
    """How bad a status sounds, by its name as templates have it (`<ERROR>`)."""
    return STATUS_SEVERITY.get(status, 0.0)


@dataclass(frozen=True, slots=True)
class Judgement:
    """How bad a template sounds.

    Attributes:
        severity: 0 (harmless) to `MAX_SEVERITY`.
        kind: Class of `models.classify.base.CLASSES`, "normal" where nothing speaks against it.
        why: The word, level or status that decided, for people; "" for a harmless one.
    """

    severity: float
    kind: str
    why: str


@cache
def _rules() -> Rules:
    return Rules(RulesSettings())


def severity_name(severity: float) -> Severity:
    """The name of a severity of `Judgement`."""
    return next((name for least, name in _FROM if severity >= least), "info")


def judge(text: str, level: int, component: str = "", *, status: str = "") -> Judgement:
    """How bad a message sounds.

    Args:
        text: The message, or its template.
        level: Index into `LEVEL_NAMES`.
        component: Program or logger that wrote it.
        status: Name of the HTTP status as templates have it (`<ERROR>`); the text is then not looked at, because
            paths may hold any word.
    """
    name = LEVEL_NAMES[level]
    if status:
        return Judgement(status_severity(status), _kind_of_status(status), f"status {status[1:-1].lower()}")
    severity, why = _LEVEL[name], f"level {name}" if _LEVEL[name] else ""
    words = word_severity(text, quiet=name in ("info", "debug", "trace"))
    both = _AGREEMENT * min(severity, words[0])
    severity, why = max((severity, why), words, key=lambda s: s[0])
    severity += both
    judged = _rules().judge(Lines((text,), (text,), (name,), ("",), (component,)))[0]
    kind = "normal"
    if judged.rule is not None:
        rule = _rules().rules[judged.rule]
        kind = rule.class_
        if CLASSES.index(kind) != NORMAL and severity < 1.5 + rule.confidence:
            severity, why = max(severity, 1.0 + rule.confidence), why or f"rule '{rule.name}'"
    return Judgement(min(severity, MAX_SEVERITY), kind, why)


def _kind_of_status(status: str) -> str:
    if status in ("<DENIED>",):
        return "security_anomaly"
    return "system_failure" if status in ("<UNAVAILABLE>", "<ERROR>") else "normal"
