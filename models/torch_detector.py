"""What the torch detectors share: device, embedding table, scoring in rectangles, saving."""

import threading
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel

from models.base import Explanation, NotTrained, SettingsError, StoreError, Templates, WindowDetector, Windows
from models.embeddings import UNKNOWN, Embeddings, EmbeddingTable
from models.encoder import open_encoder
from models.sequences import marked, padded, rectangles


def pick_device(name: str) -> torch.device:
    """`auto` is the GPU where there is one.

    Raises:
        SettingsError: the device is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise SettingsError(f"device '{name}' is none of auto, cpu, cuda, cuda:N") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SettingsError(f"device '{name}': this machine has no CUDA GPU that torch can use; auto or cpu would do")
    return device


class TorchDetector(WindowDetector):
    """Base of detectors whose score comes from one torch network over rows of the embedding table.

    A subclass says how the network is made (`_network`), what of it can be computed once for a
    table (`_prepare`), and how a rectangle of tokens becomes scores (`_rectangle`).
    """

    _budget = 4096
    """Tokens of one rectangle in scoring: what it makes stays within a core's second-level cache."""
    _narrowest = 1
    """Width of a rectangle at the least."""

    def __init__(self, settings: BaseModel, encoder: str, *, device: str = "auto", cache: Path | None = None) -> None:
        """Opens the encoder; neither its weights nor the network are made yet.

        Raises:
            EncoderError: see `open_encoder`.
            SettingsError: see `pick_device`.
        """
        self._settings = settings
        self._device = pick_device(device)
        self.embeddings = Embeddings(open_encoder(encoder, str(self._device)), cache)
        self.network: torch.nn.Module | None = None
        self._prepared: tuple[EmbeddingTable, torch.nn.Module, Any] | None = None
        self._lock = threading.Lock()

    @abstractmethod
    def _network(self) -> torch.nn.Module:
        """A new network with random weights, on the CPU."""

    def _fitting(self, weights: Mapping[str, NDArray[Any]]) -> torch.nn.Module:
        """A new network into which these weights would fit; the sizes that training found are theirs."""
        return self._network()

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

    def prepare(self) -> None:
        """See `WindowDetector.prepare`."""
        self.embeddings.encoder.encode(["ready"])

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
        """The newest table with what was prepared from it; prepared here if nobody has yet."""
        network, table, ready = self.network, self.embeddings.table, self._prepared
        if network is None:
            raise NotTrained(f"this {self.name} holds no weights: fit it, or load a version from the store")
        if ready is None or ready[0] is not table or ready[1] is not network:
            with self._lock, torch.inference_mode():
                ready = table, network, self._prepare(network, table)
                self._prepared = ready
        return ready[0], ready[2]

    def _vectors(self, table: EmbeddingTable) -> torch.Tensor:
        return torch.from_numpy(table.vectors).to(self._device)

    def _start(self) -> torch.nn.Module:
        """The network that `fit` trains: the loaded one goes on, as in a federated round; else a new one."""
        network = self._network()
        if self.network is not None:
            network.load_state_dict(self.network.state_dict())
        return network.to(self._device)

    def _finish(self, network: torch.nn.Module) -> None:
        self.network = network.eval()

    def settings(self) -> dict[str, Any]:
        """See `WindowDetector.settings`."""
        return self._settings.model_dump(mode="json")

    def extra(self) -> dict[str, Any]:
        """The encoder that the weights were trained on; others give other vectors."""
        encoder = self.embeddings.encoder
        return {"encoder": encoder.name, "encoder_fingerprint": encoder.fingerprint, "hidden": encoder.hidden}

    def weights(self) -> dict[str, NDArray[Any]]:
        """See `WindowDetector.weights`; the encoder's own weights are not among them."""
        if self.network is None:
            raise NotTrained(f"this {self.name} holds no weights to save")
        return {name: value.detach().cpu().numpy().copy() for name, value in self.network.state_dict().items()}

    def load_weights(self, weights: Mapping[str, NDArray[Any]], extra: Mapping[str, Any]) -> None:
        """See `WindowDetector.load_weights`."""
        mine = self.extra()
        if extra.get("encoder_fingerprint") != mine["encoder_fingerprint"]:
            raise StoreError(
                f"the weights were trained on encoder {extra.get('encoder')} ({extra.get('encoder_fingerprint')}), "
                f"this {self.name} uses {mine['encoder']} ({mine['encoder_fingerprint']}); the same files are needed"
            )
        network = self._fitting(weights)
        for problem in differences({n: v.numpy() for n, v in network.state_dict().items()}, weights):
            raise StoreError(f"the weights are not those of this {self.name}: {problem}")
        network.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in weights.items()})
        self.network = network.to(self._device).eval()


def differences(expected: Mapping[str, NDArray[Any]], given: Mapping[str, NDArray[Any]]) -> Iterator[str]:
    """In words, every array that is missing, extra, of another shape or dtype, or not finite."""
    for name in sorted(expected.keys() | given.keys()):
        if name not in given:
            yield f"'{name}' is missing"
        elif name not in expected:
            yield f"'{name}' is not among {', '.join(expected)}"
        elif (e := expected[name]).shape != (g := given[name]).shape or e.dtype != g.dtype:
            yield f"'{name}' is {g.dtype}{list(g.shape)}, expected {e.dtype}{list(e.shape)}"
        elif not np.isfinite(given[name]).all():
            yield f"'{name}' holds values that are not finite"
