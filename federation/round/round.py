"""A federated round, from the question who is there to the gate's word. All of it is on this page.

1. Who is there: every node that is online gives its region's name; too few, and the round has failed. Where
   the model has an output for every template, each region names those of its windows, by hash, and the
   model gets outputs for those that it has none for: only weights of the same shapes can be averaged.
2. The weights go out with the task.
3. Updates come back until the pass's time is over; whoever is silent is left out from then on.
4. The guard refuses what cannot be averaged, by name; too few good ones, and the old model stays.
5. The strategy makes new weights of the good updates. Steps 2 to 5 are repeated `passes` times.
6. Every region scores its calibration windows with the candidate; one threshold fits all of them. A line
   classifier has no threshold and passes by.
7. Every region counts what candidate and current model do on its holdout.
8. The gate: better over all regions, and no region loses more than the margin.

Nothing is published here: the coordinator does that with an accepted `RoundResult`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from flwr.serverapp import Grid

from federation.protocol import messages
from federation.protocol.calibration import shared_threshold, sketch_problem
from federation.protocol.output_templates import shared_out
from federation.protocol.records import LINE_CLASSIFIER, ModelSpec, TrainTask, Update, Weights
from federation.round.fleet import Clock, Fleet, MonotonicClock
from federation.round.gate import judge
from federation.round.guard import figures_problem, inspect
from federation.round.result import Refusal, RoundResult
from federation.round.secagg_server import secure_pass
from federation.round.settings import RoundSettings
from federation.round.strategies import Aggregation, proximal_mu
from models.classify.base import CLASSES
from models.training.output_vocabulary import grown, has_candidates

Report = Callable[[str, Mapping[str, float | str]], None]
"""Called as (step, figures) when a step is done; for traces, metrics and progress. In `run_round` the figures end with
`present`: the regions that have answered so far, so that who was silent is known even of a round that hangs."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """Weights that came of the passes, with the good updates of the last one."""

    weights: Weights
    updates: tuple[Update, ...]


def _quiet(step: str, figures: Mapping[str, float | str]) -> None:
    """Reports to nobody."""


def run_round(
    grid: Grid,
    settings: RoundSettings,
    spec: ModelSpec,
    weights: Weights,
    threshold: float,
    *,
    round_id: str,
    clock: Clock | None = None,
    report: Report = _quiet,
    traceparent: str = "",
) -> RoundResult:
    """Runs all steps.

    Args:
        grid: Reaches the regions.
        settings: How.
        spec: Of the model in service.
        weights: Its weights.
        threshold: Its threshold.
        round_id: Goes into every message.
        clock: For deadlines; the machine's where None.
        report: See `Report`.
        traceparent: W3C context of the round's trace.

    Raises:
        RoundFailedError: there is no candidate; the message says at which step, and who did what.
        SetupError: the strategy or one of its settings is not known.
    """
    clock = clock or MonotonicClock()
    fleet = Fleet(grid, settings, clock)

    def tell(step: str, figures: Mapping[str, float | str]) -> None:
        report(step, {**figures, "present": " ".join(sorted(fleet.regions))})

    task = TrainTask(
        round_id=round_id, spec=spec, local_epochs=settings.local_epochs, proximal_mu=proximal_mu(settings),
        privacy=settings.privacy, seed=settings.seed, traceparent=traceparent,
    )  # fmt: skip
    aggregation = Aggregation(settings)
    fleet.greet(messages.hello(task))  # 1
    fleet.need(fleet.regions, "step 1, who is there")
    tell("hello", {"regions": len(fleet.regions)})
    start = with_all_templates(fleet, task, weights, tell) if has_candidates(weights) else weights  # 1
    if settings.privacy.mode == "secagg":
        candidate = secure_passes(grid, fleet, clock, settings, task, start, tell)  # 2 to 5
    else:
        candidate = train_passes(fleet, settings, task, start, aggregation, tell)  # 2 to 5
    return prove(fleet, settings, task, weights, threshold, candidate, tell)  # 6 to 8


def with_all_templates(fleet: Fleet, task: TrainTask, weights: Weights, report: Report) -> Weights:
    """The rest of step 1: the weights with an output for every template that a region named, if there is place.

    Raises:
        RoundFailedError: too few regions named theirs.
    """
    named = fleet.collect(messages.templates(task), messages.read_templates, sorted(fleet.regions), 0)
    fleet.need(named, "step 1, templates")
    kept, new = shared_out(weights["vocabulary"], named)
    report("templates", {"known": len(kept), "new": len(new), "dropped": len(kept) - int(kept.sum())})
    return grown(weights, kept, new)


def train_passes(
    fleet: Fleet, settings: RoundSettings, task: TrainTask, weights: Weights, aggregation: Aggregation, report: Report
) -> Candidate:
    """Steps 2 to 5, `passes` times.

    Raises:
        RoundFailedError: a pass had too few good updates.
    """
    regions = sorted(fleet.regions)
    good: list[Update] = []
    for number in range(settings.passes):
        question = messages.train(weights, task.model_copy(update={"number": number}))  # 2
        updates = fleet.collect(question, messages.read_update, regions, number)  # 3
        good, refused = inspect(list(updates.values()), weights, settings, number)  # 4
        fleet.refuse(refused)
        fleet.need([u.region for u in good], f"step 4, pass {number}")
        weights = aggregation.aggregate(weights, good, number)  # 5
        regions = [u.region for u in good]
        report("pass", {"number": number, "regions": len(good), "refused": len(refused)})
    return Candidate(weights, tuple(good))


def secure_passes(
    grid: Grid, fleet: Fleet, clock: Clock, settings: RoundSettings, task: TrainTask, weights: Weights, report: Report
) -> Candidate:
    """Steps 2 to 5 where nobody may see a single update: masked changes, and only their mean is known.

    Raises:
        RoundFailedError: a pass had too few regions.
        SetupError: the strategy needs single updates.
    """
    updates: tuple[Update, ...] = ()
    for number in range(settings.passes):
        weights, updates = secure_pass(
            grid, fleet, clock, settings, task.model_copy(update={"number": number}), weights
        )
        fleet.need([u.region for u in updates], f"step 4, pass {number}")
        report("pass", {"number": number, "regions": len(updates), "refused": 0})
    return Candidate(weights, updates)


def prove(
    fleet: Fleet,
    settings: RoundSettings,
    task: TrainTask,
    weights: Weights,
    threshold: float,
    candidate: Candidate,
    report: Report,
) -> RoundResult:
    """Steps 6 to 8: a threshold for the candidate, and the gate's word on it.

    Raises:
        RoundFailedError: too few regions gave calibration scores.
    """
    lines = task.spec.kind == LINE_CLASSIFIER
    value = threshold if lines else calibrated(fleet, settings, task, candidate, report)  # 6
    question = messages.evaluate(candidate.weights, weights, task, (value, threshold))  # 7
    figures = fleet.collect(question, messages.read_figures, sorted(fleet.regions), settings.passes)
    classes = len(CLASSES) if lines else 2
    odd = {region: figures_problem(f, settings.max_examples, classes) for region, f in sorted(figures.items())}
    fleet.refuse(Refusal(region, settings.passes, reason) for region, reason in odd.items() if reason)
    figures = {region: f for region, f in figures.items() if odd[region] is None}
    accepted, reason = judge(list(figures.values()), settings)  # 8
    report("gate", {"regions": len(figures), "accepted": float(accepted), "reason": reason})
    private = settings.privacy.mode == "dp"  # else nobody spends any, whatever a region says
    spent = [u.metrics["epsilon"] for u in candidate.updates if private and "epsilon" in u.metrics]
    return RoundResult(
        round_id=task.round_id, weights=candidate.weights, threshold=value, accepted=accepted, reason=reason,
        figures=tuple(figures[region] for region in sorted(figures)),
        participants=tuple(sorted(u.region for u in candidate.updates)),
        refusals=tuple(fleet.refusals), missing=tuple(dict.fromkeys(fleet.missing)),
        examples=sum(u.examples for u in candidate.updates), epsilon=max(spent, default=None),
    )  # fmt: skip


def calibrated(fleet: Fleet, settings: RoundSettings, task: TrainTask, candidate: Candidate, report: Report) -> float:
    """Step 6: the candidate's threshold.

    Raises:
        RoundFailedError: too few regions gave calibration scores.
    """
    asked = messages.calibrate(candidate.weights, task)
    sketches = fleet.collect(asked, messages.read_sketch, sorted(fleet.regions), settings.passes)
    problems = {region: sketch_problem(s, settings.max_examples) for region, s in sorted(sketches.items())}
    fleet.refuse(Refusal(region, settings.passes, reason) for region, reason in problems.items() if reason)
    sound = [sketch for region, sketch in sorted(sketches.items()) if problems[region] is None]
    fleet.need([s.region for s in sound], "step 6, threshold")
    value = shared_threshold(sound, settings.threshold)
    report("threshold", {"regions": len(sound), "threshold": value})
    return value
