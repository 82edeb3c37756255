"""Files of the store, read within bounds: a file too large is refused by its size, before it is read."""

import hashlib
from typing import Any

from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors import numpy as safetensors

from models.base import ModelStoreError
from models.storage.model_cards import AnyCard
from models.storage.store_backends import Folder

WEIGHTS = "weights.safetensors"

MAX_CARD_BYTES = 16 << 20
"""The largest card. The tables of `event_counts` take the most of it, less than a megabyte."""

MAX_WEIGHTS_BYTES = 4 << 30
"""The largest weights. The largest model here, with its encoder, has 500 MB."""


def read_bounded(folder: Folder, path: str, most: int) -> bytes:
    """The content of a file of at most `most` bytes.

    Raises:
        ModelStoreError: it is larger.
        OSError: it cannot be read.
    """
    size = folder.size(path)
    if size > most:
        raise ModelStoreError(f"{folder}/{path} has {size:,} bytes; at most {most:,} are expected")
    return folder.read(path)


def check_weights(folder: Folder, card: AnyCard, most: int) -> None:
    """Check that a version's weights are whole, unchanged, and of at most `most` bytes; hashed in blocks.

    Raises:
        ModelStoreError: they are not.
        OSError: they cannot be read.
    """
    path = _check_size(folder, card, most)
    digest = hashlib.sha256()
    for block in folder.blocks(path):
        digest.update(block)
    _check_hash(folder, card, path, digest.hexdigest())


def read_weights(folder: Folder, card: AnyCard, most: int) -> dict[str, NDArray[Any]]:
    """The weights of a version of at most `most` bytes, verified.

    Raises:
        ModelStoreError: they are not whole, changed, or not weights.
        OSError: they cannot be read.
    """
    path = _check_size(folder, card, most)
    raw = folder.read(path)
    _check_hash(folder, card, path, hashlib.sha256(raw).hexdigest())
    try:
        # Read in another order every time; a refusal that lists them would then look new at every look.
        return dict(sorted(safetensors.load(raw).items()))
    except SafetensorError as error:
        raise ModelStoreError(f"{folder}/{path} is not a safetensors file: {error}") from error


def _check_size(folder: Folder, card: AnyCard, most: int) -> str:
    path = f"{card.name}/{card.version}/{WEIGHTS}"
    version = f"version {card.version} of {card.name}"
    if not folder.exists(path):
        raise ModelStoreError(f"{version} is half-written: {folder}/{path} does not exist")
    size, expected = folder.size(path), card.weights_bytes
    if size > most:
        raise ModelStoreError(f"{version} is too large: {folder}/{path} has {size:,} bytes, allowed are {most:,}")
    if expected not in (None, size):
        raise ModelStoreError(
            f"{version} is half-written or changed: {folder}/{path} has {size:,} bytes, expected are {expected:,}"
        )
    return path


def _check_hash(folder: Folder, card: AnyCard, path: str, sha256: str) -> None:
    if sha256 != card.weights_sha256:
        raise ModelStoreError(
            f"version {card.version} of {card.name} is half-written or changed: the sha256 of {folder}/{path} is not "
            "the card's"
        )
