"""Versions of the region's detector, loaded to score stored windows, and the training store that holds those."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import numpy as np
from fastapi import Depends, Request
from numpy.typing import NDArray

from engine.api.problems import ProblemError
from engine.api.services import Services
from engine.offline.ask import Pool
from engine.settings import RegionSettings
from federation.storage.answers import AnswerStore
from models.storage.store import ModelStore
from models.text.embeddings import embedding_cache
from models.training.scoring import WindowScorer

KEPT = 4
"""Versions that stay loaded, those used last."""


class LoadedVersions:
    """Versions of one model by number; a version never changes. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._scorers: dict[int, WindowScorer] = {}

    def scores(self, region: RegionSettings, version: int, pool: Pool) -> tuple[NDArray[np.float32], float]:
        """Scores of stored windows by a version, float32 (n,), and its threshold: that of the settings if set.

        Raises:
            ModelStoreError: the version cannot be loaded.
        """
        with self._lock:
            scorer = self._scorer(region, version)
            scorer.learn_templates(pool.templates)
            scores = scorer.score(pool.windows)
        chosen = region.decide.threshold
        return scores, scorer.threshold if chosen is None else chosen

    def _scorer(self, region: RegionSettings, version: int) -> WindowScorer:
        found = self._scorers.pop(version, None)
        if found is None:
            model = region.scoring
            loaded = ModelStore(model.store).load(model.name, version, device=model.device, cache=embedding_cache())
            found = WindowScorer(loaded.detector, version, loaded.card.threshold_in(region.region).value)
        self._scorers[version] = found
        for oldest in list(self._scorers)[:-KEPT]:
            del self._scorers[oldest]
        return found


def versions_of(request: Request) -> LoadedVersions:
    """Return the versions that the application keeps loaded."""
    found: LoadedVersions = request.app.state.versions
    return found


Versions = Annotated[LoadedVersions, Depends(versions_of)]


@contextmanager
def training_store(services: Services) -> Iterator[tuple[RegionSettings, AnswerStore]]:
    """The region's settings and its training store.

    Raises:
        ProblemError: the service has no region, or the region has no training store.
        StorageError: the store cannot be opened.
    """
    region = services.region
    if region is None:
        raise ProblemError(409, "this needs a region: name its TOML file as `region` in the service's settings")
    if region.training is None:
        raise ProblemError(409, "the region stores no windows: add a section [training] with a path to its TOML file")
    with AnswerStore(region.training.path, region.training, now_ns=services.now_ns) as store:
        yield region, store
