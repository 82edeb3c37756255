"""What the torch detectors share: embedding table, scoring in rectangles, explaining."""

import contextlib
import functools
import logging
import threading
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel

from models.base import Explanation, NotTrainedError, Templates, WindowDetector, Windows
from models.text.device import tokens_at_once
from models.text.embeddings import FIRST_TEMPLATE, UNKNOWN, Embeddings, EmbeddingTable
from models.text.ragged import marked, padded, rectangles
from models.training.rectangle_runner import RectangleRunner, halved
from models.training.torch_model import TorchModel

log = logging.getLogger(__name__)

HALF_ERROR = 0.01
"""Difference of a score up to which a GPU scores with tables in bfloat16."""

_PROBE = (256, 32)
"""Windows and their lines that the difference is measured on: templates at random."""


class TorchDetector(TorchModel, WindowDetector):
    """Base of detectors whose score comes from one torch network over rows of the embedding table.

    A subclass defines how the network is made (`_network`), what of it can be computed once for a
    table (`_prepare`), and how a rectangle of tokens becomes scores (`_rectangle`).
    """

    _budget = 4096
    """Tokens of one rectangle in scoring: what it makes stays within a core's second-level cache."""
    _narrowest = 1
    """Width of a rectangle at least."""
    _recordable: ClassVar[bool] = False
    """Whether `_rectangle` runs the same kernels for all rectangles of a shape, also on tables in bfloat16."""

    def __init__(self, settings: BaseModel, encoder: str, *, device: str = "auto", cache: Path | None = None) -> None:
        """Opens the encoder; neither its weights nor the network are made yet.

        Raises:
            EncoderError: see `open_encoder`.
            ModelSettingsError: see `pick_device`.
        """
        super().__init__(settings, encoder, device)
        self.embeddings = Embeddings(self._encoder, cache)
        self._prepared: tuple[EmbeddingTable, torch.nn.Module, Any] | None = None
        self._runner: tuple[Any, RectangleRunner] | None = None
        self._on_gpu = self._recordable and self._device.type == "cuda"
        self._lock = threading.Lock()

    @abstractmethod
    def _prepare(self, network: torch.nn.Module, table: EmbeddingTable) -> Any:
        """What can be computed once from a table for all windows."""

    @abstractmethod
    def _rectangle(self, prepared: Any, tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Scores (B,) of windows as marked tokens (B, T), of which `lengths` (B,) count."""

    @abstractmethod
    def _explained(self, tokens: torch.Tensor, lengths: torch.Tensor) -> tuple[NDArray[np.float32], float]:
        """What each token of one window (1, T) adds to its score, float32 (T,), and the base."""

    def learn_templates(self, templates: Templates) -> None:
        """See `WindowDetector.learn_templates`. Also makes the tables that scoring reads."""
        if self.embeddings.learn(templates) and self.network is not None:
            self._current()

    def knows(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """See `WindowDetector.knows`."""
        return np.not_equal(self.embeddings.table.lookup(ids), UNKNOWN)

    def score(self, windows: Windows) -> NDArray[np.float32]:
        """See `WindowDetector.score`."""
        table, prepared = self._current()
        scores = np.zeros(len(windows), np.float32)
        tokens, offsets = marked(windows, table.lookup(windows.ids))
        lengths = windows.lengths()
        filled = np.flatnonzero(lengths)
        budget = tokens_at_once(self._device, self._budget)
        parts = [filled[part] for part in rectangles(lengths[filled], budget)]
        made = (padded(tokens, offsets, index, self._narrowest) for index in parts)
        with torch.inference_mode(), self._lock if self._on_gpu else contextlib.nullcontext():
            for index, values in zip(parts, self._run(prepared).scores(made), strict=True):
                scores[index] = values
        return scores

    def _run(self, prepared: Any) -> RectangleRunner:
        """What scores with these tables; what was recorded with older ones is dropped with them."""
        held = self._runner
        if held is None or held[0] is not prepared:
            function = functools.partial(self._rectangle, prepared)
            self._runner = held = prepared, RectangleRunner(function, self._device, fixed=self._on_gpu)
        return held[1]

    def explain(self, windows: Windows) -> Explanation:
        """See `WindowDetector.explain`. The markers' shares go to the first and the last line."""
        table, _ = self._current()
        tokens, offsets = marked(windows, table.lookup(windows.ids))
        contributions, base = np.zeros(len(windows.ids), np.float32), np.zeros(len(windows), np.float32)
        for i in np.flatnonzero(windows.lengths()).tolist():
            shares, base[i] = self._explained(*self._tensors(tokens, offsets, np.array([i])))
            begin, end = windows.offsets[i], windows.offsets[i + 1]
            lines = shares[1 : 1 + end - begin].copy()
            lines[0] += shares[0]
            lines[-1] += shares[1 + end - begin :].sum()
            contributions[begin:end] = lines
        return Explanation(contributions, base)

    def _tensors(
        self, tokens: NDArray[np.int64], offsets: NDArray[np.int64], index: NDArray[np.int64]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        rectangle, lengths = padded(tokens, offsets, index, self._narrowest)
        return torch.from_numpy(rectangle).to(self._device), torch.from_numpy(lengths).to(self._device)

    def _current(self) -> tuple[EmbeddingTable, Any]:
        """The newest table with what was prepared from it; prepared here if it is new."""
        network, table, ready = self.network, self.embeddings.table, self._prepared
        if network is None:
            raise NotTrainedError(f"this {self.name} holds no weights: fit it, or load a version from the store")
        if ready is None or ready[0] is not table or ready[1] is not network:
            with self._lock, torch.inference_mode():
                ready = table, network, self._smaller(self._prepare(network, table), len(table))
                self._prepared = ready
        return ready[0], ready[2]

    def _smaller(self, prepared: Any, rows: int) -> Any:
        """The tables in bfloat16 on a GPU, unless a score would change by more than `HALF_ERROR`."""
        if not self._on_gpu or rows <= FIRST_TEMPLATE:
            return prepared
        smaller = halved(prepared)
        rng = np.random.default_rng(0)
        tokens = torch.from_numpy(rng.integers(FIRST_TEMPLATE, rows, _PROBE)).to(self._device)
        lengths = torch.from_numpy(rng.integers(1, _PROBE[1] + 1, _PROBE[0])).to(self._device)
        apart = (self._rectangle(prepared, tokens, lengths) - self._rectangle(smaller, tokens, lengths)).abs().max()
        if not float(apart) <= HALF_ERROR:
            log.info("scores with float32 tables: bfloat16 would change a score by %.4f", float(apart))
            return prepared
        return smaller

    def _vectors(self, table: EmbeddingTable) -> torch.Tensor:
        return torch.from_numpy(table.vectors).to(self._device)
