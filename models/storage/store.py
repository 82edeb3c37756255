"""The versioned model store: a folder, or any URL that fsspec can open.

Layout::

    NAME/1/weights.safetensors
    NAME/1/card.json
    NAME/current                 {"version": 2, "card_sha256": "…", "reached": 2, "held": {"eu": 1}}

Nothing is pickled. Versions are whole numbers that only rise; a version never changes once it can
be seen. Publishing takes these steps, in this order:

1. Write weights and card into a folder that no reader examines, and flush both to the disk.
2. Rename that folder to the next free number. A publisher that finds the number in use tries the next one,
   so two publishers never share a version, and a version is seen whole or not at all.
3. Replace the pointer, by rename, unless it names a later version already.

Object stores cannot rename a folder: there the number is claimed by creating a file exclusively,
then weights and card are written, the card last; a version without a card is not listed.

The card holds the sha256 of the weights and the pointer that of the card, so `load` rejects
half-written and changed versions. `reached` is the latest version that was ever current, so that one
that was rolled back is distinguished from one that was never in service. `held` names the regions
that keep an earlier version than the current one: a federated round publishes for the regions that it helps.
"""

import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import numpy as safetensors

from models.base import Model, ModelError, ModelStoreError, WindowDetector
from models.classify import registry as classifiers
from models.detectors import registry
from models.storage import weights_file
from models.storage.lease import take_lease
from models.storage.model_cards import CARDS, AnyCard, Card, ClassifierCard, ModelNotes, Notes
from models.storage.names import require_own_name, require_valid_name
from models.storage.pointer import Pointer, below, read_pointer
from models.storage.store_backends import folder_at
from models.storage.stored import Stored, StoredClassifier

__all__ = ["Card", "ClassifierCard", "ModelNotes", "ModelStore", "Notes", "Stored", "StoredClassifier"]

T = TypeVar("T")
_CARD, _POINTER = "card.json", "current"
_now = partial(datetime.now, UTC)


class ModelStore:
    """Publishes, lists, verifies and rolls back versions of named models."""

    def __init__(
        self, url: str | Path, *, now: Callable[[], datetime] = _now, most: int = weights_file.MAX_WEIGHTS_BYTES
    ) -> None:
        """Checks nothing yet.

        Args:
            url: Folder, or fsspec URL (`s3://bucket/models`).
            now: Gives the card's time stamp.
            most: Largest weights that are read, in bytes.
        """
        self._folder = folder_at(str(url))
        self._now = now
        self._most = most

    def __str__(self) -> str:
        return str(self._folder)

    def publish(self, name: str, model: Model, notes: ModelNotes, *, make_current: bool = True) -> int:
        """Stores a new version and points `current` at it; the steps are the module's.

        Args:
            name: Of the model; letters, digits, `_`, `-` and `.`, no `.` in front.
            model: Fitted or loaded.
            notes: What continues the card next to what the model states of itself; `Notes` for a window
                detector, `ModelNotes` for a line classifier.
            make_current: False stores a candidate that engines do not follow yet; see `promote`.

        Returns:
            The number of the version.

        Raises:
            ModelStoreError: the name is another model's, or the store cannot be written (disk full, no
                permission); no part of the version can be seen then.
            NotTrainedError: the model holds no weights.
        """
        require_own_name(self, name, model.name)
        card = {"detector": model.name, "settings": model.settings(), "extra": model.extra()}
        kind = Card if isinstance(model, WindowDetector) else ClassifierCard
        return self._publish(name, kind, card, model.weights(), notes, make_current)

    def publish_weights(
        self, base: AnyCard, weights: Mapping[str, NDArray[Any]], notes: ModelNotes, *, over: int | None = None,
        held: Mapping[str, int] | None = None,
    ) -> int:  # fmt: skip
        """Stores other weights of the same architecture as a new version, without building the model; see `publish`.

        Args:
            base: Card of the version that the weights were trained from.
            weights: Of the same names, shapes and dtypes, which the caller ensures.
            notes: As in `publish`.
            over: It becomes current only if this version is current; None: in any case.
            held: Regions that keep an earlier version, with it; None: those that keep one now.

        Raises:
            ModelStoreError: the store cannot be written.
        """
        card = {"detector": base.detector, "settings": base.settings, "extra": base.extra}
        return self._publish(base.name, type(base), card, weights, notes, make_current=True, over=over, held=held)

    def _publish(
        self, name: str, kind: type[AnyCard], card: Mapping[str, Any], weights: Mapping[str, NDArray[Any]],
        notes: ModelNotes, make_current: bool, over: int | None = None, held: Mapping[str, int] | None = None,
    ) -> int:  # fmt: skip
        require_valid_name(name)
        raw = safetensors.save({k: np.ascontiguousarray(v) for k, v in weights.items()})
        parent = self.current(name)

        def files(version: int) -> dict[str, bytes]:
            made = kind.model_validate(
                {
                    **notes.model_dump(), **card, "name": name, "version": version, "parent": parent,
                    "created_at": self._now(),
                    "weights_sha256": hashlib.sha256(raw).hexdigest(), "weights_bytes": len(raw),
                }
            )  # fmt: skip
            return {weights_file.WEIGHTS: raw, _CARD: made.model_dump_json(indent=1).encode()}

        try:
            version = self._folder.add_version(name, files)  # 1, 2
            if make_current:
                with self._folder.locked(name):
                    now = self.current(name) or 0
                    if version > now and over in (None, now):
                        self._point(name, version, held)  # 3
        except OSError as error:
            raise ModelStoreError(f"{self._folder} cannot be written for {name}: {error}") from error
        return version

    def names(self) -> list[str]:
        """Models with a version, sorted."""
        return [n for n in self._list("") if not n.startswith(".") and self.versions(n)]

    def versions(self, name: str) -> list[int]:
        """Complete versions, ascending."""
        numbers = sorted(int(n) for n in self._list(name) if n.isdecimal())
        return [n for n in numbers if self._folder.exists(f"{name}/{n}/{_CARD}")]

    def current(self, name: str, region: str = "") -> int | None:
        """The version to serve; None where nothing was published.

        Args:
            name: Of the model.
            region: A region, which may keep an earlier version; "" for the current version itself.

        Raises:
            ModelStoreError: the store cannot be read, or the pointer is damaged.
        """
        pointer = self._pointer(name)
        return None if pointer is None else pointer.of(region)

    def held(self, name: str) -> dict[str, int]:
        """Regions that keep an earlier version than the current one, with it; raises ModelStoreError."""
        pointer = self._pointer(name)
        return {} if pointer is None else dict(pointer.held)

    def reached(self, name: str) -> int:
        """The latest version that was ever current; 0 where nothing was published.

        Raises:
            ModelStoreError: see `current`.
        """
        pointer = self._pointer(name)
        return 0 if pointer is None else pointer.reached

    def card(self, name: str, version: int | None = None) -> Card:
        """The card of a version of a window detector, or of the current one.

        Raises:
            ModelStoreError: see `any_card`, or it is the card of a line classifier.
        """
        card = self.any_card(name, version)
        if not isinstance(card, Card):
            raise ModelStoreError(f"{name} version {card.version} is a line classifier, not a window detector")
        return card

    def any_card(self, name: str, version: int | None = None) -> AnyCard:
        """The card of a version of any kind of model, or of the current one.

        Raises:
            ModelStoreError: there is no such version, or its card is damaged.
        """
        try:
            pointer = self._pointer(name)
        except ModelStoreError:
            # A version asked for by number can be read, and rolled back to, without the pointer.
            if version is None:
                raise
            pointer = None
        if version is None and pointer is None:
            raise ModelStoreError(
                f"{self._folder} holds no published model '{name}'; it holds {', '.join(self.names()) or 'none'}"
            )
        wanted = version if version is not None or pointer is None else pointer.version
        path = f"{name}/{wanted}/{_CARD}"
        if not self._exists(path):
            known = ", ".join(map(str, self.versions(name))) or "none"
            raise ModelStoreError(
                f"version {wanted} of {name} is missing or half-written: {self._folder}/{path} does not exist; "
                f"complete are {known}"
            )
        raw = self._read(path)
        if pointer and wanted == pointer.version and hashlib.sha256(raw).hexdigest() != pointer.card_sha256:
            raise ModelStoreError(
                f"version {wanted} of {name}: {self._folder}/{path} was changed after it was published"
            )
        try:
            card = CARDS.validate_json(raw)
        except ValidationError as error:
            raise ModelStoreError(
                f"version {wanted} of {name}: {self._folder}/{path} is not a model card: {error.errors()[0]['msg']}"
            ) from error
        if (card.name, card.version) != (name, wanted):
            raise ModelStoreError(f"{self._folder}/{path} is the card of {card.name} version {card.version}")
        return card

    def verify(self, name: str, version: int | None = None) -> AnyCard:
        """Checks that a version is whole and unchanged, without building the model.

        Raises:
            ModelStoreError: it is not; the message gives the fault.
        """
        card = self.any_card(name, version)
        self._asked(lambda: weights_file.check_weights(self._folder, card, self._most))
        return card

    def load(self, name: str, version: int | None = None, *, device: str = "auto", cache: Path | None = None) -> Stored:
        """A version (the current one if None), verified and ready to score once templates are learnt.

        Raises:
            ModelStoreError: missing, half-written, changed, or of another architecture or encoder.
        """
        card = self.card(name, version)
        weights = self._weights(card)
        try:
            detector = registry.build(card.detector, card.settings, device=device, cache=cache)
            detector.load_weights(weights, card.extra)
        except ModelError as error:
            raise ModelStoreError(f"version {card.version} of {name} cannot be used here: {error}") from error
        return Stored(detector, card)

    def load_classifier(
        self, name: str, version: int | None = None, *, device: str = "auto", cache: Path | None = None
    ) -> StoredClassifier:
        """A version of a line classifier (the current one if None), verified and ready to classify.

        Raises:
            ModelStoreError: missing, half-written, changed, of another architecture or encoder, or no line classifier.
        """
        card = self.any_card(name, version)
        if not isinstance(card, ClassifierCard):
            raise ModelStoreError(f"{name} version {card.version} is a window detector, not a line classifier")
        weights = self._weights(card)
        try:
            classifier = classifiers.build(card.detector, card.settings, device=device, cache=cache)
            classifier.load_weights(weights, card.extra)
        except ModelError as error:
            raise ModelStoreError(f"version {card.version} of {name} cannot be used here: {error}") from error
        return StoredClassifier(classifier, card)

    def promote(self, name: str, version: int, held: Mapping[str, int] | None = None) -> None:
        """Points `current` at a version that is whole.

        Args:
            name: Of the model.
            version: Becomes current.
            held: Regions that keep an earlier version, with it; None: those that keep one now.

        Raises:
            ModelStoreError: a version is not whole, or the store cannot be written.
        """
        for each in sorted({version, *(held or {}).values()}):
            self.verify(name, each)
        try:
            with self._folder.locked(name):
                self._point(name, version, held)
        except OSError as error:
            raise ModelStoreError(f"{self._folder} cannot be written for {name}: {error}") from error

    def rollback(self, name: str, to: int | None = None) -> int:
        """Points `current` back, to `to`, or to the parent of the current version.

        Returns:
            The version that is current now.

        Raises:
            ModelStoreError: there is nothing to go back to, or the target is damaged.
        """
        to = self.rollback_target(name) if to is None else to
        self.promote(name, to)
        return to

    def rollback_target(self, name: str) -> int:
        """The version that `rollback` would go back to.

        Raises:
            ModelStoreError: it does not exist.
        """
        now = self.current(name)
        before = None if now is None else self.before(name, now)
        if before is None:
            raise ModelStoreError(f"{name} has no version before {now or 'the first'} to go back to")
        return before

    def before(self, name: str, version: int) -> int | None:
        """The parent of a version, or the one before it if the parent is gone or (after a rollback) later, or None."""
        versions = self.versions(name)
        earlier = [v for v in versions if v < version]
        parent = self.any_card(name, version).parent if earlier and version in versions else None
        return parent if parent in earlier else max(earlier, default=None)

    def prune(self, name: str, keep: int) -> list[int]:
        """Remove all but the newest `keep` versions, and return the numbers of those removed.

        Versions in service, those that a rollback goes back to, and candidates stay.

        Raises:
            ModelStoreError: nothing is published under the name, or the store cannot be read or written.
        """
        try:
            with self._folder.locked(name):
                versions, card, reached = self.versions(name), self.any_card(name), self.reached(name)
                earlier = [v for v in versions if v < card.version]
                used = {*versions[-keep:], *earlier[-1:], card.version, card.parent, *self.held(name).values()}
                old = [v for v in versions if v not in used and v <= reached]
                for version in old:
                    self._folder.remove_version(name, version)
        except OSError as error:
            raise ModelStoreError(f"{self._folder} cannot be written for {name}: {error}") from error
        return old

    def lease(self, name: str, holder: str, now_ns: int) -> str | None:
        """Take or renew the lease on a model; see `models.storage.lease.take_lease`; raises ModelStoreError."""
        require_valid_name(name)
        return self._asked(lambda: take_lease(self._folder, name, holder, now_ns))

    def weights(self, name: str, version: int) -> dict[str, NDArray[Any]]:
        """The weights of a version, verified, without building the model; raises ModelStoreError."""
        return self._weights(self.any_card(name, version))

    def card_sha256(self, name: str, version: int) -> str:
        """Of the card's file, as the pointer names it; raises ModelStoreError."""
        return hashlib.sha256(self._read(f"{name}/{version}/{_CARD}")).hexdigest()

    def _weights(self, card: AnyCard) -> dict[str, NDArray[Any]]:
        return self._asked(lambda: weights_file.read_weights(self._folder, card, self._most))

    def _pointer(self, name: str) -> Pointer | None:
        require_valid_name(name)
        path = f"{name}/{_POINTER}"
        if not self._exists(path):
            return None
        try:
            return read_pointer(self._read(path))
        except ValueError as error:
            raise ModelStoreError(
                f"{self._folder}/{path} is damaged ({error}); roll back to a version to rewrite it"
            ) from error

    def _point(self, name: str, version: int, held: Mapping[str, int] | None) -> None:
        digest = self.card_sha256(name, version)
        try:
            before = self._pointer(name) or Pointer(version, digest, version)
        except ModelStoreError:  # damaged, and rewritten here; versions after this one may have been current
            before = Pointer(version, digest, max(version, *self.versions(name)))
        kept = below(before.held if held is None else held, version)
        pointer = Pointer(version, digest, max(version, before.reached), kept)
        self._folder.replace(f"{name}/{_POINTER}", pointer.dump())

    def _list(self, path: str) -> list[str]:
        return self._asked(lambda: self._folder.children(path))

    def _exists(self, path: str) -> bool:
        return self._asked(lambda: self._folder.exists(path))

    def _read(self, path: str) -> bytes:
        return self._asked(lambda: weights_file.read_bounded(self._folder, path, weights_file.MAX_CARD_BYTES))

    def _asked(self, question: Callable[[], T]) -> T:
        try:
            return question()
        except OSError as error:
            raise ModelStoreError(f"{self._folder} cannot be read: {error}") from error
