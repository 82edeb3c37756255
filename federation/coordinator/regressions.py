"""Reports that a version does worse in service than the one before, and the rollbacks that they cause.

A report is one message on a topic whose writers are not authenticated, so the effect of a single report is limited:

1. It has to be about the version that its region serves, over enough windows, and beyond its own threshold.
2. It rolls back only its region, to the version before; the others keep theirs.
3. When enough regions have reported the same version, it is rolled back for all.
4. After a rollback of a region, or of all, reports cause no other one of the same kind for a cool-down. The version
   that is reached is the floor until then. Commands are not limited.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from federation.coordinator.records import Rollback, RoundStep
from federation.coordinator.schedule import ScheduleSettings
from foundation.documents.drift_event import DriftEventDocument
from models.base import ModelError
from models.storage.store import ModelStore

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RegressionReport:
    """A report of a regression.

    Attributes:
        id: Id of the event.
        model: Name of the model.
        region: Region that reports.
        version: Version that does worse.
        serving: Version that the region should serve by the model store.
        current: Current version in the model store.
        before: Version to go back to; None if the store has no earlier one.
        windows: Windows, or judged alerts, that the report is over.
        sure: Whether its statistic reaches its threshold.
        text: The report in one sentence.
    """

    id: str
    model: str
    region: str
    version: int
    serving: int
    current: int
    before: int | None
    windows: int
    sure: bool
    text: str


def report_of(event: DriftEventDocument, store: ModelStore, text: str) -> RegressionReport:
    """The report in an event of the type `regression`."""
    model, version = event["model"]["name"], event["model"]["version"]
    earlier = [v for v in store.versions(model) if v < version]
    named = event["evidence"].get("previous_version")
    return RegressionReport(
        event["id"], model, event["region"], version, store.current(model, event["region"]) or 0,
        store.current(model) or 0, named if named in earlier else _parent(store, model, version, earlier),
        event["windows"], event["statistic"] >= event["threshold"], text,
    )  # fmt: skip


def rollbacks_for(
    reports: Iterable[RegressionReport], known: Sequence[Rollback], fleet: Mapping[str, int],
    settings: ScheduleSettings, now_ns: int,
) -> tuple[Rollback, ...]:  # fmt: skip
    """The rollbacks that reports cause; reports without effect are logged with the reason.

    Args:
        reports: New reports, in order.
        known: All rollbacks so far.
        fleet: Every known region with the version that it serves; empty if regions are not listed.
        settings: See `ScheduleSettings`.
        now_ns: Wall clock.
    """
    new: list[Rollback] = []
    for report in reports:
        before = report.before
        reason = _objection(report, [*known, *new], settings, now_ns)
        if reason or before is None:
            log.warning("no rollback after '%s': %s", report.text, reason or "the store has no earlier version")
            continue
        agreeing = {r.region for r in (*known, *new) if r.bad == report.version and r.region} | {report.region}
        serving = {region for region, version in fleet.items() if version == report.version} | agreeing
        needed = min(settings.rollback_regions, len(serving)) if fleet else settings.rollback_regions
        everywhere = len(agreeing) >= needed and report.version == report.current
        if everywhere and _cooling("", [*known, *new], settings, now_ns):
            log.warning("version %s is not rolled back for all: the cool-down is not over", report.version)
            everywhere = False
        others = sorted(serving - agreeing)
        effect = _effect(report, sorted(agreeing), others, everywhere)
        new.append(
            Rollback(
                f"{report.id}/all" if everywhere else report.id, report.model, report.version, before,
                f"{report.text}; {effect}", RoundStep.PLANNED, now_ns, "" if everywhere else report.region, True,
            )
        )  # fmt: skip
    return tuple(new)


def _objection(report: RegressionReport, known: Sequence[Rollback], settings: ScheduleSettings, now_ns: int) -> str:
    """Why a report has no effect; "" if it has one."""
    if report.version != report.serving:
        return f"{report.region} serves version {report.serving}"
    if report.windows < settings.rollback_windows:
        return f"it is over {report.windows} windows; at least {settings.rollback_windows} are required"
    if not report.sure:
        return "its statistic is below its threshold"
    if _cooling(report.region, known, settings, now_ns):
        return f"{report.region} went back less than {settings.rollback_cool_down_s:g} s ago"
    return ""


def _cooling(region: str, known: Sequence[Rollback], settings: ScheduleSettings, now_ns: int) -> bool:
    """Whether reports took this region back, or all, within the cool-down; a rollback of all counts for each."""
    since_ns = now_ns - int(settings.rollback_cool_down_s * 1e9)
    return any(r.automatic and r.time_ns > since_ns and r.region in ("", region) for r in known)


def _effect(report: RegressionReport, agreeing: Sequence[str], others: Sequence[str], everywhere: bool) -> str:
    if everywhere:
        silent = f"; {_names(others)} did not report it" if others else ""
        return f"reported by {_names(agreeing)}, so all regions go back{silent}"
    return f"only {report.region} goes back" + (f"; {_names(others)} still serve it" if others else "")


def _names(regions: Sequence[str]) -> str:
    return " and ".join(regions)


def _parent(store: ModelStore, model: str, version: int, earlier: Sequence[int]) -> int | None:
    """The version that this one was trained from, or the one before it."""
    try:
        parent = store.any_card(model, version).parent
    except ModelError:
        parent = None
    return parent if parent in earlier else max(earlier, default=None)
