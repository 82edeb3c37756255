"""What the torch detectors share: embedding table, scoring in rectangles, explaining."""

import threading
from abc import abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel

from models.base import Explanation, NotTrainedError, Templates, WindowDetector, Windows
from models.text.embeddings import UNKNOWN, Embeddings, EmbeddingTable
from models.text.ragged import marked, padded, rectangles
from models.training.torch_model import TorchModel


class TorchDetector(TorchModel, WindowDetector):
    """Base of detectors whose score comes from one torch network over rows of the embedding table.

    A subclass defines how the network is made (`_network`), what of it can be computed once for a
    table (`_prepare`), and how a rectangle of tokens becomes scores (`_rectangle`).
    """

    _budget = 4096
    """Tokens of one rectangle in scoring: what it makes stays within a core's second-level cache."""
    _narrowest = 1
    """Width of a rectangle at least."""

    def __init__(self, settings: BaseModel, encoder: str, *, device: str = "auto", cache: Path | None = None) -> None:
        """Opens the encoder; neither its weights nor the network are made yet.

        Raises:
            EncoderError: see `open_encoder`.
            ModelSettingsError: see `pick_device`.
        """
        super().__init__(settings, encoder, device)
        self.embeddings = Embeddings(self._encoder, cache)
        self._prepared: tuple[EmbeddingTable, torch.nn.Module, Any] | None = None
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
        with torch.inference_mode():
            for part in rectangles(lengths[filled], self._budget):
                index = filled[part]
                values = self._rectangle(prepared, *self._tensors(tokens, offsets, index))
                scores[index] = values.float().cpu().numpy()
        return scores

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
                ready = table, network, self._prepare(network, table)
                self._prepared = ready
        return ready[0], ready[2]

    def _vectors(self, table: EmbeddingTable) -> torch.Tensor:
        return torch.from_numpy(table.vectors).to(self._device)
