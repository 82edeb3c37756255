"""Silences of the region: those of its settings and those of its file, with a preview of what one would hide."""

from datetime import datetime
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path
from pydantic import AwareDatetime, BaseModel, Field

from connectors.sql_schema import ALERTS
from engine.api.actions import Comment, silence_of, silence_path
from engine.api.alert_queries import AlertItem, alert_item, select_alerts
from engine.api.auth import Operator, Viewer
from engine.api.problems import RESPONSES
from engine.api.services import Svc
from engine.steps.silences import SuppressionRule, is_silenced, read_silences, remove_silence
from foundation.settings_errors import validated
from foundation.time_text import NS_PER_S, iso_time

router = APIRouter(prefix="/api/v1/silences", tags=["silences"], responses=RESPONSES)

PREVIEW_DAYS = 7
PREVIEW_ALERTS = 20_000
"""Alerts that a preview reads, the newest."""

PREVIEW_EXAMPLES = 20

Pattern = Annotated[str | None, Field(max_length=2_000, description="Regular expression.")]


class SilenceConditions(BaseModel):
    """What a silence hides; all conditions that are given must hold."""

    template: Pattern = None
    session: Pattern = None
    max_score: Annotated[
        float | None, Field(allow_inf_nan=False, description="Only windows with a score up to this.")
    ] = None
    reason: Annotated[str | None, Field(max_length=64, description="Kind of reason.")] = None
    starts: AwareDatetime | None = None
    ends: AwareDatetime | None = None

    def given(self) -> dict[str, Any]:
        """The conditions that are set."""
        return self.model_dump(exclude_none=True, include=set(SilenceConditions.model_fields))


class SilenceRequest(SilenceConditions):
    """A new silence."""

    comment: Comment = ""


class SilenceItem(BaseModel):
    """A silence in force."""

    name: str
    template: str | None
    session: str | None
    max_score: float | None
    reason: str | None
    starts: datetime | None
    ends: datetime | None
    comment: str
    fixed: Annotated[bool, Field(description="Whether it is declared in the region's settings, so not removable here.")]


class SilencePreview(BaseModel):
    """What a silence would have hidden."""

    days: int
    read: Annotated[int, Field(description="Alerts of these days that were compared.")]
    hidden: Annotated[int, Field(description="Alerts that it would have hidden.")]
    examples: list[AlertItem]


@router.get("")
def list_silences(_: Viewer, services: Svc) -> list[SilenceItem]:
    """The silences in force, those of the settings first; empty without a region."""
    region = services.region
    if region is None:
        return []
    fixed = [_silence(rule, fixed=True) for rule in region.decide.suppress]
    path = region.decide.silences
    return fixed + ([] if path is None else [_silence(rule, fixed=False) for rule in read_silences(path)])


@router.post("", status_code=201)
def create(caller: Operator, services: Svc, given: SilenceRequest) -> SilenceItem:
    """Add a silence; a running engine applies it within seconds."""
    return _silence(silence_of(services, given.given(), given.comment, caller), fixed=False)


@router.post("/preview")
def preview(_: Operator, services: Svc, given: SilenceConditions) -> SilencePreview:
    """Which alerts of the last seven days a silence would have hidden."""
    rule: SuppressionRule = validated(SuppressionRule, {"name": "preview", **given.given()}, "")
    since = iso_time(services.now_ns() - PREVIEW_DAYS * 86_400 * NS_PER_S)
    query = select_alerts(ALERTS.c.document).where(ALERTS.c.last_time >= since).order_by(ALERTS.c.last_time.desc())
    rows = services.database.rows(query.limit(PREVIEW_ALERTS))
    hidden = [row for row in rows if _hides(rule, orjson.loads(row["document"]))]
    return SilencePreview(
        days=PREVIEW_DAYS, read=len(rows), hidden=len(hidden),
        examples=[alert_item(row) for row in hidden[:PREVIEW_EXAMPLES]],
    )  # fmt: skip


@router.delete("/{name}", status_code=204)
def remove(caller: Operator, services: Svc, name: Annotated[str, Path(max_length=256)]) -> None:
    """Remove a silence of the file."""
    remove_silence(silence_path(services), name)
    services.audit(caller.name, "silence.removed", name)


def _silence(rule: SuppressionRule, *, fixed: bool) -> SilenceItem:
    return SilenceItem(**rule.model_dump(), fixed=fixed)


def _hides(rule: SuppressionRule, alert: Any) -> bool:
    return "last_time" in alert and is_silenced(alert, [rule])
