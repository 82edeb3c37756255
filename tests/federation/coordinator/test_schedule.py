import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.coordinator.records import RoundTrigger
from federation.coordinator.schedule import Begin, ScheduleSettings, Situation, Wait, decide

S = 10**9
SETTINGS = ScheduleSettings(debounce_s=5, cool_down_s=60, every_s=0)


def drift(time_s, version=3, region="eu"):
    return RoundTrigger(f"{region}{time_s}", "drift", region, int(time_s * S), version, f"drift in {region}")


MANUAL = RoundTrigger("m", "manual", "", 99 * S, 0, "asked for")


def situation(now_s, *triggers, **changes):
    known = {
        "now_ns": int(now_s * S), "triggers": triggers, "version": 3, "online": 3, "needed": 2,
        "since_ns": 0, "rounds": 0,
    }  # fmt: skip
    return Situation(**{**known, **changes})


def test_without_a_reason_nothing_happens():
    assert decide(SETTINGS, situation(1_000)) == Wait("no reason for a round")


def test_drift_is_gathered_first():
    assert "due in 2 s" in decide(SETTINGS, situation(103, drift(100), drift(102, region="us"))).reason
    decision = decide(SETTINGS, situation(105, drift(100), drift(102, region="us")))
    assert isinstance(decision, Begin)
    assert decision.reason == "drift in eu; drift in us"


def test_the_reason_is_the_newest_word_of_each_region():
    triggers = [RoundTrigger(f"{r}{i}", "drift", r, i, 3, f"{r} {i}") for i in range(3) for r in ("eu", "us")]
    decision = decide(SETTINGS, situation(200, *triggers))
    assert isinstance(decision, Begin)
    assert decision.reason == "eu 2; us 2 (6 in all)"
    assert len(decision.triggers) == 6


def test_drift_waits_for_the_end_of_the_cool_down_and_a_command_does_not():
    cooling = {"since_ns": 90 * S, "rounds": 1}
    assert "due in 50 s" in decide(SETTINGS, situation(100, drift(91), **cooling)).reason
    assert isinstance(decide(SETTINGS, situation(150, drift(91), **cooling)), Begin)
    assert isinstance(decide(SETTINGS, situation(100, drift(91), MANUAL, **cooling)), Begin)


def test_a_command_waits_a_minute_for_the_nodes_of_all_regions():
    starting = {"online": 2, "expected": 3}
    waits = decide(SETTINGS, situation(100, MANUAL, **starting))
    assert waits == Wait("a round is due; 2 of 3 regions are online, others may start")
    assert isinstance(decide(SETTINGS, situation(100, MANUAL, online=3, expected=3)), Begin)
    assert isinstance(decide(SETTINGS, situation(99 + 61, MANUAL, **starting)), Begin)
    assert isinstance(decide(SETTINGS, situation(200, drift(100), **starting)), Begin), "drift does not wait"


def test_there_is_nothing_to_cool_down_from_before_the_first_round():
    assert isinstance(decide(SETTINGS, situation(20, drift(10), since_ns=9 * S)), Begin)


def test_drift_of_an_older_model_has_had_its_round():
    old = drift(100, version=2)
    assert decide(SETTINGS, situation(200, old, drift(150))).stale == (old,)
    assert isinstance(decide(SETTINGS, situation(200, drift(100, version=4))), Begin)


def test_drift_of_the_version_that_a_region_keeps_is_not_old():
    old = drift(100, version=2)
    assert isinstance(decide(SETTINGS, situation(200, old, held={"eu": 2})), Begin)
    assert decide(SETTINGS, situation(200, old, held={"us": 2})).stale == (old,)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"version": None}, "holds no current version"),
        ({"online": None}, "does not report which nodes are online"),
        ({"online": 1}, "1 nodes are online, 2 are needed"),
    ],
)
def test_what_a_round_needs(changes, says):
    assert says in decide(SETTINGS, situation(200, MANUAL, **changes)).reason


def test_the_schedule_is_a_reason_of_its_own():
    every = SETTINGS.model_copy(update={"every_s": 100.0})
    assert isinstance(decide(every, situation(99, rounds=2)), Wait)
    decision = decide(every, situation(100, rounds=2))
    assert isinstance(decision, Begin)
    assert [t.kind for t in decision.triggers] == ["schedule"]
    assert decision == decide(every, situation(100, rounds=2))


@given(
    st.lists(st.tuples(st.integers(0, 100), st.integers(1, 4)), max_size=5),
    st.integers(0, 200),
    st.integers(0, 3),
    st.integers(0, 150),
)
def test_a_round_begins_only_when_everything_allows_it(drifts, now, online, since):
    known = tuple(drift(t, v) for t, v in drifts if t <= now)
    decision = decide(SETTINGS, situation(now, *known, online=online, since_ns=since * S, rounds=1))
    if isinstance(decision, Begin):
        assert online >= 2
        assert now >= since + 60
        assert now >= min(t.time_ns for t in known) / S + 5
        assert decision.triggers == known
        assert all(t.version >= 3 for t in known)
    else:
        assert decision.reason
