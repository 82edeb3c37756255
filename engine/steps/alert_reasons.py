"""The text of an alert: its reasons, its severity, and one sentence.

A window's score measures how unusual it is, not the reason and not the severity. The reasons name the templates that
made it news (not shown by earlier alerts of its episode, not in normal windows before), the one that
sounds worst first. Severity is judged from their texts by general knowledge
(`engine.findings.prior`): failure words, HTTP statuses, and the rules for the seven kinds.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from engine.findings.prior import Judgement, judge, severity_name
from engine.records import Decision
from foundation.documents.alert import SEVERITIES, Reason, Severity
from foundation.documents.base import template_id_text
from models.text.severity import failed_status

MAX_REASONS = 5
"""Templates named as reasons."""

LOWEST: Severity = "low"
"""Minimum severity of an alert: its window is unusual even if its lines look harmless."""
_NEXT_TO_NOTHING = 1e-37
"""A threshold below it is the least number above 0: the model knows only windows that score 0."""

_NO_LEVEL = 0
_REMEMBERED = 10_000
"""Templates whose judgement is remembered."""


@dataclass(frozen=True, slots=True)
class AlertText:
    """The fields of an alert that are written for people."""

    summary: str
    severity: Severity
    reasons: list[Reason]


class AlertWords:
    """Words for alerts; judgements of template texts are remembered."""

    def __init__(self, text: Callable[[int], str]) -> None:
        """Takes what gives a template's text, redacted, by its id."""
        self._text = text
        self._judgement = lru_cache(_REMEMBERED)(self._judge)

    def describe(
        self, decision: Decision, counts: Mapping[int, int], *, score: float, where: str, top_lines: Sequence[str] = ()
    ) -> AlertText:
        """The texts of one alert.

        Args:
            decision: Decision on the window.
            counts: Lines of the window by template.
            score: Score of the window.
            where: Session or source, for the sentence.
            top_lines: Template texts of the lines that add most to the score, the largest first, where known.
        """
        news = sorted((t for t in decision.news if t in counts), key=self._severity, reverse=True)
        gravest = max(counts, key=self._severity, default=None)
        worst = 0.0 if gravest is None else self._severity(gravest)
        cause = next(iter(top_lines), "") or ("" if gravest is None else self._text(gravest))
        reasons = [self._new(t, counts[t]) for t in news[:MAX_REASONS]]
        reasons.append(
            {
                "kind": "score",
                "sentence": f"the window scores {score:.3g}; {_start(decision.threshold)}",
                "template": "" if news else cause,
                "observed": score,
                "usual": decision.threshold,
                "unit": "score",
            }
        )
        if news:
            more = f" (and {len(news) - 1} more)" if len(news) > 1 else ""
            summary = f"{where}: lines not seen in normal windows: {self._text(news[0])}{more}"
        else:
            summary = f"{where}: unusual window of {sum(counts.values())} lines: {cause}"
        return AlertText(summary, max(severity_name(worst), LOWEST, key=SEVERITIES.index), reasons)

    def _new(self, template: int, count: int) -> Reason:
        why = self._judgement(template).why
        sentence = f"{count} line{'' if count == 1 else 's'}, none in normal windows before"
        return {
            "kind": "new",
            "sentence": f"{sentence}; {why}" if why else sentence,
            "template": self._text(template),
            "template_id": template_id_text(template),
            "observed": float(count),
            "usual": 0.0,
            "unit": "lines",
        }

    def _severity(self, template: int) -> float:
        return self._judgement(template).severity

    def _judge(self, template: int) -> Judgement:
        text = self._text(template)
        return judge(text, _NO_LEVEL, status=failed_status(text))


def _start(threshold: float) -> str:
    if 0 < threshold < _NEXT_TO_NOTHING:
        return "any score above 0 is an alert"
    return f"alerts start at {threshold:.3g}"
