"""Errors that the federation raises on purpose; imports nothing heavy.

::

    FederationError
    ├── SetupError            keys, settings or a program are missing or wrong
    ├── StorageError          the training store, the ledger or a round's folder cannot be read or written
    ├── TrainerError          the region's trainer cannot be reached, or its training failed
    ├── TamperedError         the audit log was changed after it was written
    ├── BudgetSpentError      the training would exceed the region's privacy budget
    ├── MalformedError        a message is malformed
    ├── RegionFailedError     a region reports why it did not fulfil a request
    └── RoundFailedError      the round ended without a candidate
"""

from collections.abc import Iterable

from foundation.errors import DriftlineError


class FederationError(DriftlineError):
    """Base of every error that the federation package raises on purpose."""


class SetupError(FederationError):
    """Keys, settings or a program are missing or wrong."""


class StorageError(FederationError):
    """The training store, the ledger or a round's folder cannot be read or written."""


class TrainerError(FederationError):
    """The region's trainer cannot be reached, or its training failed."""


class TamperedError(FederationError):
    """The audit log was changed after it was written; the message names the entry."""


class BudgetSpentError(FederationError):
    """The training would exceed the region's privacy budget."""


class MalformedError(FederationError):
    """A message is malformed."""


class RegionFailedError(FederationError):
    """A region reports why it did not fulfil a request."""


class RoundFailedError(FederationError):
    """The round ended without a candidate; the message names the step.

    Attributes:
        present: Regions that answered until the end, sorted; None if unknown.
    """

    def __init__(self, reason: str, present: Iterable[str] | None = None) -> None:
        super().__init__(reason)
        self.present = None if present is None else tuple(sorted(present))
