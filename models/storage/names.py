"""Names of models in the store."""

import contextlib
from typing import TYPE_CHECKING

from models.base import ModelStoreError
from models.classify.registry import CLASSIFIERS
from models.detectors.registry import DETECTORS

if TYPE_CHECKING:
    from models.storage.store import ModelStore


def require_valid_name(name: str) -> None:
    """Checks that a name can be that of a model.

    Raises:
        ModelStoreError: it has characters that are not allowed.
    """
    if not name or name.startswith(".") or not all(c.isalnum() or c in "_-." for c in name):
        raise ModelStoreError(
            f"'{name}' cannot be the name of a model: use letters, digits, '_', '-' and '.', with no '.' in front"
        )


def require_own_name(store: "ModelStore", name: str, model: str) -> None:
    """Checks that a model may be published under a name: engines that follow it expect the same kind of model.

    Args:
        store: Where it would be published.
        name: In the store.
        model: Name of the detector or line classifier in its registry.

    Raises:
        ModelStoreError: the name is not valid, is that of another model, or has versions of another model.
    """
    require_valid_name(name)
    taken = name if name != model and (name in DETECTORS or name in CLASSIFIERS) else ""
    if not taken and (versions := store.versions(name)):
        with contextlib.suppress(ModelStoreError):  # a damaged version states nothing about the name
            taken = store.any_card(name, versions[-1]).detector
    if taken not in ("", model):
        raise ModelStoreError(
            f"{store}: the name '{name}' belongs to {taken}, and this is {model}; choose another name"
        )
