"""Masks of secure aggregation from ChaCha20 instead of Flower's generator.

Flower folds the seed into 32 bits for a Mersenne Twister, so masks can be found by trying all seeds. Here the
whole seed is the key of a stream cipher. Both sides have to draw the same masks: the protocol's module for
regions and the one for coordinators are patched together.
"""

import hashlib
import importlib
from collections.abc import Sequence
from math import prod

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from numpy.typing import NDArray

MODULES = (
    "flwr.client.mod.secure_aggregation.secaggplus_mod",
    "flwr.server.workflow.secure_aggregation.secaggplus_workflow",
)
"""Modules in which Flower uses its generator."""

_NAME = "pseudo_rand_gen"


def masks(seed: bytes, num_range: int, dimensions: Sequence[tuple[int, ...]]) -> list[NDArray[np.int64]]:
    """Draw an int64 array of each shape, uniform over 0 … `num_range` - 1; the same for the same seed everywhere.

    Args:
        seed: Secret of any length; used for one message only.
        num_range: A power of two, at most 2 ** 62.
        dimensions: Shapes.

    Raises:
        ValueError: `num_range` is not such a power.
    """
    if num_range < 2 or num_range > 1 << 62 or num_range & (num_range - 1):
        raise ValueError(f"masks are drawn below a power of two up to 2**62, got {num_range}")
    key = hashlib.sha256(b"driftline secure aggregation mask" + seed).digest()
    # A key is used for one stream, so a constant nonce is safe.
    stream = Cipher(ChaCha20(key, bytes(16)), None).encryptor()
    drawn = []
    for shape in dimensions:
        raw = stream.update(bytes(8 * prod(shape)))
        words = np.frombuffer(raw, "<u8") & np.uint64(num_range - 1)
        drawn.append(words.astype(np.int64).reshape(shape))
    return drawn


def use_chacha() -> None:
    """Make Flower's protocol draw its masks here, in this process.

    Raises:
        RuntimeError: this release of Flower draws its masks in another place.
    """
    for name in MODULES:
        names = vars(importlib.import_module(name))
        if _NAME not in names:
            raise RuntimeError(f"{name} has no {_NAME}: its masks would not be secure")
        names[_NAME] = masks
