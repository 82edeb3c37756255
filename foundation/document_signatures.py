"""Documents signed with the key of a region: ECDSA with SHA-384 over the document as JSON with sorted keys.

The signature is a field of the document, so every sink and topic carries it. Keys are those of
`driftline federate keys`, in the OpenSSH format.
"""

import base64
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from foundation.errors import DriftlineError
from foundation.extras import require

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

SIGNATURE = "signature"
"""Field with the signature, in base64; it covers all others."""

Sign = Callable[[Mapping[str, Any]], str]


class SigningKeyError(DriftlineError):
    """A key cannot be used."""


def signer(path: Path) -> Sign:
    """What signs documents with the private key in a file.

    Raises:
        SigningKeyError: the file holds no elliptic curve key in the OpenSSH format.
        MissingExtraError: the extra `federation` is not installed.
    """
    require("federation", "signed documents")
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.hashes import SHA384
    from cryptography.hazmat.primitives.serialization import load_ssh_private_key

    try:
        key = load_ssh_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SigningKeyError(f"{path} holds no private key in the OpenSSH format: {error}") from error
    if not isinstance(key, EllipticCurvePrivateKey):
        raise SigningKeyError(f"{path} holds a key of another kind; an elliptic curve key is needed")
    return lambda document: base64.b64encode(key.sign(_content(document), ECDSA(SHA384()))).decode()


class Verifier:
    """Checks documents against the public keys of regions."""

    def __init__(self, keys: Mapping[str, Path], *, required: bool) -> None:
        """Read the keys.

        Args:
            keys: Public key of each region.
            required: Whether a document without a signature is rejected.

        Raises:
            SigningKeyError: a file holds no elliptic curve key in the OpenSSH format.
            MissingExtraError: the extra `federation` is not installed.
        """
        self._keys = {region: _public_key(path) for region, path in keys.items()}
        self._required = required

    def check(self, document: Mapping[str, Any], region: str) -> None:
        """Check that a region signed a document, if it is signed or has to be.

        Raises:
            ValueError: it did not.
        """
        given, key = document.get(SIGNATURE, ""), self._keys.get(region)
        if not given and not self._required:
            return
        if not given:
            raise ValueError('it has no "signature", and only signed documents are accepted')
        if key is None:
            raise ValueError(f"it is signed, and there is no key of region {region!r}")
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
        from cryptography.hazmat.primitives.hashes import SHA384

        try:
            key.verify(base64.b64decode(given, validate=True), _content(document), ECDSA(SHA384()))
        except (InvalidSignature, ValueError) as error:
            raise ValueError(f'its "signature" is not one of region {region!r}') from error


def _public_key(path: Path) -> "EllipticCurvePublicKey":
    require("federation", "signed documents")
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import load_ssh_public_key

    try:
        key = load_ssh_public_key(path.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise SigningKeyError(f"{path} holds no public key in the OpenSSH format: {error}") from error
    if not isinstance(key, EllipticCurvePublicKey):
        raise SigningKeyError(f"{path} holds a key of another kind; an elliptic curve key is needed")
    return key


def _content(document: Mapping[str, Any]) -> bytes:
    return orjson.dumps({k: v for k, v in document.items() if k != SIGNATURE}, option=orjson.OPT_SORT_KEYS)
