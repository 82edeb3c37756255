"""What the ledger, the model card and the audit log record of a round."""

from dataclasses import replace
from typing import Any

from federation.coordinator.records import Round, RoundStep
from federation.protocol.records import ModelSpec
from federation.round.gate import table
from federation.round.result import RoundResult
from federation.round.settings import RoundSettings
from foundation.time_text import iso_millis
from models.storage.model_cards import AnyCard, Card, ModelNotes, Notes
from models.thresholds.base import Threshold


def spec_of(card: AnyCard) -> ModelSpec:
    """The model of a card as regions need it."""
    return ModelSpec(
        name=card.name, version=card.version, kind=card.kind, detector=card.detector, settings=card.settings,
        extra=card.extra,
    )  # fmt: skip


def judged(started: Round, result: RoundResult) -> Round:
    """The round with the gate's verdict."""
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
        examples=result.examples,
        epsilon=result.epsilon,
    )


def notes_of(round_: Round, base: AnyCard, settings: RoundSettings) -> ModelNotes:
    """What the card of the published version states; `base` is the card of the version that it starts from."""
    common: dict[str, Any] = {
        "data": {
            "round_id": round_.round_id,
            "windows": round_.examples,
            **({"traceparent": round_.traceparent} if round_.traceparent else {}),
        },
        "metrics": {"holdout": table([candidate for _, _, candidate in round_.figures])},
        "seed": settings.seed,
        "round": round_.number,
        "participants": round_.participants,
        "epsilon": round_.epsilon,
        "delta": None if round_.epsilon is None else settings.privacy.delta,
    }
    if isinstance(base, Card):
        return Notes(**common, threshold=Threshold(rule=settings.threshold, value=round_.threshold))
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
        "holdout": {name: {"current": list(a), "candidate": list(b)} for name, a, b in round_.figures},
        "windows": round_.examples,
        "epsilon": round_.epsilon,
        "planned": iso_millis(round_.planned_ns),
        "started": iso_millis(round_.started_ns) if round_.started_ns else None,
    }
