"""Federation of `event_counts`: tables of distinct windows as counts of their templates, which add up.

The detector sees nothing of a window but its counts, so the merged model is the one that all windows in one place
would have given, as far as the limits below reach. The order of a window's lines, the time and the texts stay in the
region. A template is a hash of its text, and so is each of its words.

A table has R rows, one for each distinct window, over V templates. Of a row only the counts above 0 are stored: N in
the whole table.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.base import ModelStoreError, Templates, WindowDetector, Windows
from models.detectors.event_counts import EventCounts
from models.detectors.federated import Arrays, Part, Statistics
from models.text.novelty import KnownWords
from models.text.ragged import content_keys, distinct

MAX_ROWS = 4096
"""Rows of a table, the most frequent ones; twice what the detector keeps as references."""

MAX_LINES = 4_000_000
"""Lines in the distinct windows of a table: 32 MB at the coordinator, whatever counts a region claims."""

MAX_TEMPLATES = 4096

USUAL_SHARE = 0.99
"""Share of the windows labelled as normal whose scores are usual."""

MAX_WINDOWS = 10**9
"""Windows that a row may stand for."""

_DTYPES: Mapping[str, type[np.generic]] = {
    "vocabulary": np.int64, "words": np.uint32, "word_offsets": np.int64, "columns": np.int64, "counts": np.int64,
    "offsets": np.int64, "closed": np.bool_, "normal": np.int64, "anomalous": np.int64,
    "assumed": np.int64,
}  # fmt: skip
"""`vocabulary` (V,) ascending, with the words of each template (`KnownWords`). For each row the numbers of its
templates, `columns`, and their `counts` (N,), between `offsets` (R + 1,); whether the window is closed (R,); how many
such windows are labelled as normal, labelled as anomalous, and assumed to be normal without a label (R,)."""


_CLASSES = ("normal", "anomalous", "assumed")


class CountTables(Statistics):
    """Rows of all regions go into one table, weighted by the number of windows that each stands for."""

    max_bytes = 64 << 20

    def collect(
        self, windows: Windows, labels: NDArray[np.bool_], assumed: NDArray[np.bool_], templates: Templates
    ) -> dict[str, NDArray[Any]]:
        """See `Statistics.collect`."""
        bags, times = _distinct(windows, np.where(labels, 1, np.where(assumed, 2, 0)))
        vocabulary, column = np.unique(bags.ids, return_inverse=True)
        row = np.repeat(np.arange(len(bags)), bags.lengths())
        cells, counts = np.unique(row * len(vocabulary) + column, return_counts=True)
        words = KnownWords.from_texts(templates.get(i, "") for i in vocabulary.tolist())
        return {
            "vocabulary": vocabulary, **words.arrays(), "columns": cells % len(vocabulary), "counts": counts,
            "offsets": np.searchsorted(cells // len(vocabulary), np.arange(len(bags) + 1)),
            "closed": bags.closed, "normal": times[:, 0], "anomalous": times[:, 1],
            "assumed": times[:, 2],
        }  # fmt: skip

    def problem(self, arrays: Arrays) -> str | None:
        """See `Statistics.problem`."""
        if set(arrays) != set(_DTYPES):
            return f"it sent the arrays {', '.join(sorted(arrays))}, not {', '.join(_DTYPES)}"
        for name, dtype in _DTYPES.items():
            if (given := arrays[name]).dtype != dtype or given.ndim != 1:
                return f"'{name}' is {given.dtype}{list(given.shape)} and should be {np.dtype(dtype)}[n]"
        rows, templates = len(arrays["closed"]), len(arrays["vocabulary"])
        if not 1 <= rows <= MAX_ROWS or not 1 <= templates <= MAX_TEMPLATES:
            return f"its table has {rows} rows and {templates} templates; at most {MAX_ROWS} and {MAX_TEMPLATES} fit"
        return _misshapen(arrays, rows) or _implausible(arrays, templates)

    def merge(self, detector: WindowDetector, parts: Sequence[Part], *, seed: int) -> None:
        """See `Statistics.merge`.

        References of the model that the round started from count as one window each: known windows stay known,
        until more frequent ones take their places. If there are labels of both classes, windows that are only
        assumed to be normal are left out where they look anomalous; see `_doubtful`.
        """
        assert isinstance(detector, EventCounts)
        base, words = detector.references()
        windows, times = [base], [np.tile([1.0, 0.0, 0.0], (len(base), 1))]
        for part in parts:
            arrays = part.arrays
            counted = np.column_stack([arrays[name] for name in _CLASSES])
            windows.append(_windows(arrays))
            times.append(counted * (part.windows / float(counted.sum())))
            words |= KnownWords.from_arrays(arrays, len(arrays["vocabulary"])).by_id(arrays["vocabulary"])
        rows, every = _joined(windows), np.concatenate(times)
        if (every[:, :2] > 0).any(0).all():
            every[_doubtful(detector, rows, every, len(base)), 2] = 0
        every[:, 0] += every[:, 2]
        detector.fit_table(rows, every[:, :2], words, seed=seed)


def _doubtful(detector: EventCounts, rows: Windows, times: NDArray[np.float64], base: int) -> NDArray[np.bool_]:
    """Which rows, bool (R,), look anomalous by the labels `times` (R, 3); the first `base` rows are of no region.

    They equal rows that are mostly labelled as anomalous, perhaps of another region; or they hold a template that is in
    rows labelled as anomalous and in none labelled as normal; or the model that the round started from gives them a
    higher score than to nearly all windows labelled as normal. The last is asked only if at least as many windows are
    labelled as normal as have no label: a few answers do not show what is usual.
    """
    row = np.repeat(np.arange(len(rows)), rows.lengths())
    bad = np.setdiff1d(rows.ids[times[row, 1] > 0], rows.ids[times[row, 0] > 0])
    holds = np.bincount(row, np.isin(rows.ids, bad), minlength=len(rows)) > 0
    _, same = distinct(content_keys(rows))
    equal = np.bincount(same, times[:, 1])[same] > np.bincount(same, times[:, 0])[same]
    found = np.asarray(holds | equal)
    normal, assumed = times[base:, 0], times[base:, 2]
    if normal.sum() < assumed.sum():
        return found
    scores = detector.score(rows)
    order = np.argsort(scores[base:])
    below = np.cumsum(normal[order])
    limit = scores[base:][order[int(np.searchsorted(below, USUAL_SHARE * below[-1]))]]
    return np.asarray(found | (scores > limit))


def _distinct(windows: Windows, classes: NDArray[np.int64]) -> tuple[Windows, NDArray[np.int64]]:
    """The most frequent distinct windows, ids ascending, and (R, 3) how many there are of each of `_CLASSES`."""
    filled = np.flatnonzero(windows.lengths())
    windows, classes = windows.take(filled), classes[filled]
    row = np.repeat(np.arange(len(windows)), windows.lengths())
    bags = Windows(windows.ids[np.lexsort((windows.ids, row))], windows.offsets, windows.closed)
    first, inverse = distinct(content_keys(bags))
    times = np.stack([np.bincount(inverse, classes == c, len(first)) for c in range(len(_CLASSES))], axis=1).astype(
        np.int64
    )
    bags = bags.take(first)
    order = np.argsort(-times.sum(1) - times[:, 1], kind="stable")[:MAX_ROWS]
    order = order[np.cumsum(bags.lengths()[order]) <= MAX_LINES]
    chosen = np.sort(order)
    return bags.take(chosen), times[chosen]


def _misshapen(arrays: Arrays, rows: int) -> str | None:
    sizes = {"offsets": rows + 1, "counts": len(arrays["columns"]), **dict.fromkeys(_CLASSES, rows)}
    for name, size in sizes.items():
        if len(arrays[name]) != size:
            return f"'{name}' has {len(arrays[name])} entries and should have {size}"
    offsets = arrays["offsets"]
    if offsets[0] != 0 or offsets[-1] != len(arrays["columns"]) or (np.diff(offsets) < 1).any():
        return "'offsets' do not divide the table into rows"
    try:
        KnownWords.from_arrays(arrays, len(arrays["vocabulary"]))
    except ModelStoreError as error:
        return str(error)
    return None


def _implausible(arrays: Arrays, templates: int) -> str | None:
    if (arrays["vocabulary"][1:] <= arrays["vocabulary"][:-1]).any():
        return "'vocabulary' does not ascend"
    if (arrays["columns"] < 0).any() or (arrays["columns"] >= templates).any():
        return f"'columns' name a template that is not among its {templates}"
    counts = arrays["counts"]
    if (counts < 1).any() or (counts > MAX_LINES).any() or counts.sum() > MAX_LINES:
        return f"'counts' are below 1, or of more than {MAX_LINES} lines"
    times = np.stack([arrays[name] for name in _CLASSES])
    if (times < 0).any() or (times > MAX_WINDOWS).any() or (times.sum(0) < 1).any():
        return f"a row stands for less than 1 or more than {MAX_WINDOWS} windows"
    return None


def _windows(arrays: Arrays) -> Windows:
    """The rows of a table as windows."""
    counts = arrays["counts"]
    ends = np.concatenate([[0], np.cumsum(counts)])
    return Windows(
        np.repeat(arrays["vocabulary"][arrays["columns"]], counts), ends[arrays["offsets"]], arrays["closed"]
    )


def _joined(parts: Iterable[Windows]) -> Windows:
    every = list(parts)
    offsets = np.concatenate([[0], np.cumsum(np.concatenate([w.lengths() for w in every]))])
    return Windows(
        np.concatenate([w.ids for w in every]), offsets.astype(np.int64), np.concatenate([w.closed for w in every])
    )
