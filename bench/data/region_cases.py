"""Logs of several regions that share some of their causes: what each learns from, and what comes next.

Every case has the windows of a first model, those that each region has gathered since, and each region's test.
In most of them something reaches one region before the others: only then can a region gain from the others.
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from bench.data.detection_data import Labelled, bgl_lines, hdfs_sessions, iotdb, of_sessions
from bench.data.everyday_streams import system_lines
from bench.data.partition import by_dirichlet, by_key
from models.base import Windows, template_id

REGIONS = ("ap", "eu", "us")
SIZE = 20
"""Lines of a window, where the log is cut by lines."""

FAULTS = (
    "disk <*> failed: no space left on device", "request <*> timed out after <*> ms", "connection to <IP> refused",
    "worker <*> aborted with signal <*>", "checksum of segment <*> is invalid",
)  # fmt: skip
FAULTY_SHARE = 0.06
"""Share of anomalous windows where anomalies are made: a fault writes two to four lines."""


@dataclass(frozen=True, slots=True)
class RegionCase:
    """One case.

    Attributes:
        start: Windows of the model that serves at first.
        learn: By region, the windows gathered since.
        test: By region, the windows to come.
    """

    start: Labelled
    learn: Mapping[str, Labelled]
    test: Mapping[str, Labelled]


def hdfs(seed: int) -> RegionCase:
    """HDFS sessions in time order: a fifth for the first model, two fifths to learn from, two fifths to come."""
    data = hdfs_sessions()
    data = data.take(np.argsort(data.last_ns, kind="stable"))
    every, parts = of_sessions(data), by_key(data.keys, len(REGIONS))
    cuts = [0, len(data) // 5, 3 * len(data) // 5, len(data)]
    start, learn, test = ([p[(p >= low) & (p < high)] for p in parts] for low, high in itertools.pairwise(cuts))
    return RegionCase(every.take(np.sort(np.concatenate(start))), _named(every, learn), _named(every, test))


@cache
def _iotdb() -> tuple[Labelled, tuple[str, ...], tuple[str, ...]]:
    """Read once: a minute for all scenarios."""
    return iotdb("lines")


def iotdb_scenario(number: int, seed: int) -> RegionCase:
    """Three IoTDB nodes; a scenario of faults that came to one node comes to all of them."""
    data, _, nodes = _iotdb()
    rng, node = np.random.default_rng(seed), np.array(nodes)
    names = sorted(set(nodes))[: len(REGIONS)]
    new = data.group == number
    old = [rng.permutation(np.flatnonzero(~new & (node == name)))[:900] for name in names]
    fresh = [rng.permutation(np.flatnonzero(new & (node == name))) for name in names]
    half = [len(f) // 2 for f in fresh]
    learn = [old[0][300:600], old[1][300:600], old[2][300:600]]
    learn[0] = np.concatenate([learn[0], fresh[0][: half[0]]])
    test = [np.concatenate([o[600:], f[h:]]) for o, f, h in zip(old, fresh, half, strict=True)]
    return RegionCase(
        data.take(np.sort(np.concatenate([o[:300] for o in old]))), _named(data, learn), _named(data, test)
    )


def bgl(seed: int) -> RegionCase:
    """BGL, a window a line: templates lie unevenly in the regions, and every region meets all of them later."""
    data = bgl_lines()
    order = np.random.default_rng(seed).permutation(len(data.labels))
    first, later, last = order[:3000], order[3000:9000], order[9000:15000]
    learn = [np.sort(later[p]) for p in by_dirichlet(data.windows.take(later), len(REGIONS), 0.3, seed=seed)]
    return RegionCase(data.take(np.sort(first)), _named(data, learn), _named(data, np.array_split(np.sort(last), 3)))


SYSTEMS = ("Apache", "HPC", "Hadoop", "OpenSSH", "OpenStack", "Spark", "Zookeeper")


def loghub(seed: int) -> RegionCase:
    """Mixtures of loghub's systems; a system of the neighbour is rolled out in each region after it learnt."""
    rng = np.random.default_rng(seed)
    logs = {name: system_lines(name) for name in SYSTEMS}
    texts = {i: text for lines in logs.values() for i, text in lines.texts.items()}
    own = [SYSTEMS[2 * i : 2 * i + 2] for i in range(len(REGIONS))]
    shared = SYSTEMS[-1]

    def windows(systems: tuple[str, ...], count: int, faults: tuple[int, ...]) -> Labelled:
        rows = []
        for _ in range(count):
            name = systems[int(rng.integers(len(systems)))]
            at = int(rng.integers(len(logs[name].ids) - SIZE))
            rows.append(logs[name].ids[at : at + SIZE].tolist())
        return _with_faults(rows, texts, faults, rng)

    learn = [windows((*own[i], shared), 900, (i, i + 1)) for i in range(len(REGIONS))]
    test = [windows((*own[i], *own[i - 1], shared), 900, tuple(range(len(FAULTS)))) for i in range(len(REGIONS))]
    start = windows((shared, own[0][0], own[1][0], own[2][0]), 500, (0,))
    return RegionCase(start, dict(zip(REGIONS, learn, strict=True)), dict(zip(REGIONS, test, strict=True)))


def release(seed: int) -> RegionCase:
    """A release with templates of its own that has reached one region fully, one in part, and one hardly yet."""
    rng = np.random.default_rng(seed)
    old = [f"step {chr(97 + i)} of job <*> done" for i in range(12)]
    new = [f"stage {chr(97 + i)} of pipeline <*> committed" for i in range(6)]
    ids = [template_id(t) for t in (*old, *new)]
    texts = dict(zip(ids, (*old, *new), strict=True))

    def windows(released: float, count: int, faults: tuple[int, ...]) -> Labelled:
        rows = []
        for _ in range(count):
            begin = int(rng.integers(0, 7))
            row = [ids[begin + int(step)] for step in np.sort(rng.integers(0, 6, rng.integers(6, 14)))]
            if rng.random() < released:
                at = int(rng.integers(0, len(row)))
                stage = int(rng.integers(0, 4))
                row[at:at] = ids[len(old) + stage : len(old) + stage + 3]
            rows.append(row)
        return _with_faults(rows, texts, faults, rng)

    learn = [windows(share, 600, (i, i + 1)) for i, share in enumerate((1.0, 0.2, 0.01))]
    test = [windows(1.0, 600, tuple(range(len(FAULTS)))) for _ in REGIONS]
    return RegionCase(
        windows(0.0, 500, (0,)), dict(zip(REGIONS, learn, strict=True)), dict(zip(REGIONS, test, strict=True))
    )


CASES: Mapping[str, Callable[[int], RegionCase]] = {
    "hdfs": hdfs,
    "iotdb_0": partial(iotdb_scenario, 0),
    "iotdb_1": partial(iotdb_scenario, 1),
    "iotdb_2": partial(iotdb_scenario, 2),
    "bgl": bgl,
    "loghub": loghub,
    "release": release,
}
"""By name; each is drawn from a seed."""


def _named(data: Labelled, parts: list[NDArray[np.int64]]) -> dict[str, Labelled]:
    return {name: data.take(np.sort(part)) for name, part in zip(REGIONS, parts, strict=True)}


def _with_faults(
    rows: list[list[int]], texts: Mapping[int, str], faults: tuple[int, ...], rng: np.random.Generator
) -> Labelled:
    """The windows, `FAULTY_SHARE` of them with lines of one of these faults."""
    labels = rng.random(len(rows)) < FAULTY_SHARE
    for row, faulty in zip(rows, labels.tolist(), strict=True):
        if faulty:
            fault = template_id(FAULTS[int(rng.choice(faults))])
            for _ in range(int(rng.integers(2, 5))):
                row.insert(int(rng.integers(len(row) + 1)), fault)
    known = {**texts, **{template_id(text): text for text in FAULTS}}
    return Labelled(Windows.of(rows), labels, known, np.zeros(len(rows), np.int64))
