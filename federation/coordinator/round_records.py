"""What the ledger, the model card and the audit log record of a round."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from types import MappingProxyType
from typing import Any

from federation.coordinator.records import Round, RoundStep
from federation.protocol.records import LabelledAnomalies, ModelSpec
from federation.round.evidence import table
from federation.round.result import RegionVerdict, RoundResult
from federation.round.settings import RoundSettings
from foundation.time_text import iso_millis
from models.storage.model_cards import AnyCard, Card, ModelNotes, Notes
from models.thresholds.base import HeldOut, Threshold


def spec_of(card: AnyCard) -> ModelSpec:
    """The model of a card as regions need it."""
    return ModelSpec(
        name=card.name, version=card.version, kind=card.kind, detector=card.detector, settings=card.settings,
        extra=card.extra,
    )  # fmt: skip


def made_with(notes: ModelNotes) -> LabelledAnomalies:
    """The labelled anomalies that a version was trained or judged with, as its card records them."""
    known = {origin: notes.labelled_anomalies.get(origin, 0) for origin in ("feedback", "labels", "rules")}
    return LabelledAnomalies(**known)


def threshold_of(card: AnyCard, region: str = "") -> float:
    """The threshold on a card, in a region if one is given; 0 for a line classifier, which has none."""
    return card.threshold_in(region).value if isinstance(card, Card) else 0.0


def judged(started: Round, result: RoundResult, serving: Mapping[str, int]) -> Round:
    """The round with the gate's verdict.

    Args:
        started: The round.
        result: Outcome of the round.
        serving: Version that each known region serves.
    """
    held = {region: version for region, version in serving.items() if not result.adopted_by(region)}
    return replace(
        started,
        step=RoundStep.JUDGED,
        outcome="accepted" if result.accepted else "refused",
        sentence=result.reason,
        threshold=result.threshold,
        participants=result.participants,
        missing=result.missing,
        refusals=tuple(f"{r.region}, pass {r.number}: {r.reason}" for r in result.refusals),
        figures=tuple((f.region, f.current, f.candidate) for f in result.figures),
        verdicts=result.verdicts,
        held=held if result.accepted else {},
        labels=result.known,
        examples=result.examples,
        epsilon=result.epsilon,
    )


def notes_of(
    round_: Round, base: AnyCard, settings: RoundSettings, held_out: HeldOut | None = None,
    thresholds: Mapping[str, float] = MappingProxyType({}),
) -> ModelNotes:  # fmt: skip
    """The card's facts about the published version.

    Args:
        round_: The round.
        base: Card of the version that it starts from.
        settings: Settings of the round.
        held_out: See `RoundResult`.
        thresholds: See `RoundResult`.
    """
    common: dict[str, Any] = {
        "data": {
            "round_id": round_.round_id,
            "windows": round_.examples,
            "reason": round_.reason,
            "gate": round_.sentence,
            **({"traceparent": round_.traceparent} if round_.traceparent else {}),
            **({"gap_s": base.data["gap_s"]} if "gap_s" in base.data else {}),  # of the windows, not of the round
        },
        "metrics": {
            "holdout": table([candidate for _, _, candidate in round_.figures]),
            **{f"region {v.region}": region_metrics(v) for v in round_.verdicts},
        },
        "labels": {origin: count for origin, count in asdict(round_.labels).items() if count},
        "preprocessing": base.preprocessing,
        "seed": settings.seed,
        "round": round_.number,
        "participants": round_.participants,
        "epsilon": round_.epsilon,
        "delta": None if round_.epsilon is None else settings.privacy.delta,
    }
    if isinstance(base, Card):
        threshold = Threshold(rule=settings.threshold, value=round_.threshold, held_out=held_out)
        return Notes(**common, threshold=threshold, thresholds=dict(thresholds))
    return ModelNotes(**common)


def audit_body(round_: Round) -> dict[str, Any]:
    """The body of the round's entry in the audit log."""
    return {
        "round_id": round_.round_id,
        "number": round_.number,
        "model": round_.model,
        "from": round_.version,
        "to": round_.published or None,
        "why": round_.reason,
        "outcome": round_.sentence,
        "participants": list(round_.participants),
        "missing": list(round_.missing),
        "refused": list(round_.refusals),
        "holdout": holdout(round_),
        "kept": dict(round_.held) if round_.published else {},
        "windows": round_.examples,
        "labelled_anomalies": asdict(round_.labels),
        "epsilon": round_.epsilon,
        "planned": iso_millis(round_.planned_ns),
        "started": iso_millis(round_.started_ns) if round_.started_ns else None,
    }


def region_metrics(verdict: RegionVerdict) -> dict[str, float]:
    """The figures of one region on the card of a version."""
    return {
        "before": verdict.before, "after": verdict.after, "labelled": float(verdict.labelled),
        "adopts": float(verdict.adopts), "alerts_added": float(verdict.alerts_added),
        "alerts_dropped": float(verdict.alerts_dropped),
    }  # fmt: skip


def holdout(round_: Round) -> dict[str, dict[str, Any]]:
    """The holdout figures by region, with names; raw counts as in `HoldoutFigures`."""
    verdicts = {v.region: v for v in round_.verdicts}
    found: dict[str, dict[str, Any]] = {}
    for name, current, candidate in round_.figures:
        found[name] = {"current": list(current), "candidate": list(candidate)}
        if verdict := verdicts.get(name):
            found[name] |= {
                "before": round(verdict.before, 4), "after": round(verdict.after, 4), "labelled": verdict.labelled,
                "standing": str(verdict.standing), "adopts": verdict.adopts, "alerts_added": verdict.alerts_added,
                "alerts_dropped": verdict.alerts_dropped,
            }  # fmt: skip
    return found
