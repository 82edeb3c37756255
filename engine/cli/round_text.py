"""What `driftline federate status` and `audit` and `driftline models` print about rounds, as plain sentences."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from federation.round.round_files import StepReport

_PHASES = {
    "hello": "training",
    "templates": "training",
    "threshold": "comparison on the holdouts",
    "cross-fitting": "two trainings on half of the sessions each, judged on the other half",
    "gate": "verdict",
}
"""Last completed step -> what the round does now."""


def progress(steps: "Sequence[StepReport]", passes: int, expected: Sequence[str]) -> dict[str, Any]:
    """Where a round is, from the steps that it has completed.

    Args:
        steps: Completed steps, in order.
        passes: Number of passes of the round.
        expected: Regions that should take part.

    Returns:
        `phase`, the regions that are `awaited` in it, and those that are `silent` or were rejected so far.
    """
    if not steps:
        return {"phase": "hello: regions report their names", "awaited": sorted(expected), "silent": []}
    last = steps[-1]
    present = str(last.figures.get("present", "")).split()
    done = sum(step.name == "pass" for step in steps)
    phase = _PHASES.get(last.name, "training")
    if phase == "training":
        phase = f"training, pass {done + 1} of {passes}" if done < passes else "calibration of the threshold"
    return {
        "phase": phase,
        "awaited": [] if last.name == "gate" else present,
        "silent": sorted(set(expected) - set(present)),
    }


def progress_sentence(found: Mapping[str, Any]) -> str:
    """The progress of a round in one line."""
    silent = f"; no valid answer: {', '.join(found['silent'])}" if found["silent"] else ""
    return f"now: {found['phase']}; awaited: {', '.join(found['awaited']) or '-'}{silent}"


def audit_sentences(body: Mapping[str, Any]) -> Iterator[str]:
    """The body of an audit entry as text, one fact a line."""
    yield str(body.get("outcome") or body.get("reason"))
    if body.get("region"):
        yield f"for: {body['region']} only"
    if body.get("why"):
        yield f"why: {body['why']}"
    if "participants" in body:
        missing = f"; missing: {', '.join(body['missing'])}" if body.get("missing") else ""
        yield f"who: {', '.join(body['participants']) or '-'}{missing}"
    for sentence in body.get("refused", ()):
        yield f"rejected: {sentence}"
    yield from region_sentences(body.get("holdout", {}))
    if body.get("kept"):
        yield "kept: " + ", ".join(f"{region} version {version}" for region, version in sorted(body["kept"].items()))
    if body.get("epsilon") is not None:
        yield f"privacy: epsilon {body['epsilon']:.2f} spent by the region that has spent most"


def region_sentences(figures: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """One line for each region: F1 before and after, and what it does."""
    for region, found in sorted(figures.items()):
        if "before" not in found:  # recorded by an earlier version
            yield f"{region}: counts of the current model {found['current']}, of the candidate {found['candidate']}"
            continue
        takes = "takes the candidate" if found["adopts"] else "keeps its version"
        labelled = int(found["labelled"])
        change = (
            f"F1 {found['before']:.4f} became {found['after']:.4f} on {labelled} labelled" if labelled else "no label"
        )
        added, dropped = found.get("alerts_added", 0), found.get("alerts_dropped", 0)
        alerts = f"; {added:g} alerts would have been added, {dropped:g} dropped" if added or dropped else ""
        yield f"{region}: {change}{alerts}; {takes}"


def card_regions(metrics: Mapping[str, Mapping[str, float]]) -> dict[str, Mapping[str, float]]:
    """The figures of each region on a card of a version that a round published."""
    start = "region "
    return {name.removeprefix(start): found for name, found in metrics.items() if name.startswith(start)}


def privacy_left(epsilons: Sequence[float | None], limit: float) -> dict[str, float]:
    """The privacy budget of the region that has spent most.

    Args:
        epsilons: What it had spent in total after each round, newest first; None for rounds without a budget.
        limit: The budget over all rounds.
    """
    spent = [value for value in epsilons if value is not None]
    last = spent[0] - max(spent[1:], default=0.0) if spent else 0.0
    most = max(spent, default=0.0)
    return {"budget": limit, "spent": most, "left": max(0.0, limit - most), "last_round": max(0.0, last)}
