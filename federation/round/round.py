"""A federated round, from the question which regions are present to the gate's verdict. All of it is on this page.

1. Hello: every online node reports its region's name; with too few regions the round fails. If the model has
   an output for every template, each region names the templates of its windows by hash, and the model gets
   outputs for those that it lacks: only weights of equal shapes can be averaged.
2. The weights go out with the task.
3. Updates arrive within the time of the pass; a silent region is left out from then on.
4. The guard refuses updates that cannot be averaged, by name; with too few valid ones the current model stays.
5. The strategy makes new weights of the valid updates. Steps 2 to 5 are repeated `passes` times. The privacy
   mode may replace steps 3 to 5 (`federation.privacy`). If the detector sends statistics instead of weights, it is
   fitted to those of all regions, in one pass (`federation.round.merging`).
6. Every region scores its calibration windows with the candidate; one threshold is fitted for all regions. A
   line classifier has no threshold and skips this step.
7. Every region counts what candidate and current model do on its holdout.
8. The gate decides which regions take the candidate (`federation.round.gate`). If the holdouts leave it open, steps
   2 to 7 may be repeated for two halves of the sessions (`federation.round.cross_fitting`).
9. A region that takes it may get a threshold of its own (`federation.round.personal_thresholds`).

Regions that cannot train, because they have no window that teaches anything, still take part in steps 6 to 8: an
incident that one region has seen can train a model that the others judge.

Nothing is published here: the coordinator publishes an accepted `RoundResult`.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from federation.errors import RoundFailedError
from federation.privacy.base import PassResult, PrivacyMode
from federation.privacy.registry import privacy_mode
from federation.protocol import messages
from federation.protocol.calibration import shared_threshold, sketch_problem
from federation.protocol.output_templates import allocate_outputs
from federation.protocol.records import (
    LINE_CLASSIFIER,
    UNLABELLED,
    HoldoutFigures,
    LabelledAnomalies,
    ModelSpec,
    ScoreSketch,
    TrainTask,
    Weights,
)
from federation.round import cross_fitting, personal_thresholds
from federation.round.fleet import Fleet
from federation.round.gate import Verdict, judge, stricter
from federation.round.guard import figures_problem, shares
from federation.round.merging import Merging, merging_of
from federation.round.network import Network
from federation.round.result import Baseline, Refusal, RoundResult
from federation.round.settings import RoundSettings
from federation.round.training_pass import TrainingPass
from models.classify.base import CLASSES
from models.thresholds.base import Threshold
from models.training.output_vocabulary import grown, has_candidates

Report = Callable[[str, Mapping[str, float | str]], None]
"""Called as (step, figures) when a step is done; for traces, metrics and progress. `run_round` adds the figure
`present`, the regions that have answered so far, so that the silent ones are known even if a round hangs, and those
of `Fleet.traffic`."""


LEFT_OUT = "it is left out by leave_out in [round]"


@dataclass(frozen=True, slots=True)
class _Round:
    """What every step of one round needs."""

    fleet: Fleet
    settings: RoundSettings
    mode: PrivacyMode
    task: TrainTask
    report: Report


_Train = Callable[[_Round], PassResult]


def _ignore(step: str, figures: Mapping[str, float | str]) -> None:
    """Discard the report."""


def run_round(
    network: Network,
    settings: RoundSettings,
    spec: ModelSpec,
    weights: Weights,
    threshold: float,
    *,
    round_id: str,
    made_with: LabelledAnomalies = UNLABELLED,
    kept: Sequence[Baseline] = (),
    report: Report = _ignore,
    traceparent: str = "",
) -> RoundResult:
    """Run all steps.

    Args:
        network: Reaches the regions.
        settings: Settings of the round.
        spec: Model in service.
        weights: Weights of that model.
        threshold: Threshold of that model.
        round_id: Id that goes into every message.
        made_with: Labelled anomalies that the model in service was trained or judged with.
        kept: Earlier versions that regions serve, of the same architecture; each region's sessions are judged by
            the version that it serves.
        report: See `Report`.
        traceparent: W3C context of the round's trace.

    Raises:
        RoundFailedError: there is no candidate; the message names the step and the failures.
        SetupError: see `merging_of`.
    """
    fleet = Fleet(network, settings)
    mode = privacy_mode(settings.privacy.mode)
    merging = merging_of(settings, spec, mode)
    task = TrainTask(
        round_id=round_id, passes=merging.passes, spec=spec, local_epochs=settings.local_epochs,
        proximal_mu=merging.proximal_mu, privacy=settings.privacy, seed=settings.seed, traceparent=traceparent,
    )  # fmt: skip

    def report_with_present(step: str, figures: Mapping[str, float | str]) -> None:
        report(step, {**figures, **fleet.traffic(), "present": " ".join(sorted(fleet.regions))})

    this = _Round(fleet, settings, mode, task, report_with_present)
    fleet.hello(messages.hello(task))  # 1
    fleet.refuse(Refusal(region, 0, LEFT_OUT) for region in settings.leave_out if region in fleet.regions)
    fleet.require(fleet.regions, "step 1, hello")
    this.report("hello", {"regions": len(fleet.regions)})
    start = _with_all_templates(this, weights) if has_candidates(weights) else weights  # 1
    candidate = _train(this, weights=start, merging=merging)  # 2 to 5
    served = (Baseline(frozenset(), weights, threshold, made_with), *kept)
    return _judged(this, served, candidate, functools.partial(_train, weights=start, merging=merging))  # 6 to 8


def _with_all_templates(this: _Round, weights: Weights) -> Weights:
    """The rest of step 1: the weights with an output for every template that a region named, up to a limit.

    Raises:
        RoundFailedError: too few regions named their templates.
    """
    question = messages.templates(this.task)
    named = this.fleet.collect(question, messages.read_templates, sorted(this.fleet.regions), 0)
    this.fleet.require(named, "step 1, templates")
    kept, new = allocate_outputs(weights["vocabulary"], named)
    this.report("templates", {"known": len(kept), "new": len(new), "dropped": len(kept) - int(kept.sum())})
    return grown(weights, kept, new)


def _train(this: _Round, *, weights: Weights, merging: Merging) -> PassResult:
    """Steps 2 to 5, as many times as the merging needs; the result of the last pass.

    Raises:
        RoundFailedError: a pass had too few valid updates.
    """
    result = PassResult(weights, ())
    regions = sorted(this.fleet.regions)
    for number in range(merging.passes):
        task = this.task.model_copy(update={"number": number})
        current = TrainingPass(this.fleet, this.settings, task, result.weights, merging, regions)
        result = this.mode.aggregate(current)
        regions = [update.region for update in result.updates]
        this.report("pass", {"number": number, "regions": len(regions), "refused": current.refused})
    return result


def _judged(this: _Round, served: Sequence[Baseline], candidate: PassResult, train: _Train) -> RoundResult:
    """Steps 6 to 9: a threshold for the candidate, the verdict of the gate, and thresholds of single regions.

    Args:
        this: The round.
        served: The version that the candidate starts from, and those that regions serve in its place.
        candidate: The candidate.
        train: Steps 2 to 5, of another task.

    Raises:
        RoundFailedError: too few regions gave calibration scores.
    """
    lines, fleet, settings = this.task.spec.kind == LINE_CLASSIFIER, this.fleet, this.settings
    threshold, sketches = (None, []) if lines else _calibrated(this, candidate)  # 6
    value = served[0].threshold if threshold is None else threshold.value
    figures = _figures(this, served, (candidate.weights, value))  # 7
    verdict = _verdict(tuple(figures.values()), settings, served)  # 8
    open_ = settings.cross_fit and not verdict.accepted and not lines and not this.mode.has_budget
    if open_ and cross_fitting.worthwhile(tuple(figures.values()), settings):
        verdict = _cross_fitted(this, served, train, figures, verdict)
    own, sentences = _personal(this, candidate, value, sketches, figures, verdict)  # 9
    reason = "; ".join((verdict.reason, *sentences))
    this.report("gate", {"regions": len(figures), "accepted": float(verdict.accepted), "reason": reason})
    return RoundResult(
        round_id=this.task.round_id, weights=candidate.weights, threshold=value,
        accepted=verdict.accepted, reason=reason,
        figures=tuple(figures[region] for region in sorted(figures)),
        participants=tuple(sorted(u.region for u in candidate.updates)),
        refusals=tuple(fleet.refusals), missing=tuple(dict.fromkeys(fleet.missing)),
        examples=sum(u.examples for u in candidate.updates), epsilon=this.mode.spent(candidate.updates),
        verdicts=verdict.regions, others_adopt=verdict.others_adopt,
        held_out=None if threshold is None else threshold.held_out, thresholds=own,
    )  # fmt: skip


def _personal(
    this: _Round, candidate: PassResult, shared: float, sketches: Sequence[ScoreSketch],
    figures: Mapping[str, HoldoutFigures], verdict: Verdict,
) -> tuple[dict[str, float], list[str]]:  # fmt: skip
    """Step 9: the thresholds of single regions, and a sentence for each; none if time is up."""
    fleet, settings = this.fleet, this.settings
    adopting = {found.region for found in verdict.regions if found.adopts}
    wanted = personal_thresholds.proposals([s for s in sketches if s.region in adopting], shared, figures, settings)
    found, sentences = {}, []
    for region, own in wanted.items():
        question = messages.evaluate(candidate.weights, candidate.weights, this.task, (own, shared))
        try:
            answer = fleet.collect(question, messages.read_figures, [region], settings.passes).get(region)
        except RoundFailedError:  # the candidate is judged, and its threshold for all regions serves as well
            break
        if answer is None or figures_problem(answer, settings.max_examples, 2) is not None:
            continue
        if personal_thresholds.proven(answer, settings, len(figures)):
            found[region] = own
            sentences.append(personal_thresholds.sentence(region, own, shared, answer))
    return found, sentences


def _verdict(figures: Sequence[HoldoutFigures], settings: RoundSettings, served: Sequence[Baseline]) -> Verdict:
    kept = {region: version.made_with for version in served[1:] for region in version.regions}
    return judge(figures, settings, served[0].made_with, kept)


def _cross_fitted(
    this: _Round, served: Sequence[Baseline], train: _Train, own: Mapping[str, HoldoutFigures], holdout: Verdict
) -> Verdict:
    """The verdict on the sessions of both halves, each judged by the candidate of the other."""
    halves, known = [], len(this.fleet.refusals)
    try:
        for half in cross_fitting.HALVES:
            task = this.task.model_copy(update={"left_out": half})
            part = replace(this, task=task, report=lambda _, figures: this.report("cross-fitting", figures))
            candidate = train(part)
            value = _calibrated(part, candidate)[0].value
            halves.append(_figures(part, served, (candidate.weights, value)))
    except RoundFailedError as error:  # the candidate is refused as it was before
        return replace(holdout, reason=f"{holdout.reason}; cross-fitting failed: {error}")
    finally:  # a region that cannot train at all reports the same of both halves
        noted = {refusal.region for refusal in this.fleet.refusals[:known]}
        this.fleet.refusals[known:] = [r for r in this.fleet.refusals[known:] if r.region not in noted]
    joined = cross_fitting.joined(halves, own)
    return cross_fitting.combined(holdout, _verdict(joined, stricter(this.settings), served))


def _figures(this: _Round, served: Sequence[Baseline], candidate: tuple[Weights, float]) -> dict[str, HoldoutFigures]:
    """Step 7: figures of every region, against the version that it serves; those that cannot be are refused."""
    fleet, settings, (current, *kept) = this.fleet, this.settings, served
    others = frozenset(fleet.regions).difference(*(baseline.regions for baseline in kept))
    figures: dict[str, HoldoutFigures] = {}
    for baseline in (replace(current, regions=others), *kept):
        if asked := sorted(baseline.regions & fleet.regions.keys()):
            thresholds = candidate[1], baseline.threshold
            question = messages.evaluate(candidate[0], baseline.weights, this.task, thresholds)
            figures |= fleet.collect(question, messages.read_figures, asked, settings.passes)
    classes = len(CLASSES) if this.task.spec.kind == LINE_CLASSIFIER else 2
    problems = {region: figures_problem(f, settings.max_examples, classes) for region, f in sorted(figures.items())}
    fleet.refuse(Refusal(region, settings.passes, reason) for region, reason in problems.items() if reason)
    return {region: f for region, f in figures.items() if problems[region] is None}


def _calibrated(this: _Round, candidate: PassResult) -> tuple[Threshold, list[ScoreSketch]]:
    """Step 6: the candidate's threshold, and the scores that it rests on.

    Raises:
        RoundFailedError: too few regions gave calibration scores.
    """
    question = messages.calibrate(candidate.weights, this.task)
    passes, fleet = this.settings.passes, this.fleet
    sketches = fleet.collect(question, messages.read_sketch, sorted(fleet.regions), passes)
    problems = {region: sketch_problem(s, this.settings.max_examples) for region, s in sorted(sketches.items())}
    fleet.refuse(Refusal(region, passes, reason) for region, reason in problems.items() if reason)
    valid = [sketch for region, sketch in sorted(sketches.items()) if problems[region] is None]
    fleet.require([sketch.region for sketch in valid], "step 6, threshold")
    fitted = shared_threshold(_bounded(valid, this.settings.max_share), this.settings.threshold)
    this.report("threshold", {"regions": len(valid), "threshold": fitted.value})
    return fitted, valid


def _bounded(sketches: Sequence[ScoreSketch], max_share: float) -> list[ScoreSketch]:
    """The sketches with counts at which no region has more than `max_share` of the windows."""
    sizes = [sketch.normal_count + sketch.anomalous_count for sketch in sketches]
    some = [sketch for sketch, size in zip(sketches, sizes, strict=True) if size]
    if not some:
        return list(sketches)
    bounds = shares([size for size in sizes if size], max_share)
    return [_resized(sketch, bound) for sketch, bound in zip(some, bounds, strict=True)]


def _resized(sketch: ScoreSketch, size: int) -> ScoreSketch:
    """The sketch as of `size` windows; a class with windows keeps at least one."""
    share = size / (sketch.normal_count + sketch.anomalous_count)
    normal, anomalous = (
        max(min(count, 1), round(share * count)) for count in (sketch.normal_count, sketch.anomalous_count)
    )
    return replace(sketch, normal_count=normal, anomalous_count=anomalous)
