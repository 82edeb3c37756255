import json
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from engine.records import Decision
from engine.steps.decide import STRONGER, Decider, DecideSettings
from engine.steps.silences import SuppressionRule

TEXTS = {1: "disk error on <*>", 2: "heartbeat from <*>", 3: "login of <*>"}


@pytest.fixture
def decide(scored):
    """Decisions for a list of windows, all in one batch, by a fresh decider."""

    def run(windows, *, sessions_end=False, threshold=0.5, **settings):
        decider = Decider(DecideSettings(**settings), TEXTS, sessions_end=sessions_end)
        return decider.decide(scored(*windows, threshold=threshold)), decider

    return run


def indices(decisions):
    return [d.index for d in decisions]


# --- threshold -----------------------------------------------------------------------------------


def test_a_score_at_the_threshold_is_anomalous(decide, window):
    decisions, _ = decide([window(score=0.5), window(score=0.49, key="other")])
    assert indices(decisions) == [0]


def test_the_threshold_in_force_is_named_in_the_decision(scored, window):
    by_model = Decider(DecideSettings(), TEXTS, sessions_end=False).decide(scored(window(score=0.95), threshold=0.9))
    by_settings = Decider(DecideSettings(threshold=0.25), TEXTS, sessions_end=False).decide(
        scored(window(score=0.3), threshold=0.9)
    )
    assert [d.threshold for d in (*by_model, *by_settings)] == [0.9, 0.25]


def test_an_empty_batch_decides_nothing(decide):
    assert decide([])[0] == ()


# --- episodes ------------------------------------------------------------------------------------


def test_one_alert_an_episode_and_the_next_one_tells_the_repeats(decide, window):
    decisions, _ = decide([window(score=s) for s in (0.9, 0.8, 0.7, 0.1, 0.9)])
    assert [(d.index, d.repeats) for d in decisions] == [(0, 0), (4, 2)]


def test_sessions_and_partitions_have_episodes_of_their_own(decide, window):
    windows = [window(score=0.9, key=k, partition=p) for k in "ab" for p in "xy"] * 2
    assert indices(decide(windows)[0]) == [0, 1, 2, 3]


def test_consecutive_windows_are_needed_and_an_interruption_starts_anew(decide, window):
    scores = [0.9, 0.9, 0.1, 0.9, 0.9, 0.9, 0.9]
    decisions, _ = decide([window(score=s) for s in scores], consecutive=3)
    # Four anomalous windows went by without an alert before the one that is due.
    assert [(d.index, d.repeats) for d in decisions] == [(5, 4)]


def test_other_sessions_in_between_do_not_interrupt(decide, window):
    windows = [window(score=0.9, key="a"), window(score=0.1, key="b"), window(score=0.9, key="a")]
    assert indices(decide(windows, consecutive=2)[0]) == [2]


def test_a_session_recovers_only_below_the_release_margin(decide, window):
    scores = [0.9, 0.45, 0.9, 0.2, 0.9]
    decisions, _ = decide([window(score=s) for s in scores], release_margin=0.2)
    assert [(d.index, d.repeats) for d in decisions] == [(0, 0), (4, 1)]


def test_the_band_below_the_threshold_interrupts_a_run_that_has_not_alerted(decide, window):
    scores = [0.9, 0.45, 0.9]
    assert decide([window(score=s) for s in scores], release_margin=0.2, consecutive=2)[0] == ()


def test_the_end_of_a_session_ends_its_episode(decide, window):
    windows = [window(score=0.9), window(score=0.9, closed=True), window(score=0.9)]
    assert indices(decide(windows, sessions_end=True)[0]) == [0, 2]
    assert indices(decide(windows, sessions_end=False)[0]) == [0]


def test_the_oldest_episodes_are_forgotten_beyond_the_bound(decide, window):
    windows = [window(score=0.9, key=k) for k in "abca"]
    assert indices(decide(windows, max_open=2)[0]) == [0, 1, 2, 3]
    assert indices(decide(windows, max_open=3)[0]) == [0, 1, 2]


def test_an_incident_behind_a_harmless_anomaly_is_not_hidden(decide, window):
    """A harmless window opens the episode, and the score does not recover before the incident is over."""
    windows = [window(score=0.1, rows=(2, 3)), window(score=0.9, rows=(2, 7))]
    windows += [window(score=0.8, rows=(2, 3, 7)), window(score=0.8, rows=(2, 1)), window(score=0.8, rows=(1, 3))]
    decisions, _ = decide(windows)
    assert [(d.index, d.repeats) for d in decisions] == [(1, 0), (3, 1)]


def test_a_clearly_higher_score_is_news_and_a_rising_one_costs_few_alerts(decide, window):
    decisions, _ = decide([window(score=0.5 + i / 1024) for i in range(1, 401)])
    assert indices(decisions) == [0, 1, 3, 7, 15, 31, 63, 127, 255]


@given(data=st.data())
def test_every_template_over_the_threshold_is_visible_at_once(data, streams, scored):
    """Whatever the stream: what normal windows did not show before the episode is in an alert of its window."""
    stream = data.draw(streams)
    decider = Decider(DecideSettings(), TEXTS, sessions_end=False)
    alerted = {d.index for d in decider.decide(scored(*stream, threshold=0.5))}
    shown: dict = {}
    opened: dict = {}
    for i, w in enumerate(stream):
        key = w.partition, w.session_id()
        if w.score < 0.5:
            shown.pop(key, None)
            continue
        if key not in shown:
            assert i in alerted
            shown[key], opened[key] = set(), i
        if i in alerted:
            shown[key] |= set(w.rows)
        ordinary = {t for v in stream[: opened[key]] if v.score < 0.5 for t in v.rows}
        assert set(w.rows) - shown[key] <= ordinary


# --- groups --------------------------------------------------------------------------------------


def test_a_group_is_the_set_of_templates_whatever_their_order_and_number(decide, window):
    rows = [(1, 2), (2, 1, 1), (1, 3)]
    decisions, _ = decide([window(score=0.9, key=str(i), rows=r) for i, r in enumerate(rows)])
    assert [d.group_count for d in decisions] == [1, 2, 1]
    assert decisions[0].group == decisions[1].group != decisions[2].group


def test_a_group_ends_after_its_time_without_an_alert(decide, window):
    times = [0, 300 * 10**9, 600 * 10**9 + 1]
    decisions, _ = decide([window(score=0.9, key=str(t), time_ns=t) for t in times], group_s=300)
    assert [d.group_count for d in decisions] == [1, 2, 1]


def test_an_older_event_time_neither_ends_a_group_nor_sets_it_back(decide, window):
    times = [400 * 10**9, 0, 600 * 10**9]
    decisions, _ = decide([window(score=0.9, key=str(t), time_ns=t) for t in times], group_s=300)
    assert [d.group_count for d in decisions] == [1, 2, 3]


def test_doubling_alerts_at_powers_of_two_and_counts_what_it_withholds(decide, window):
    decisions, decider = decide([window(score=0.9, key=str(i)) for i in range(9)], group_repeats="doubling")
    assert [d.group_count for d in decisions] == [1, 2, 4, 8]
    assert decider.suppressed == {"group": 5}


def test_what_a_group_withholds_is_told_with_the_sessions_next_alert(decide, window):
    windows = [window(score=0.9, key="x"), window(score=0.9, key="y")]
    windows += [window(score=0.9, key="z"), window(score=0.9, key="z"), window(score=0.1, key="z")]
    windows += [window(score=0.9, key="z", rows=(3,))]
    decisions, _ = decide(windows, group_repeats="doubling")
    assert [(d.index, d.repeats) for d in decisions] == [(0, 0), (1, 0), (5, 2)]


# --- suppression ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "withheld"),
    [
        ({"template": "^disk"}, [0, 1]),
        ({"session": "^web-"}, [1, 2]),
        ({"max_score": 0.8}, [2]),
        ({"template": "^disk", "session": "^web-"}, [1]),
        ({"template": "login", "session": "db", "max_score": 1.0}, []),
    ],
)
def test_a_rule_withholds_windows_that_match_all_of_its_conditions(decide, window, rule, withheld):
    windows = [
        window(score=0.9, key="db-1", rows=(2, 1)),
        window(score=0.9, key="web-1", rows=(1,)),
        window(score=0.7, key="web-2", rows=(3,)),
    ]
    decisions, decider = decide(windows, suppress=(SuppressionRule(name="known", **rule),))
    assert indices(decisions) == [i for i in range(3) if i not in withheld]
    assert decider.suppressed == ({"known": len(withheld)} if withheld else {})


def test_the_first_rule_that_matches_is_counted(decide, window):
    rules = (SuppressionRule(name="one", template="disk"), SuppressionRule(name="two", session="s"))
    assert decide([window(score=0.9)], suppress=rules)[1].suppressed == {"one": 1}


def test_a_withheld_window_does_not_hide_a_later_one_that_no_rule_takes(decide, window):
    windows = [window(score=0.9, rows=(1,)), window(score=0.9, rows=(3,))]
    decisions, _ = decide(windows, suppress=(SuppressionRule(name="disk", template="disk"),))
    assert [(d.index, d.repeats) for d in decisions] == [(1, 0)]


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({"name": "all"}, "has no condition; give template, session, max_score, reason or ends"),
        ({"name": "bad", "template": "("}, "is not a regular expression"),
        ({"name": "bad", "session": "["}, "is not a regular expression"),
        ({"name": "group", "session": "x"}, "another name"),
    ],
)
def test_a_rule_that_cannot_work_is_refused_with_a_reason(rule, says):
    with pytest.raises(ValidationError, match=says):
        SuppressionRule(**rule)


# --- laws ----------------------------------------------------------------------------------------


@dataclass
class PlainEpisode:
    above: int = 0
    alerted: bool = False
    repeats: int = 0
    opened: int = 0
    peak: float = 0.0
    shown: set = field(default_factory=set)


@dataclass
class Plain:
    """The rules written one window at a time, without bounds or short cuts."""

    settings: DecideSettings
    sessions_end: bool
    episodes: dict = field(default_factory=dict)
    groups: dict = field(default_factory=dict)
    normal: list = field(default_factory=list)

    def window(self, w, threshold):
        self.normal.append(set(w.rows) if w.score < threshold - self.settings.release_margin else set())
        episode = self.episodes.setdefault((w.partition, w.session_id()), PlainEpisode())
        due = self._due(w, episode, threshold)
        if self.sessions_end and w.closed:
            del self.episodes[w.partition, w.session_id()]
        return due

    def _due(self, w, episode, threshold):
        if w.score < threshold:
            if not episode.alerted or w.score < threshold - self.settings.release_margin:
                self.episodes[w.partition, w.session_id()] = PlainEpisode(repeats=episode.repeats)
            return None
        episode.above += 1
        if episode.above < self.settings.consecutive or (episode.alerted and not self._is_news(w, episode, threshold)):
            episode.repeats += 1
            return None
        if any(r.matches(w.score, w.key, [TEXTS[t] for t in w.rows]) for r in self.settings.suppress):
            return None
        if not episode.alerted:
            episode.alerted, episode.opened = True, len(self.normal) - 1
        episode.peak = max(episode.peak, w.score)
        episode.shown |= set(w.rows)
        count, last_ns = self.groups.get(frozenset(w.rows), (0, w.time_ns))
        if w.time_ns - last_ns > self.settings.group_s * 1e9:
            count = 0
        self.groups[frozenset(w.rows)] = count + 1, max(last_ns, w.time_ns)
        if self.settings.group_repeats == "doubling" and count + 1 not in (1, 2, 4, 8, 16, 32, 64):
            episode.repeats += 1
            return None
        repeats, episode.repeats = episode.repeats, 0
        return repeats, count + 1

    def _is_news(self, w, episode, threshold):
        if w.score > threshold and w.score - threshold >= STRONGER * (episode.peak - threshold):
            return True
        ordinary = set().union(*self.normal[: episode.opened])
        return bool(set(w.rows) - episode.shown - ordinary)


settings_of = st.builds(
    DecideSettings,
    consecutive=st.integers(1, 3),
    release_margin=st.sampled_from([0.0, 0.25]),
    group_s=st.sampled_from([1.0, 5.0]),
    group_repeats=st.sampled_from(["each", "doubling"]),
    suppress=st.sampled_from(
        [(), (SuppressionRule(name="a", template="disk"),), (SuppressionRule(name="b", session="a", max_score=0.75),)]
    ),
)


@pytest.fixture(scope="session")
def streams(window):
    one = st.builds(
        window,
        # Exact in float32, so that the plain reference compares the same numbers.
        score=st.sampled_from([0.0, 0.125, 0.375, 0.5, 0.75, 1.0]),
        key=st.sampled_from("abc"),
        partition=st.sampled_from("xy"),
        rows=st.sampled_from([(1,), (1, 2), (2, 1, 1), (3,)]),
        closed=st.booleans(),
        time_ns=st.integers(0, 10).map(lambda s: s * 10**9),
    )
    return st.lists(one, max_size=40)


@given(data=st.data(), settings=settings_of, sessions_end=st.booleans(), threshold=st.sampled_from([None, 0.5]))
def test_decisions_follow_the_rules_whatever_the_batches_and_restarts(
    data, settings, sessions_end, threshold, streams, scored
):
    stream = data.draw(streams)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    restarts = data.draw(st.sets(st.sampled_from([*cuts, -1])))
    settings = settings.model_copy(update={"threshold": threshold})
    model_threshold = 0.5 if threshold is None else 0.99

    plain = Plain(settings, sessions_end)
    expected = [(i, *due) for i, w in enumerate(stream) if (due := plain.window(w, 0.5)) is not None]

    decider = Decider(settings, TEXTS, sessions_end=sessions_end)
    found: list[tuple[int, int, int]] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        decisions: tuple[Decision, ...] = decider.decide(scored(*stream[start:end], threshold=model_threshold))
        found += [(start + d.index, d.repeats, d.group_count) for d in decisions]
        if end in restarts:
            decider = Decider(settings, TEXTS, sessions_end=sessions_end, snapshot=decider.snapshot())
    assert found == expected


@given(data=st.data(), max_open=st.integers(1, 3))
def test_bounded_memory_is_as_independent_of_batches(data, max_open, streams, scored):
    stream = data.draw(streams)
    cut = data.draw(st.integers(0, len(stream)))
    settings = DecideSettings(max_open=max_open, consecutive=2)
    whole = Decider(settings, TEXTS, sessions_end=False)
    parts = Decider(settings, TEXTS, sessions_end=False)
    expected = [(d.index, d.repeats) for d in whole.decide(scored(*stream))]
    found = [(d.index, d.repeats) for d in parts.decide(scored(*stream[:cut]))]
    found += [(cut + d.index, d.repeats) for d in parts.decide(scored(*stream[cut:]))]
    assert found == expected
    assert parts.snapshot() == whole.snapshot()


def test_a_snapshot_is_plain_and_does_not_change_later(scored, window):
    decider = Decider(DecideSettings(consecutive=2), TEXTS, sessions_end=False)
    decider.decide(scored(window(score=0.9)))
    saved = decider.snapshot()
    copy = bytes(saved)
    decider.decide(scored(window(score=0.9), window(score=0.9)))
    assert saved == copy
    assert json.loads(saved)["episodes"][:5] == [["p"], [window().session_id()], [1], [False], [1]]


def test_a_partition_name_that_is_no_text_survives_a_snapshot(scored, window):
    odd = "/var/log/\udcff.log"
    decider = Decider(DecideSettings(), TEXTS, sessions_end=False)
    decider.decide(scored(window(score=0.9, partition=odd)))
    again = Decider(DecideSettings(), TEXTS, sessions_end=False, snapshot=decider.snapshot())
    assert again.decide(scored(window(score=0.9, partition=odd))) == ()
