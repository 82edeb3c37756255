"""What is seen of a federated round from outside: one trace over all that take part, metrics, health."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased

from engine.clock import ManualClock
from engine.drift.settings import DriftSettings
from engine.runtime import federation_wiring as federate
from engine.runtime.model_loading import follower
from engine.serving.hot_swap import ModelSettings
from engine.settings import RecoverySettings
from engine.steps.decide import DecideSettings
from engine.steps.parse import ParseSettings
from engine.steps.score import ScoreSettings
from engine.steps.window import SlidingWindows
from engine.telemetry import tracing
from engine.telemetry.health import Health
from engine.telemetry.metrics import Metrics
from engine.telemetry.rounds import RoundTelemetry
from engine.telemetry.telemetry import TelemetrySettings
from federation.errors import RegionFailedError
from federation.flower.record_codec import pack, unpack
from federation.protocol import messages
from federation.protocol.records import PrivacySettings, TrainTask
from federation.region.region_policy import AllowedModels, PrivacyDemand
from federation.round import round_files
from federation.storage.training_store import TrainingSettings, TrainingStore
from tests.support.coordinator_process import MODEL, CoordinatorProcess, ManualWallClock, drift, publish_first
from tests.support.prepared import SPEC, WEIGHTS

SERVE_NOWHERE = TelemetrySettings(serve=False)


@pytest.fixture
def exporter():
    return InMemorySpanExporter()


@pytest.fixture
def tracer(exporter):
    made = tracing.Tracer(exporter, sampler=ParentBased(ALWAYS_ON), region="any")
    yield made
    made.close()


@pytest.fixture
def seen(tracer):
    with RoundTelemetry(SERVE_NOWHERE, ManualClock(), tracer) as telemetry:
        yield telemetry


@pytest.fixture
def process(tmp_path, seen):
    """A coordinator that is watched."""
    publish_first(tmp_path)
    made = CoordinatorProcess(tmp_path, ManualWallClock(), observer=seen)
    yield made
    made.close()


def sample(telemetry, name, **labels):
    return telemetry.metrics.registry.get_sample_value(name, labels)


def run_round(process, base):
    """One round, in which the ServerApp notes two steps and a region trains."""
    process.ledger.record([drift("d1", process.clock.ns)])
    process.clock.advance(6)
    process.ticks(2)
    (folder,) = (base / "rounds").iterdir()
    round_files.add_step(folder, "hello", {"regions": 2})
    round_files.add_step(folder, "gate", {"accepted": 1.0})
    plan, _ = round_files.read_plan(folder)
    task = TrainTask(round_id=plan.round_id, spec=plan.spec, traceparent=plan.traceparent)
    ask_region(base, messages.hello(task))
    process.ticks(12)


def ask_region(base, question):
    handle = federate._trainer(
        "eu",
        TrainingSettings(path=base / "eu.db"),
        "cpu",
        PrivacyDemand(),
        AllowedModels([(str(base / "models"), MODEL)]),
    )
    assert messages.region_of(unpack(handle(question.kind, pack(question.content)))) == "eu"


def swap(base, tracer):
    """An engine takes the current version over."""
    settings = SimpleNamespace(
        region="eu", scoring=ModelSettings(store=str(base / "models"), name=MODEL, device="cpu"), score=ScoreSettings(),
        parse=ParseSettings(), window=SlidingWindows(size=20), drift=DriftSettings(),
        decide=DecideSettings(), recovery=RecoverySettings(path=base / "state"),
    )  # fmt: skip
    telemetry = SimpleNamespace(tracer=tracer, metrics=Metrics(), health=Health(ManualClock(), 1.0))
    assert follower(settings, {}, telemetry).look()


def test_a_round_is_one_trace_from_the_plan_to_the_swap(process, tmp_path, tracer, exporter, monkeypatch):
    monkeypatch.setattr(tracing.Tracer, "from_environment", lambda *args, **resource: tracer)
    run_round(process, tmp_path)
    swap(tmp_path, tracer)
    tracer.flush(5)
    spans = exporter.get_finished_spans()
    assert {s.name for s in spans} == {
        "round", "round.start", "server.hello", "server.gate", "region.query.hello", "round.publish", "round.audit",
        "load model",
    }  # fmt: skip
    assert len({s.context.trace_id for s in spans}) == 1
    root = next(s for s in spans if s.name == "round")
    assert all(s.parent.span_id == root.context.span_id for s in spans if s is not root)
    gate = next(s for s in spans if s.name == "server.gate")
    assert gate.attributes["accepted"] == 1.0
    assert gate.start_time <= gate.end_time


def test_rounds_are_counted_by_outcome(process, seen, tmp_path):
    run_round(process, tmp_path)
    assert sample(seen, "driftline_rounds_total", outcome="published") == 1
    assert sample(seen, "driftline_round_seconds_count") == 1
    assert sample(seen, "driftline_model_version", model=MODEL) == 2
    process.rollbacks.begin("back", MODEL, None, "worse")
    process.ticks(1)
    assert sample(seen, "driftline_rollbacks_total") == 1
    assert sample(seen, "driftline_model_version", model=MODEL) == 1


def test_the_privacy_budget_that_was_spent_is_seen(process, seen, tmp_path):
    run_round(process, tmp_path)
    (ended,) = process.ledger.rounds(1)
    assert sample(seen, "driftline_privacy_epsilon") == 0, "a round without a budget says nothing"
    seen.ended(replace(ended, epsilon=2.5), tmp_path)
    assert sample(seen, "driftline_privacy_epsilon") == 2.5


def test_what_is_missing_or_wrong_is_seen(seen):
    seen.missing("ap", 2)
    assert sample(seen, "driftline_region_missed", region="ap") == 2
    seen.events_problem("the topic cannot be read")
    seen.step_problem("")
    ok, page = seen.health.ready()
    assert not ok
    assert page["wrong"] == ["events: the topic cannot be read"]
    seen.events_problem("")
    assert seen.health.ready()[0]


def test_steps_that_cannot_be_read_cost_their_spans_and_nothing_else(process, tmp_path, tracer, monkeypatch, caplog):
    monkeypatch.setattr(tracing.Tracer, "from_environment", lambda *args, **resource: tracer)
    monkeypatch.setattr(round_files, "add_step", lambda folder, *step: (folder / "steps.jsonl").write_text("no JSON\n"))
    run_round(process, tmp_path)
    assert process.store.current(MODEL) == 2
    assert process.ledger.rounds(1)[0].step == "done"
    assert "lacks its steps" in caplog.text


@pytest.mark.parametrize("kind", [messages.HELLO, messages.TRAIN, messages.CALIBRATE, messages.EVALUATE])
def test_the_trainer_answers_no_question_of_a_round_that_asks_for_more_than_the_region_allows(tmp_path, kind):
    training = TrainingSettings(path=tmp_path / "training.db")
    demand = PrivacyDemand(require="dp", max_epsilon=4.0, max_delta=1e-5)
    handle = federate._trainer("eu", training, "cpu", demand, AllowedModels(()))
    task = TrainTask(round_id="r1", spec=SPEC, privacy=PrivacySettings(mode="dp", epsilon=8.0))
    reply = unpack(handle(kind, pack(messages.train(WEIGHTS, task).content)))
    with pytest.raises(RegionFailedError, match=r"asks for privacy.epsilon = 8; region eu allows at most 4"):
        messages.raise_failure(reply)
    assert messages.region_of(reply) == "eu"
    with TrainingStore(training.path, training, now_ns=lambda: 0) as store:
        assert store.spent() == ()
