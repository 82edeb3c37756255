"""The saved states of all workers, divided among another number of workers.

What belongs to a partition goes to the worker that reads the partition from now on: positions, templates, counts,
findings, open windows, windows that wait for a score, episodes, alerts that wait for the budget. What describes the
whole stream of a worker continues in one of the new workers, or in all of them where a copy does no harm.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from engine.runtime.state_rows import StateKey

BY_PARTITION = ("parse", "rollup", "find", "window")

COUNTS = ("rollup", "count")
"""Steps that count what the store has absolute rows of."""

Owner = Callable[[str], int]
States = Mapping[StateKey, Any]


def step_of(key: StateKey) -> str:
    """Name of a step as `engine.dataflow` gives it."""
    return key[0].split(".")[1]


def is_position(key: StateKey) -> bool:
    """Whether a state says what a source read or a sink delivered; other steps have names of their own."""
    return step_of(key) not in BY_PARTITION and step_of(key) not in _DIVIDED


def divide(workers: Sequence[States], owner: Owner, of: int) -> list[dict[StateKey, Any]]:
    """The states of each of `of` workers; positions of the source and states of sinks are not among them.

    Args:
        workers: The states of each worker before.
        owner: The worker that a partition belongs to from now on.
        of: Number of workers from now on.
    """
    divided: list[dict[StateKey, Any]] = [{} for _ in range(of)]
    shared: dict[StateKey, list[Any]] = {}
    for states in workers:
        for key, state in states.items():
            if step_of(key) in BY_PARTITION:
                divided[owner(key[1])][key] = state
            elif step_of(key) in _DIVIDED:
                shared.setdefault(key, []).append(state)
    for key, found in shared.items():
        for worker, state in enumerate(_DIVIDED[step_of(key)](found, owner, of)):
            divided[worker][key] = state
    return divided


def _waiting(states: list[dict[str, Any]], owner: Owner, of: int) -> list[dict[str, Any]]:
    """Windows that wait for a score; a batch of them is of one partition."""
    batches = [batch for state in states for batch in state["waiting"] or ()]
    texts = tuple(dict.fromkeys(text for state in states for text in state["templates"]))
    mine = [[b for b in batches if owner(b["partition"][0]) == worker] for worker in range(of)]
    return [{"waiting": batches, "templates": texts} for batches in mine]


def _decided(states: list[bytes], owner: Owner, of: int) -> list[bytes]:
    """Episodes by partition; groups and ordinary templates of all; the threshold of one of the workers before."""
    saved = [json.loads(state) for state in states]
    deciders = [state["decider"] for state in saved]
    episodes = [row for decider in deciders for row in zip(*decider["episodes"], strict=True)]
    columns = len(deciders[0]["episodes"])
    common = {"groups": _groups(deciders), "ordinary": _ordinary(deciders)}
    divided = []
    for worker in range(of):
        mine = [row for row in episodes if owner(row[0]) == worker]
        decider = {"episodes": [[row[i] for row in mine] for i in range(columns)], **common, "suppressed": {}}
        divided.append({"decider": decider, "threshold": saved[worker % len(saved)]["threshold"]})
    return [json.dumps(state).encode() for state in divided]


def _groups(deciders: list[dict[str, Any]]) -> list[list[Any]]:
    """The latest count of each group."""
    found: dict[str, tuple[int, int]] = {}
    for decider in deciders:
        for name, count, last_ns in zip(*decider["groups"], strict=True):
            found[name] = max((count, last_ns), found.get(name, (0, 0)), key=lambda group: group[1])
    return [list(found), [count for count, _ in found.values()], [last_ns for _, last_ns in found.values()]]


def _ordinary(deciders: list[dict[str, Any]]) -> list[Any]:
    """Where each template was first seen; the streams count as one that is as long as the longest."""
    first: dict[int, int] = {}
    for decider in deciders:
        for template, number in zip(*decider["ordinary"][1:], strict=True):
            first[template] = min(number, first.get(template, number))
    return [max(decider["ordinary"][0] for decider in deciders), list(first), list(first.values())]


def _budgets(states: list[bytes], owner: Owner, of: int) -> list[bytes]:
    """Accounts by source, which is a partition."""
    accounts = {source: account for state in states for source, account in json.loads(state).items()}
    mine = [{s: a for s, a in accounts.items() if owner(s) == worker} for worker in range(of)]
    return [json.dumps(budget).encode() for budget in mine]


def _counted(states: list[dict[str, Any]], owner: Owner, of: int) -> list[dict[str, Any]]:
    """Counts of windows and alerts by partition; a name ends with what is counted: `topic/0 (windows 0)`."""
    counts = {name: count for state in states for name, count in state.items()}
    return [{n: c for n, c in counts.items() if owner(n.rpartition(" (")[0]) == worker} for worker in range(of)]


def _copied(states: list[Any], _owner: Owner, of: int) -> list[Any]:
    """A copy of what one of the workers before has learnt: a reference for drift is of no single partition."""
    return [states[worker % len(states)] for worker in range(of)]


_DIVIDED: dict[str, Callable[[list[Any], Owner, int], list[Any]]] = {
    "score": _waiting,
    "decide": _decided,
    "budget": _budgets,
    "count": _counted,
    "drift": _copied,
}


def sink_states(
    before: Sequence[dict[str, Any] | None], paths: Sequence[str | None], targets: Sequence[str | None]
) -> list[dict[str, Any]]:
    """The state of one sink for each worker from now on, from those of all workers before.

    Each new writer learns what every earlier one delivered, so that nothing is delivered twice.

    Args:
        before: State of each worker before, None where its sink had nothing to save.
        paths: File of each worker before, None where the sink is not a file.
        targets: File of each worker from now on.
    """
    known = [state for state in before if state]
    if not known:
        return [{} for _ in targets]
    if "bytes" in known[0]:
        return _files(before, paths, targets)
    if "offsets" in known[0]:
        return [{"offsets": _least(state["offsets"] for state in known)} for _ in targets]
    if "groups" in known[0]:
        return [_books(known), *({} for _ in targets[1:])]
    return [dict(known[0]) for _ in targets]


def _files(
    before: Sequence[dict[str, Any] | None], paths: Sequence[str | None], targets: Sequence[str | None]
) -> list[dict[str, Any]]:
    parts: dict[str, list[int]] = {}
    for path, state in zip(paths, before, strict=True):
        parts |= {} if state is None else state.get("others", {})
        parts |= {} if path is None or state is None else {path: [state["bytes"], _size(path)]}
    return [
        {
            "bytes": parts[target][0] if target in parts else 0,
            "others": {path: part for path, part in parts.items() if path != target},
        }
        for target in targets
    ]


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def _least(offsets: Any) -> dict[str, int]:
    found: dict[str, int] = {}
    for each in offsets:
        for partition, offset in each.items():
            found[partition] = min(offset, found.get(partition, offset))
    return found


def _books(books: list[dict[str, Any]]) -> dict[str, Any]:
    """The open groups of all writers, for one of the new ones: a group is reported and ended by one writer."""
    digests = {name: groups for book in books for name, groups in book["digests"].items()}
    newest = max(books, key=lambda book: float(book["minute"]["start_s"]))
    return {
        "groups": {name: group for book in books for name, group in book["groups"].items()},
        "minute": newest["minute"],
        "digests": digests,
    }
