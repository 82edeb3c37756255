import base64
import multiprocessing
import sqlite3

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from federation.errors import SetupError, StorageError
from federation.storage.learning import Purpose, Spending
from federation.storage.training_store import Label, TrainingSettings, TrainingStore
from models.base import Windows, template_id

HOUR_NS = 3600 * 10**9
TEXTS = {template_id(t): t for t in ("Receiving block <*>", "Served block <*> to <*>", "Exception of customer 4711")}
IDS = list(TEXTS)
KEY = base64.b64encode(bytes(range(32))).decode()


def settings_of(path, **changes):
    return TrainingSettings.model_validate({"path": path / "training.db", **changes})


class Clock:
    now = 1_000

    def __call__(self):
        return self.now


def opened(path, now_ns=lambda: 1_000, **changes):
    made = settings_of(path, **changes)
    return TrainingStore(made.path, made, now_ns=now_ns)


def put(store, names, *, time_ns=0, rows=None, keys=None, score=0.5):
    rows = [[IDS[0], IDS[1]]] * len(names) if rows is None else rows
    times = np.broadcast_to(np.asarray(time_ns, np.int64), len(names))
    return store.add(
        Windows.of(rows),
        keys=names if keys is None else keys,
        ids=[f"id-{n}" for n in names],
        time_ns=times,
        scores=np.full(len(names), score, np.float32),
        templates=TEXTS,
    )


def everything(store):
    return [store.learning_set(purpose) for purpose in Purpose]


def said(store):
    """(anomalous, provenance) of every window, whatever it serves."""
    return sorted(p for s in everything(store) for p in zip(s.labels.tolist(), s.provenance, strict=True))


@pytest.mark.parametrize("key", [None, KEY])
def test_windows_come_back_as_they_were(tmp_path, key):
    rows = [[IDS[i % 3]] * (i % 5) for i in range(200)]
    with opened(tmp_path, key=key) as store:
        assert put(store, [f"s{i}" for i in range(200)], rows=rows, time_ns=np.arange(200)) == 200
    with opened(tmp_path, key=key) as store:
        found = sorted(s.windows.row(i).tolist() for s in everything(store) for i in range(len(s)))
        texts = {k: v for s in everything(store) for k, v in s.templates.items()}
    assert found == sorted(rows)
    assert texts == TEXTS


def test_every_session_serves_one_purpose(tmp_path):
    names = [f"s{i}" for i in range(2_000)]
    with opened(tmp_path) as store:
        put(store, names)
        sizes = [len(s) for s in everything(store)]
        # More windows of the same sessions fall to the same purposes.
        store.add(
            Windows.of([[IDS[2]]] * 2_000), keys=names, ids=[f"later-{n}" for n in names],
            time_ns=np.ones(2_000, np.int64), scores=np.zeros(2_000, np.float32), templates=TEXTS,
        )  # fmt: skip
        assert [len(s) for s in everything(store)] == [2 * n for n in sizes]
    assert sum(sizes) == 2_000
    assert abs(sizes[0] - 1_400) < 90
    assert abs(sizes[1] - 200) < 60
    assert abs(sizes[2] - 400) < 80


def test_a_replay_adds_nothing(tmp_path):
    names = [f"s{i}" for i in range(50)]
    with opened(tmp_path) as store:
        assert put(store, names) == 50
        store.label([Label("s3", True, "labels", 5)])
        assert put(store, names, score=0.9) == 0
        assert store.counts().windows == 50
        assert store.counts().anomalous == 1


@pytest.mark.parametrize("late", [True, False])
def test_labels_find_their_windows_whichever_comes_first(tmp_path, late):
    labels = [Label("a", True, "labels", 9), Label("b", False, "rules", 9)]
    with opened(tmp_path) as store:
        if late:
            put(store, ["a", "b", "c"])
        assert store.label(labels) == 2
        if not late:
            put(store, ["a", "b", "c"])
        assert said(store) == [(False, "assumed"), (False, "rules"), (True, "labels")]
        assert store.label(labels) == 0


def test_feedback_counts_before_labels_before_rules(tmp_path):
    with opened(tmp_path) as store:
        put(store, ["a"])
        store.label([Label("a", True, "rules", 30)])
        assert said(store) == [(True, "rules")]
        store.label([Label("a", False, "labels", 20)])
        assert said(store) == [(False, "labels")]
        store.label([Label("a", True, "feedback", 10)])
        assert said(store) == [(True, "feedback")]
        store.label([Label("a", False, "labels", 40)])
        assert said(store) == [(True, "feedback")]


says = st.tuples(
    st.sampled_from(["a", "b"]), st.booleans(), st.sampled_from(["feedback", "labels", "rules"]), st.integers(1, 50)
)


@given(st.lists(says, max_size=12, unique_by=lambda s: (s[0], s[2], s[3])), st.randoms(use_true_random=False))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_the_order_of_arrival_does_not_matter(tmp_path_factory, spoken, random):
    results = []
    for _ in range(2):
        random.shuffle(spoken)
        with opened(tmp_path_factory.mktemp("store")) as store:
            at = random.randrange(len(spoken) + 1)
            store.label(Label(*s) for s in spoken[:at])
            put(store, ["a", "b"])
            store.label(Label(*s) for s in spoken[at:])
            results.append(said(store))
    assert results[0] == results[1]


def test_the_id_stands_in_where_windows_have_no_key(tmp_path):
    with opened(tmp_path) as store:
        put(store, ["a", "b"], keys=["", ""])
        store.label([Label("id-a", True, "feedback", 1)])
        assert said(store) == [(False, "assumed"), (True, "feedback")]


def test_the_bound_holds_and_rare_cells_are_kept_whole(tmp_path):
    with opened(tmp_path, max_windows=300) as store:
        store.label([Label(f"bad{i}", True, "labels", 1) for i in range(20)])
        put(store, [f"quiet{i}" for i in range(30)], time_ns=0)
        for start in range(0, 2_000, 100):
            put(store, [f"busy{start + i}" for i in range(100)], time_ns=5 * HOUR_NS)
        put(store, [f"bad{i}" for i in range(20)], time_ns=5 * HOUR_NS)
        counts = store.counts()
        assert (counts.windows, counts.anomalous) == (300, 20)
    with sqlite3.connect(tmp_path / "training.db") as database:
        slots = dict(database.execute("SELECT slot, count(*) FROM windows GROUP BY slot"))
    database.close()
    assert slots == {0: 30, 5: 270}


def test_what_stays_does_not_depend_on_batches(tmp_path):
    names = [f"s{i}" for i in range(1_000)]
    kept = []
    for size in (1_000, 37):
        with opened(tmp_path / str(size), max_windows=200) as store:
            for start in range(0, 1_000, size):
                put(store, names[start : start + size], time_ns=0)
        database = sqlite3.connect(tmp_path / str(size) / "training.db")
        kept.append(database.execute("SELECT id FROM windows ORDER BY id").fetchall())
        database.close()
    assert kept[0] == kept[1]
    assert len(kept[0]) == 200


def test_only_the_newest_of_the_holdout_are_judged_on(tmp_path):
    with opened(tmp_path, holdout_windows=10) as store:
        put(store, [f"s{i}" for i in range(500)], rows=[[IDS[i // 250]] for i in range(500)], time_ns=np.arange(500))
        holdout = store.learning_set(Purpose.HOLDOUT)
    assert len(holdout) == 10
    assert set(holdout.windows.ids.tolist()) == {IDS[1]}
    assert set(holdout.templates) == {IDS[1]}


def test_windows_wait_for_labels_that_may_still_come(tmp_path):
    with opened(tmp_path, label_wait_s=60) as store:
        put(store, ["old", "new", "known"], time_ns=np.array([0, 61, 61]) * 10**9)
        assert said(store) == [(False, "assumed")]
        store.label([Label("known", True, "labels", 1)])
        assert said(store) == [(False, "assumed"), (True, "labels")]


def test_feedback_is_counted_by_its_arrival(tmp_path):
    clock = Clock()
    with opened(tmp_path, clock) as store:
        assert store.latest_label_ns() == 0
        store.label([Label("a", True, "feedback", 1), Label("b", False, "feedback", 1), Label("c", True, "labels", 1)])
        clock.now = 2_000
        store.label([Label("d", False, "feedback", 1)])
        assert store.latest_label_ns() == 2_000
        counts = [store.verdicts(since, 0, 0.5) for since in (0, 2_000)]
        assert [(c.right, c.wrong) for c in counts] == [(1, 2), (0, 1)]


def test_labels_show_what_the_model_found_and_missed(tmp_path):
    with opened(tmp_path) as store:
        put(store, ["old"], time_ns=9, score=0.1, keys=["old"])
        put(store, ["a", "b", "c", "d", "e"], time_ns=10, score=0.1)
        put(store, ["a2", "c2", "f"], time_ns=20, score=0.9, keys=["a", "c", "f"])
        store.label([Label(key, True, "labels", 1) for key in ("old", "a", "b")])
        store.label([Label(key, False, "labels", 1) for key in ("c", "d")])
        found = store.verdicts(0, 10, 0.5)
        assert (found.found, found.false, found.missed) == (1, 1, 1)  # a; c; b: e and f have no label
        assert store.verdicts(0, 9, 0.5).missed == 2
        assert store.verdicts(0, 10, float(np.float32(0.9))).found == 1
        store.label([Label("f", False, "rules", 1)])
        assert store.verdicts(0, 10, 0.5).false == 1.5
        store.label([Label("f", True, "labels", 1)])
        assert store.verdicts(0, 10, 0.5).found == 2


def test_labels_and_templates_are_bounded(tmp_path):
    with opened(tmp_path, max_labels=100, max_templates=100, max_windows=100) as store:
        store.label([Label(f"s{i}", True, "labels", i) for i in range(250)])
        assert store.counts().labels == 100
        for start in range(0, 1_000, 50):
            texts = {template_id(f"t{i}"): f"t{i}" for i in range(start, start + 50)}
            store.add(
                Windows.of([[i] for i in texts]), keys=[str(i) for i in texts], ids=[str(i) for i in texts],
                time_ns=np.full(50, start * HOUR_NS), scores=np.zeros(50, np.float32), templates=texts,
            )  # fmt: skip
        assert store.counts().templates <= 150
        assert sum(len(s) for s in everything(store)) == 100


def test_spending_is_remembered_in_order(tmp_path):
    spent = [Spending("r1", 1.0, 0.1, 30), Spending("r1", 1.0, 0.1, 30), Spending("r2", 0.8, 0.2, 10)]
    with opened(tmp_path) as store:
        for one in spent:
            store.spend(one)
    with opened(tmp_path) as store:
        assert store.spent() == tuple(spent)


def test_with_a_key_nothing_readable_lies_on_the_disk(tmp_path):
    for key in (None, KEY):
        folder = tmp_path / str(key is None)
        with opened(folder, key=key) as store:
            put(store, ["session-of-alice"], rows=[IDS])
            store.label([Label("session-of-alice", True, "feedback", 1)])
        raw = b"".join(p.read_bytes() for p in folder.iterdir())
        assert b"session-of-alice" not in raw.replace(b"id-session-of-alice", b"")
        assert (b"customer 4711" in raw) == (key is None)
        assert (np.int64(IDS[0]).tobytes() in raw) == (key is None)


@pytest.mark.parametrize(
    ("made_with", "opened_with", "says"),
    [
        (KEY, base64.b64encode(bytes(32)).decode(), "was created with another key"),
        (KEY, None, "is encrypted; set the key"),
        (None, KEY, "is not encrypted, but a key is set"),
    ],
)
def test_a_wrong_key_is_one_sentence(tmp_path, made_with, opened_with, says):
    with opened(tmp_path, key=made_with) as store:
        put(store, ["a"])
    with pytest.raises(StorageError, match=says) as caught:
        opened(tmp_path, key=opened_with)
    assert "training.db" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "short", base64.b64encode(bytes(31)).decode(), "?" * 44])
def test_what_is_no_key_is_refused_without_repeating_it(tmp_path, text):
    with pytest.raises(SetupError, match="32 random bytes in base64") as caught:
        opened(tmp_path, key=text)
    assert not text or text not in str(caught.value)


def test_swapped_rows_are_noticed(tmp_path):
    with opened(tmp_path, key=KEY) as store:
        put(store, ["a", "b"])
    database = sqlite3.connect(tmp_path / "training.db")
    with database:
        database.execute("UPDATE windows SET content = (SELECT content FROM windows WHERE id = ?)", (b"id-a",))
    database.close()
    with opened(tmp_path, key=KEY) as store, pytest.raises(StorageError, match="changed since"):
        everything(store)


def test_what_is_no_database_is_one_sentence(tmp_path):
    (tmp_path / "training.db").write_bytes(b"no database" * 100)
    with pytest.raises(StorageError, match=r"training\.db.*not a database"):
        opened(tmp_path)


def test_a_failed_write_leaves_nothing(tmp_path):
    with opened(tmp_path) as store:
        with pytest.raises(KeyError):
            put(store, ["a", "b"], rows=[[IDS[0]], [12345]])
        assert store.counts().windows == store.counts().templates == 0
        assert put(store, ["a"]) == 1


def _write(path, part, barrier):
    barrier.wait()
    with opened(path, max_windows=500) as store:
        for start in range(0, 1_000, 50):
            put(store, [f"{part}-{start + i}" for i in range(50)], time_ns=start * HOUR_NS)
            store.label([Label(f"{part}-{start}", True, "labels", 1)])


@pytest.mark.process
def test_writers_and_a_reader_share_the_file(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(2)
    writers = [spawn.Process(target=_write, args=(tmp_path, part, barrier)) for part in range(2)]
    for writer in writers:
        writer.start()
    reads = 0
    with opened(tmp_path, max_windows=500) as store:
        while any(writer.is_alive() for writer in writers):
            found = store.learning_set(Purpose.TRAIN)
            assert set(found.windows.ids.tolist()) <= set(found.templates)
            reads += 1
        assert store.counts().windows == 500
        assert store.counts().labels == 40
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert reads > 3


def test_rules_speak_where_nobody_else_does(tmp_path):
    rows = [[IDS[0]], [IDS[0], IDS[2]], [], [IDS[2]]]
    with opened(tmp_path, rules=("^Exception", "no such")) as store:
        store.label([Label("d", False, "labels", 1)])
        put(store, ["a", "b", "c", "d"], rows=rows)
        assert said(store) == [(False, "assumed"), (False, "assumed"), (False, "labels"), (True, "rules")]


def test_a_rule_that_is_none_is_named(tmp_path):
    with pytest.raises(ValidationError, match=r"'\(' is not a regular expression"):
        settings_of(tmp_path, rules=("(",))


def test_the_position_of_a_feed_is_saved_with_its_labels(tmp_path):
    with opened(tmp_path) as store:
        assert store.position("labels t/0") is None
        store.label([Label("a", True, "labels", 1)], ("labels t/0", {"offset": 7}))
        store.label([], ("labels t/1", {"offset": 1}))
    with opened(tmp_path) as store:
        assert store.position("labels t/0") == {"offset": 7}
        assert store.position("labels t/1") == {"offset": 1}


def test_growth_steps_of_anomalous_sessions_teach_nothing(tmp_path):
    with opened(tmp_path) as store:
        for key in ("good", "bad"):
            store.add(
                Windows.of([[IDS[0]], [IDS[0], IDS[1]]], [False, True]), keys=[key] * 2, ids=[f"{key}1", f"{key}2"],
                time_ns=np.zeros(2, np.int64), scores=np.zeros(2, np.float32), templates=TEXTS,
            )  # fmt: skip
        store.label([Label("bad", True, "labels", 1)])
        assert said(store) == [(False, "assumed"), (False, "assumed"), (True, "labels")]
