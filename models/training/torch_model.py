"""What every model on a torch network shares: device, starting to train, saving and loading."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel

from models.base import Model, ModelSettingsError, ModelStoreError, NotTrainedError
from models.text.encoder import open_encoder


def pick_device(name: str) -> torch.device:
    """`auto` is the GPU if there is one.

    Raises:
        ModelSettingsError: the device is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ModelSettingsError(f"device '{name}' is not one of auto, cpu, cuda, cuda:N") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ModelSettingsError(f"device '{name}': this machine has no CUDA GPU that torch can use; use auto or cpu")
    return device


class TorchModel(Model):
    """Base of models that learn one torch network over what a text encoder gives.

    A subclass defines how the network is made.
    """

    def __init__(self, settings: BaseModel, encoder: str, device: str) -> None:
        """Opens the encoder; neither its weights nor the network are made yet.

        Raises:
            EncoderError: see `open_encoder`.
            ModelSettingsError: see `pick_device`.
        """
        self._settings = settings
        self._device = pick_device(device)
        self._encoder = open_encoder(encoder, str(self._device))
        self.network: torch.nn.Module | None = None

    @abstractmethod
    def _network(self) -> torch.nn.Module:
        """A new network with random weights."""

    def _fitting(self, weights: Mapping[str, NDArray[Any]]) -> torch.nn.Module:
        """A new network into which these weights would fit; the sizes that training found are theirs."""
        return self._network()

    def prepare(self) -> None:
        """See `Model.prepare`."""
        self._encoder.encode(["ready"])

    def rest(self) -> None:
        """See `Model.rest`."""
        self._encoder.rest()

    def _start(self) -> torch.nn.Module:
        """The network that `fit` trains: the loaded one continues, as in a federated round; else a new one."""
        network = self._network()
        if self.network is not None:
            network.load_state_dict(self.network.state_dict())
        return network.to(self._device)

    def _finish(self, network: torch.nn.Module) -> None:
        self.network = network.eval()

    def settings(self) -> dict[str, Any]:
        """See `Model.settings`."""
        return self._settings.model_dump(mode="json")

    def extra(self) -> dict[str, Any]:
        """The encoder that the weights were trained on; others give other vectors."""
        encoder = self._encoder
        return {"encoder": encoder.name, "encoder_fingerprint": encoder.fingerprint, "hidden": encoder.hidden}

    def weights(self) -> dict[str, NDArray[Any]]:
        """See `Model.weights`; the encoder's own weights are not among them."""
        if self.network is None:
            raise NotTrainedError(f"this {self.name} holds no weights to save")
        return {name: value.detach().cpu().numpy().copy() for name, value in self.network.state_dict().items()}

    def load_weights(self, weights: Mapping[str, NDArray[Any]], extra: Mapping[str, Any]) -> None:
        """See `Model.load_weights`."""
        mine = self.extra()
        if extra.get("encoder_fingerprint") != mine["encoder_fingerprint"]:
            raise ModelStoreError(
                f"the weights were trained on encoder {extra.get('encoder')} ({extra.get('encoder_fingerprint')}), "
                f"this {self.name} uses {mine['encoder']} ({mine['encoder_fingerprint']}); the same files are needed"
            )
        network = self._fitting(weights)
        for problem in differences({n: v.cpu().numpy() for n, v in network.state_dict().items()}, weights):
            raise ModelStoreError(f"the weights are not those of this {self.name}: {problem}")
        network.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in weights.items()})
        self.network = network.to(self._device).eval()


def differences(expected: Mapping[str, NDArray[Any]], given: Mapping[str, NDArray[Any]]) -> Iterator[str]:
    """Message naming every array that is missing, extra, of another shape or dtype, or not finite."""
    for name in sorted(expected.keys() | given.keys()):
        if name not in given:
            yield f"'{name}' is missing"
        elif name not in expected:
            yield f"'{name}' is not among {', '.join(expected)}"
        elif (e := expected[name]).shape != (g := given[name]).shape or e.dtype != g.dtype:
            yield f"'{name}' is {g.dtype}{list(g.shape)}, expected {e.dtype}{list(e.shape)}"
        elif not np.isfinite(given[name]).all():
            yield f"'{name}' holds values that are not finite"
