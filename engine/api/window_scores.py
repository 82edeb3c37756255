"""Scores of the windows that the lines of a request form, by the window detector in service."""

import tempfile
import threading
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field

from engine.api.services import Services
from engine.offline.datasets import load_windows
from engine.offline.detect import Preprocessing, as_trained, default_preprocessing, score_windows
from engine.offline.inputs import LogSpec
from foundation.errors import DriftlineError
from foundation.time_text import iso_time
from models.storage.model_cards import Card
from models.storage.store import ModelStore, Stored
from models.text.embeddings import embedding_cache


class AnalyzedWindow(BaseModel):
    """A window of the lines with its score."""

    session: Annotated[str, Field(description="Session key; empty without one.")]
    lines: int
    first_time: str
    last_time: str
    score: Annotated[float, Field(description="Higher is more anomalous.")]
    threshold: Annotated[float, Field(description="A score at or above it is anomalous.")]
    anomalous: bool


class WindowScores(BaseModel):
    """The windows of the lines, in the order of their first line."""

    window_model: Annotated[str, Field(description="The window detector with its version; why none, without one.")]
    windows: list[AnalyzedWindow]


class WindowJudge:
    """Keeps the window detector in service loaded; threads may share it."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._lock = threading.Lock()
        self._stored: Stored | None = None

    def scores(self, block: bytes) -> WindowScores:
        r"""Score the windows of lines, each followed by `\n`, as `driftline score` does for a file."""
        try:
            with self._lock:
                stored = self._current()
                if stored is None:
                    return WindowScores(window_model="none: the model store has no window detector", windows=[])
                return self._scored(stored, block)
        except DriftlineError as error:
            return WindowScores(window_model=f"none: {error}", windows=[])

    def _current(self) -> Stored | None:
        """The current version of the region's model; without a region, of the first window detector of the store."""
        region = self._services.region
        store = ModelStore(self._services.models_url if region is None else region.scoring.store)
        names = store.names() if region is None else [region.scoring.name]
        for name in names:
            version = store.current(name, "" if region is None else region.region)
            if version is None or not isinstance(store.any_card(name, version), Card):
                continue
            if self._stored is None or (self._stored.card.name, self._stored.card.version) != (name, version):
                self._stored = store.load(name, version, cache=embedding_cache())
            return self._stored
        return None

    def _scored(self, stored: Stored, block: bytes) -> WindowScores:
        region = self._services.region
        preprocessing = default_preprocessing("auto", "session", {})
        if region is not None:
            preprocessing = Preprocessing(region.parse, region.window)
        preprocessing = as_trained(preprocessing, stored.card)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "request.log"
            path.write_bytes(block)
            data = load_windows(LogSpec(path, supervised=False), preprocessing.parse, preprocessing.window).closed()
        scored = score_windows(data, stored)
        chosen = None if region is None else region.decide.threshold
        threshold = scored.threshold if chosen is None else chosen
        columns = (
            data.keys, data.windows.lengths().tolist(), data.first_ns.tolist(), data.last_ns.tolist(),
            scored.scores.tolist(),
        )  # fmt: skip
        rows = sorted(zip(*columns, strict=True), key=lambda row: row[2])
        return WindowScores(
            window_model=f"{stored.card.name} version {stored.card.version}",
            windows=[
                AnalyzedWindow(
                    session=key, lines=lines, first_time=iso_time(first), last_time=iso_time(last), score=score,
                    threshold=threshold, anomalous=score >= threshold,
                )
                for key, lines, first, last, score in rows
            ],
        )  # fmt: skip
