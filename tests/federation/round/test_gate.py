from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.protocol.records import UNLABELLED, HoldoutFigures, LabelledAnomalies, Pairs
from federation.round.evidence import quality, table
from federation.round.gate import Verdict, alert_changes, judge
from federation.round.result import Standing
from federation.round.settings import RoundSettings
from tests.support.prepared import figures

SETTINGS = RoundSettings.model_validate({})
BAD, GOOD = (50, 30, 50, 870), (95, 5, 5, 895)


def takers(verdict: Verdict) -> list[str]:
    return [v.region for v in verdict.regions if v.adopts]


def standings(verdict: Verdict) -> dict[str, str]:
    return {v.region: str(v.standing) for v in verdict.regions}


def test_better_everywhere_is_accepted_for_all() -> None:
    verdict = judge([figures(r, BAD, GOOD) for r in ("eu", "us")], SETTINGS)
    assert verdict.accepted
    assert verdict.others_adopt
    assert takers(verdict) == ["eu", "us"]
    assert "over 2 regions 0.5556 became 0.9500 (140 sessions judged better and 0 worse, 90 %" in verdict.reason
    assert [(v.before, v.after, v.labelled) for v in verdict.regions] == [(quality(BAD), quality(GOOD), 1000)] * 2


def test_without_anomalies_a_gain_of_accuracy_has_no_interval_of_f1() -> None:
    reason = judge([figures(r, (0, 19, 0, 18), (0, 0, 0, 37)) for r in ("eu", "us")], SETTINGS).reason
    assert "0.4865 became 1.0000 (38 sessions judged better and 0 worse)" in reason


def test_a_region_that_loses_keeps_its_version_and_does_not_stop_the_others() -> None:
    found = [figures("eu", BAD, GOOD), figures("us", BAD, GOOD), figures("ap", GOOD, BAD)]
    verdict = judge(found, SETTINGS)
    assert verdict.accepted
    assert takers(verdict) == ["eu", "us"]
    assert "worse in ap, which keeps its version: 0.9500 became 0.5556 by 70 sessions" in verdict.reason


def test_five_sessions_in_one_region_no_longer_cost_all_others_the_gain() -> None:
    found = [figures("eu", (30, 20, 80, 870), (80, 20, 30, 870)), figures("us", (40, 0, 0, 60), (35, 0, 5, 60))]
    verdict = judge(found, SETTINGS)
    assert takers(verdict) == ["eu"]
    assert standings(verdict) == {"eu": "gains", "us": "loses"}


def test_a_region_that_alone_gains_takes_it_alone() -> None:
    same = figures("us", (10, 0, 0, 9990), (10, 0, 0, 9990))
    worse = figures("ap", (900, 0, 0, 9000), (890, 0, 10, 9000))
    verdict = judge([figures("eu", (0, 0, 10, 90), (9, 0, 1, 90)), same, worse], SETTINGS)
    assert verdict.accepted
    assert takers(verdict) == ["eu"]
    assert not verdict.others_adopt
    assert verdict.reason.startswith("the candidate is better in eu only")


@pytest.mark.parametrize("better", [1, 2, 4])
def test_a_few_sessions_do_not_publish_and_the_missing_evidence_is_named(better: int) -> None:
    after = (10 + better, 2, 10 - better, 90)
    verdict = judge([figures("eu", (10, 2, 10, 90), after), figures("us", (0, 0, 0, 112), (0, 0, 0, 112))], SETTINGS)
    assert not verdict.accepted
    assert f"at least {5 - better} more sessions that only the candidate judges right are needed" in verdict.reason


def test_a_single_session_is_luck_and_two_keep_a_version() -> None:
    before, one, two = (10, 0, 0, 90), (9, 0, 1, 90), (9, 1, 1, 89)
    others = [figures(r, BAD, GOOD) for r in ("ap", "eu")]
    for after, expected in ((one, ["ap", "eu", "us"]), (two, ["ap", "eu"])):
        assert takers(judge([*others, figures("us", before, after)], SETTINGS)) == expected


def test_a_loss_within_the_margin_is_borne() -> None:
    found = [figures("eu", BAD, GOOD), figures("us", GOOD, (93, 5, 7, 895))]
    assert takers(judge(found, SETTINGS)) == ["eu", "us"]
    assert takers(judge(found, SETTINGS.model_copy(update={"margin_region": 0.001}))) == ["eu"]


def test_as_good_is_not_better() -> None:
    assert not judge([figures(r, GOOD, GOOD) for r in ("eu", "us")], SETTINGS).accepted


def test_worse_everywhere_says_so() -> None:
    verdict = judge([figures(r, GOOD, BAD) for r in ("eu", "us")], SETTINGS)
    assert not verdict.accepted
    assert "0.9500 became 0.5556" in verdict.reason
    assert ", which is worse" in verdict.reason


def test_the_margin_over_all_regions_binds_those_that_are_not_sure_themselves() -> None:
    found = [figures("eu", BAD, GOOD), figures("us", GOOD, GOOD)]
    assert takers(judge(found, SETTINGS)) == ["eu", "us"]
    assert takers(judge(found, SETTINGS.model_copy(update={"margin_overall": 0.5}))) == ["eu"]


def test_without_anomalies_fewer_false_alarms_are_better() -> None:
    found = [figures(r, (0, 40, 0, 60), (0, 1, 0, 99)) for r in ("eu", "us")]
    assert judge(found, SETTINGS).accepted


def test_too_few_regions_prove_nothing() -> None:
    verdict = judge([figures("eu", BAD, GOOD)], SETTINGS)
    assert not verdict.accepted
    assert "1 regions gave holdout figures, 2 are needed" in verdict.reason


def test_a_region_without_holdout_follows_the_others() -> None:
    empty = HoldoutFigures("us", (0, 0, 0, 0), (0, 0, 0, 0))
    assert takers(judge([figures("eu", BAD, GOOD), empty], SETTINGS)) == ["eu", "us"]


def test_nobody_has_a_holdout() -> None:
    empty = [HoldoutFigures(r, (0, 0, 0, 0), (0, 0, 0, 0)) for r in ("eu", "us")]
    assert not judge(empty, SETTINGS).accepted


@pytest.mark.parametrize("factor", [50, 9_000])
def test_a_region_with_many_times_the_data_does_not_decide_for_the_others(factor: int) -> None:
    """It says 'better' of a candidate that the others find worse, if not surely so by themselves."""
    small = figures("us", (180, 10, 20, 790), (177, 12, 23, 788))
    others = [replace(small, region=name) for name in ("ap", "us")]
    large = figures("eu", (100 * factor, 0, 100 * factor, 800 * factor), (103 * factor, 0, 97 * factor, 800 * factor))
    verdict = judge([large, *others], SETTINGS.model_copy(update={"margin_region": 0.5}))
    assert takers(verdict) == ["eu", "ap", "us"][:1] or takers(verdict) == ["ap", "eu", "us"]
    pooled = float(verdict.reason.split("over 3 regions ")[1].split(" ")[0])
    # Half of the weight is eu's, for any number of its sessions.
    assert pooled == pytest.approx(0.5 * (2 / 3) + 0.5 * quality(small.current), abs=0.06)


def test_a_verdict_counts_the_alerts_that_a_version_adds_and_drops() -> None:
    found = HoldoutFigures(
        "eu", (5, 9, 8, 80), (9, 4, 4, 85), answered=Pairs(found=5, lost=1, cleared=7, raised=2),
        ruled=Pairs(found=1), unlabelled=(3, 4, 6, 900),
    )  # fmt: skip
    assert alert_changes(found) == (5 + 2 + 1 + 6, 1 + 7 + 4)
    (verdict,) = judge([found], RoundSettings.model_validate({"min_regions": 1})).regions
    assert (verdict.alerts_added, verdict.alerts_dropped) == (14, 12)
    classes = tuple(range(49))
    assert alert_changes(HoldoutFigures("eu", classes, classes, Pairs(found=3))) == (0, 0)


def test_a_region_that_says_the_opposite_of_all_others_is_named_and_stops_nobody() -> None:
    found = [*(figures(r, BAD, GOOD) for r in ("eu", "us", "me")), figures("ap", GOOD, BAD)]
    verdict = judge(found, SETTINGS)
    assert takers(verdict) == ["eu", "me", "us"]
    assert "ap disagrees with all others: check its labels, or leave it out (leave_out in [round])" in verdict.reason
    praised = judge([*(figures(r, GOOD, BAD) for r in ("eu", "us", "me")), figures("ap", BAD, GOOD)], SETTINGS)
    assert takers(praised) == ["ap"]
    assert "ap disagrees with all others" in praised.reason


def test_labels_of_rules_weigh_half_and_sessions_without_a_label_nothing() -> None:
    def region(**changes: Pairs) -> list[HoldoutFigures]:
        return [HoldoutFigures(r, (0, 0, 6, 90), (6, 0, 0, 90), **changes) for r in ("eu", "us")]

    assert judge(region(answered=Pairs(found=6)), SETTINGS).accepted
    three = [HoldoutFigures(r, (0, 0, 6, 90), (4, 0, 2, 90), ruled=Pairs(found=4)) for r in ("eu", "us")]
    assert not judge(three, SETTINGS).accepted
    silent = [HoldoutFigures(r, (0, 0, 0, 0), (0, 0, 0, 0), unlabelled=(0, 900, 0, 100)) for r in ("eu", "us")]
    assert not judge(silent, SETTINGS).accepted, "fewer alerts are not better"


cells = st.integers(0, 30)


@st.composite
def holdouts(draw: st.DrawFn, region: str) -> HoldoutFigures:
    old = tuple(draw(st.lists(cells, min_size=4, max_size=4)))
    pairs = Pairs(
        draw(st.integers(0, old[2])), draw(st.integers(0, old[0])), draw(st.integers(0, old[1])),
        draw(st.integers(0, old[3])),
    )  # fmt: skip
    gained, raised = pairs.found - pairs.lost, pairs.raised - pairs.cleared
    return HoldoutFigures(
        region, old, (old[0] + gained, old[1] + raised, old[2] - gained, old[3] - raised), answered=pairs
    )


def exchanged(f: HoldoutFigures) -> HoldoutFigures:
    p = f.answered
    return HoldoutFigures(f.region, f.candidate, f.current, Pairs(p.lost, p.found, p.raised, p.cleared))


@given(holdouts("ap"), holdouts("eu"), holdouts("us"))
def test_no_region_gains_from_a_candidate_and_from_going_back(a: HoldoutFigures, b: HoldoutFigures, c) -> None:
    forth = standings(judge([a, b, c], SETTINGS))
    back = standings(judge([exchanged(f) for f in (a, b, c)], SETTINGS))
    for region, standing in forth.items():
        if standing == Standing.GAINS:
            assert back[region] != Standing.GAINS


@given(holdouts("ap"), holdouts("eu"), holdouts("us"))
def test_no_region_adopts_what_its_own_sessions_surely_reject(a: HoldoutFigures, b: HoldoutFigures, c) -> None:
    verdict = judge([a, b, c], SETTINGS)
    assert verdict.accepted == bool(takers(verdict))
    assert not [v for v in verdict.regions if v.adopts and v.standing is Standing.LOSES]
    assert judge([c, a, b], SETTINGS) == verdict, "the order of regions matters"


@pytest.mark.parametrize(("cells", "value"), [((0, 0, 0, 0), 1.0), ((0, 1, 0, 3), 0.75), ((1, 1, 1, 9), 0.5)])
def test_quality(cells: tuple[int, int, int, int], value: float) -> None:
    assert quality(cells) == value


def test_a_card_has_no_f1_where_no_anomaly_has_a_label() -> None:
    assert table([(0, 0, 0, 0), (0, 2, 0, 8)]) == {
        "true_positives": 0.0, "false_positives": 2.0, "false_negatives": 0.0, "true_negatives": 8.0,
    }  # fmt: skip
    assert table([(1, 1, 1, 9)])["f1"] == 0.5


def unlabelled(region: str, found: int, lost: int, **changes) -> HoldoutFigures:
    nothing = (0, 0, 0, 0)
    return HoldoutFigures(
        region,
        nothing,
        nothing,
        unlabelled=(0, 50, 0, 150),
        made_up=Pairs(found, lost),
        strange=(40, 3, 200),
        **changes,
    )


def test_without_labels_made_up_incidents_decide_and_the_verdict_says_so() -> None:
    verdict = judge([unlabelled("eu", 60, 3), unlabelled("us", 50, 2)], SETTINGS)
    assert verdict.accepted
    assert "no held-out anomaly has a label; of incidents made up in 400 recent windows, 110 are found only by" in (
        verdict.reason
    )
    worse = judge([unlabelled("eu", 60, 3), unlabelled("us", 2, 50)], SETTINGS)
    assert takers(worse) == ["eu"]
    assert "worse in us, which keeps its version: it finds 48 fewer made-up incidents" in worse.reason


def test_the_verdict_without_labels_names_all_that_it_rests_on() -> None:
    reason = judge([unlabelled("eu", 60, 3), unlabelled("us", 50, 2)], SETTINGS).reason
    assert "80 of the unchanged windows were stranger than nearly all calibration windows, and 6 are now" in reason
    assert "0 have alerts of both models, 100 only of the current one and 0 only of the candidate" in reason


def test_a_candidate_whose_scores_do_not_fit_a_region_loses_there() -> None:
    strange = replace(unlabelled("us", 50, 2), strange=(20, 90, 200))
    verdict = judge([unlabelled("eu", 60, 3), strange], SETTINGS)
    assert takers(verdict) == ["eu"]
    assert (
        "worse in us, which keeps its version: 90 of 200 recent windows are strange to it, 20 to the" in verdict.reason
    )
    as_before = replace(strange, strange=(88, 90, 200))
    assert takers(judge([unlabelled("eu", 60, 3), as_before], SETTINGS)) == ["eu", "us"]
    few = replace(strange, strange=(2, 20, 200))
    assert takers(judge([unlabelled("eu", 60, 3), few], SETTINGS)) == ["eu", "us"], "these may be anomalies"


def test_fewer_alerts_without_labels_are_no_evidence() -> None:
    assert not judge([unlabelled("eu", 0, 0), unlabelled("us", 0, 0)], SETTINGS).accepted


def test_made_up_incidents_do_not_count_beside_labelled_anomalies() -> None:
    labelled = replace(figures("us", GOOD, GOOD), made_up=Pairs(found=100), strange=(40, 3, 200))
    verdict = judge([replace(labelled, region="eu"), labelled], SETTINGS)
    assert not verdict.accepted
    assert "made up" not in verdict.reason
    better = [figures("eu", BAD, GOOD), figures("us", BAD, GOOD), unlabelled("ap", 2, 50)]
    assert takers(judge(better, SETTINGS)) == ["ap", "eu", "us"], "the labels of the others decide for ap"


def answered(region: str, found: int, lost: int, **changes) -> HoldoutFigures:
    """Two labelled anomalies that only the candidate finds among 200 sessions without a label."""
    few = {"current": (1, 0, 2, 3), "candidate": (3, 0, 0, 3), "answered": Pairs(found=2)} | changes
    return replace(unlabelled(region, found, lost), **few)


def test_where_a_few_labels_leave_it_open_made_up_incidents_decide() -> None:
    found = [answered("eu", 60, 3), unlabelled("us", 50, 2)]
    verdict = judge(found, SETTINGS, BY_PEOPLE)
    assert not verdict.accepted, "no label of a version that people made"
    known = [replace(found[0], known=BY_PEOPLE), found[1]]
    verdict = judge(known, SETTINGS, BY_PEOPLE)
    assert takers(verdict) == ["eu", "us"]
    assert judge(known[::-1], SETTINGS, BY_PEOPLE) == verdict, "the order in which regions answered decides nothing"
    assert verdict.reason.startswith("the few labels leave it open (the candidate is not better for sure: over 2 regi")
    assert "the candidate is better: over 2 regions without the labels; of incidents made up in 400" in verdict.reason
    assert next((v.before, v.after, v.labelled) for v in verdict.regions) == (0.5, 1.0, 6), "F1 stays that of labels"


def test_a_few_labels_are_heard_where_they_contradict_made_up_incidents() -> None:
    lost = answered("eu", 60, 3, candidate=(0, 0, 3, 3), answered=Pairs(lost=1))
    assert not judge([lost, unlabelled("us", 50, 2)], SETTINGS).accepted, "F1 falls on the labels"
    forgets = answered("eu", 60, 3, anchors=Pairs(lost=3))
    assert takers(judge([forgets, unlabelled("us", 50, 2)], SETTINGS)) == ["us"]
    many = replace(answered("eu", 60, 3), unlabelled=(0, 1, 0, 1))
    assert not judge([many, replace(unlabelled("us", 50, 2), unlabelled=(0, 0, 0, 0))], SETTINGS).accepted


BY_PEOPLE, BY_TRUTH, BY_RULES = LabelledAnomalies(feedback=7), LabelledAnomalies(labels=7), LabelledAnomalies(rules=7)


def test_a_version_that_labels_made_stays_where_nothing_has_a_label() -> None:
    found = [unlabelled("eu", 60, 3), unlabelled("us", 50, 2)]
    verdict = judge(found, SETTINGS, BY_TRUTH)
    assert not verdict.accepted
    assert standings(verdict) == {"eu": "held", "us": "held"}
    assert not verdict.others_adopt
    assert verdict.reason.startswith("the candidate seems better")
    assert "labels made the version of eu and us, which stays: no anomaly has a label now, so nothing shows that" in (
        verdict.reason
    )
    assert takers(judge(found, SETTINGS, BY_TRUTH, {"us": UNLABELLED})) == ["us"], "its version is made without labels"
    assert takers(judge(found, SETTINGS.model_copy(update={"margin_overall": -1.0}), BY_TRUTH)) == ["eu", "us"]


def test_labels_of_rules_do_not_replace_a_version_that_people_made() -> None:
    found = [replace(figures(r, BAD, GOOD), known=BY_RULES) for r in ("eu", "us")]
    assert takers(judge(found, SETTINGS, BY_RULES)) == ["eu", "us"]
    verdict = judge(found, SETTINGS, BY_PEOPLE)
    assert not verdict.accepted
    assert "only rules label anomalies now" in verdict.reason
    answered = [found[0], replace(found[1], known=BY_PEOPLE)]
    assert takers(judge(answered, SETTINGS, BY_TRUTH)) == ["eu", "us"], "the labels of any region are evidence"


def test_labelled_anomalies_outside_the_holdout_must_still_be_found() -> None:
    kept = [unlabelled("eu", 60, 3, known=BY_PEOPLE), unlabelled("us", 50, 2)]
    assert takers(judge(kept, SETTINGS, BY_PEOPLE)) == ["eu", "us"]
    forgotten = [replace(kept[0], anchors=Pairs(found=1, lost=3)), kept[1]]
    verdict = judge(forgotten, SETTINGS, BY_PEOPLE)
    assert not verdict.accepted
    assert standings(verdict) == {"eu": "loses", "us": "held"}
    assert "worse in eu, which keeps its version: it finds 2 fewer of the labelled anomalies" in (verdict.reason)
    assert takers(judge(forgotten, SETTINGS)) == ["us"], "its version rests on no label"


counts = st.builds(LabelledAnomalies, st.integers(0, 2), st.integers(0, 2), st.integers(0, 2))


@st.composite
def judges(draw: st.DrawFn, region: str) -> HoldoutFigures:
    """Figures with or without labels."""
    if draw(st.booleans()):
        return replace(draw(holdouts(region)), known=draw(counts))
    incidents = draw(st.integers(0, 200)), draw(st.integers(0, 200))
    return unlabelled(region, *incidents, known=draw(counts), anchors=Pairs(draw(cells), draw(cells)))


@given(judges("ap"), judges("eu"), judges("us"), counts, st.dictionaries(st.sampled_from(["eu", "us", "xx"]), counts))
def test_no_region_leaves_a_version_for_a_candidate_with_weaker_labels(a, b, c, made_with, kept) -> None:
    verdict = judge([a, b, c], SETTINGS, made_with, kept)
    proof = (a.known + b.known + c.known).strength
    for adopted in takers(verdict):
        assert kept.get(adopted, made_with).strength <= proof
    assert not verdict.others_adopt or all(v.strength <= proof for v in (made_with, *kept.values()))
    free = judge([a, b, c], SETTINGS)
    assert set(takers(verdict)) <= set(takers(free)), "the rule can only hold regions back"
