"""The halves of the sessions on which candidates of cross-fitting learn and are judged."""

import numpy as np

from federation.storage.learning import Purpose
from federation.storage.training_store import Label
from tests.federation.storage.test_training_store import IDS, opened, put


def test_a_half_that_is_left_out_is_judged_whole_and_never_trained_on(tmp_path):
    names = [f"s{i}" for i in range(400)]
    with opened(tmp_path) as store:
        put(store, names, rows=[[IDS[0]] * (i + 1) for i in range(400)], time_ns=np.arange(400))
        store.label(Label(name, False, "labels", 1) for name in names[:300])
        sets = {(p, half): store.learning_set(p, half) for p in Purpose for half in (0, 1)}
        whole = {p: store.learning_set(p) for p in Purpose}

    def sizes(*chosen):
        return sorted(n for own in chosen for n in own.windows.lengths().tolist())

    judged = [sets[Purpose.HOLDOUT, half] for half in (0, 1)]
    assert sizes(*judged) == list(range(1, 301)), "every labelled session is judged once, and no other"
    for half, own in enumerate(judged):
        learnt = sets[Purpose.TRAIN, half], sets[Purpose.CALIBRATE, half]
        assert not set(sizes(own)) & set(sizes(*learnt))
        assert set(sizes(learnt[0])) < set(sizes(whole[Purpose.TRAIN]))
        assert 130 < len(sizes(*learnt)) < 270


def test_a_half_is_judged_on_the_windows_that_the_version_in_service_has_scored(tmp_path):
    names = [f"s{i}" for i in range(100)]
    with opened(tmp_path) as store:
        put(store, names, rows=[[IDS[0]]] * 100, time_ns=np.arange(100))
        store.label(Label(name, False, "labels", 1) for name in names)

        def judged(version):
            return sum(len(store.learning_set(Purpose.HOLDOUT, half, version)) for half in (0, 1))

        assert judged(2) == 100, "when it began is not known"
        store.note_service(1, 20)
        store.note_service(2, 70)
        assert (judged(2), judged(1), judged(0)) == (30, 100, 100)
        assert len(store.learning_set(Purpose.TRAIN, 0, 0)) > 20, "all sessions of the other half are learnt from"
