"""Models that must not be adopted, and one that is, under load."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models.storage.store import ModelStore

pytestmark = pytest.mark.process

MODEL = "event_counts"


def model_condition(engine: Any) -> str:
    """The model's part of /readyz; "" without an answer."""
    return str(engine.ready().get("conditions", {}).get("model", {}).get("detail", ""))


def _point(store: Path, version: int, card: bytes = b"") -> None:
    """Does what publishing does last; `card` where it is not the one that is there."""
    card = card or (store / MODEL / str(version) / "card.json").read_bytes()
    _put(store, json.dumps({"version": version, "card_sha256": hashlib.sha256(card).hexdigest()}))


def _put(store: Path, pointer: str) -> None:
    """At once, since the engine examines any moment."""
    (store / MODEL / "pointer.new").write_text(pointer)
    (store / MODEL / "pointer.new").replace(store / MODEL / "current")


def _copy(store: Path, version: int, **card: Any) -> Path:
    """A version made from version 2, with other words on its card."""
    folder = Path(shutil.copytree(store / MODEL / "2", store / MODEL / str(version)))
    content = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**content, "version": version, **card}))
    return folder


def half_written_weights(store: Path) -> str:
    weights = _copy(store, 3) / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    _point(store, 3)
    return "half-written or changed"


def missing_weights(store: Path) -> str:
    (_copy(store, 3) / "weights.safetensors").unlink()
    _point(store, 3)
    return "is half-written"


def half_written_card(store: Path) -> str:
    card = _copy(store, 3) / "card.json"
    card.write_bytes(card.read_bytes()[:200])
    _point(store, 3)
    return "is not a model card"


def wrong_sha256(store: Path) -> str:
    _copy(store, 3, weights_sha256="0" * 64)
    _point(store, 3)
    return "the sha256 of"


def other_architecture(store: Path) -> str:
    _copy(store, 3, settings={"head": "nearest", "max_references": 10})
    _point(store, 3)
    return "cannot be used here"


def unknown_detector(store: Path) -> str:
    _copy(store, 3, detector="crystal_ball")
    _point(store, 3)
    return "cannot be used here"


def card_changed_afterwards(store: Path) -> str:
    card = _copy(store, 3) / "card.json"
    published = card.read_bytes()
    card.write_bytes(published + b" ")
    _point(store, 3, published)
    return "was changed after it was published"


def damaged_pointer(store: Path) -> str:
    _put(store, '{"versi')
    return "is damaged"


FAULTS: tuple[Callable[[Path], str], ...] = (
    half_written_weights, missing_weights, half_written_card, wrong_sha256, other_architecture, unknown_detector,
    card_changed_afterwards, damaged_pointer,
)  # fmt: skip


def test_swap_under_load_after_refusals(
    launch: Any, log_lines: Any, expected: Any, until: Any, documents: Any, store: Path, tmp_path: Path
) -> None:
    lines, log = log_lines(40_000), tmp_path / "app.log"
    pieces = [lines[i : i + 500] for i in range(0, len(lines), 500)]
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    written = 0

    def write_piece() -> None:
        nonlocal written
        with log.open("ab") as file:
            file.write(b"".join(line + b"\n" for line in pieces[written]))
        written += 1

    write_piece()
    engine = launch(
        {"type": "file", "paths": [str(log)], "follow": True, "rescan_s": 0.02},
        [{"type": "jsonl", "path": str(tmp_path / "alerts.jsonl")}],
    )
    until(lambda: engine.ready().get("status") == "ok", "the engine is ready")
    # 1. Every broken version is refused and reported, and the model in service continues.
    refusals = 0
    good = (store / MODEL / "current").read_text()
    for fault in FAULTS:
        said = fault(store)
        until(lambda said=said: said in model_condition(engine), f"/readyz reports {fault.__name__}: {said}")
        assert engine.ready()["status"] == "ok", "the model in service goes on"
        outcome = "unreachable" if fault is damaged_pointer else "refused"
        refusals += outcome == "refused"
        assert engine.metric("driftline_model_swaps_total", outcome="refused") == refusals
        assert engine.metric("driftline_model_swaps_total", outcome=outcome) >= 1
        write_piece()
        until(lambda: engine.metric("driftline_lines_total") == written * 500, "lines are read nevertheless")
        _put(store, good)
        until(lambda: "not adopted" not in model_condition(engine), "/readyz says that the pointer is mended")
        shutil.rmtree(store / MODEL / "3", ignore_errors=True)
    # 2. A good version is adopted while lines come.
    while written < len(pieces):
        if written == len(pieces) // 2:
            ModelStore(store).promote(MODEL, 2)
        if written == len(pieces) * 3 // 4:  # some of what comes is left for it
            until(lambda: engine.metric("driftline_model_version", model=MODEL) == 2, "version 2 is in service")
        write_piece()
        until(lambda: engine.metric("driftline_lines_total") >= (written - 2) * 500, "the engine keeps up")
    until(lambda: engine.metric("driftline_lines_total") == len(lines), "all lines are read")
    until(lambda: engine.metric("driftline_open_sessions") <= 1, "all sessions are closed")
    windows = engine.metric("driftline_windows_total")
    until(lambda: engine.metric("driftline_score_count") >= windows, "all windows are scored")
    assert engine.metric("driftline_score_count") == windows
    assert engine.metric("driftline_model_swaps_total", outcome="swapped") == 2
    assert engine.drain() == 0
    # 3. There is one place in the stream before which version 1 scored everything, behind which version 2.
    found = documents(tmp_path / "alerts.jsonl")
    versions = [document["version"] for document in found]
    assert versions == sorted(versions)
    assert set(versions) == {1, 2}
    assert len({document["id"] for document in found}) == len(found)
    seen = [(d["id"], d["version"], d["score"]) for d in found]
    # Until the swap version 1 alerts as if there were no other: it lies behind the last alert of version 1, and not
    # behind the next that version 1 would have raised. (An alert's id does not give its window: the window that a
    # session grew to and the one that it was closed with are the same lines.)
    alone = list(expected(lines, str(log), starts.__getitem__).values())
    first = versions.index(2)
    places = range(alone[first - 1].number + 1, alone[first].number + 1)
    candidates = (expected(lines, str(log), starts.__getitem__, version=1, then=2, swap_at=place) for place in places)
    assert any(seen == [(i, a.version, a.score) for i, a in wanted.items()] for wanted in candidates)
