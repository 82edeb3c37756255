"""Silences: windows and findings that are not reported, by the choice of operators.

They are kept in two places: as `[[decide.suppress]]` in the region's settings, and in a file that
`driftline alerts silence` writes and a running engine reads again when it changes. A silence matches
windows and findings that fulfil all of its conditions. Its times are compared with event time, so a
replay decides alike.
"""

import fcntl
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from foundation import durable
from foundation.bounded_pattern import BoundedPattern
from foundation.documents.alert import AlertDocument
from foundation.errors import DriftlineError
from foundation.settings_errors import validated
from foundation.time_text import NS_PER_S, parse_time

log = logging.getLogger(__name__)

WITHHELD_BY_GROUP = "group"
"""Name under which repeats in a group are counted; no silence may have it."""

SCORE = "score"
"""Kind of reason of an alert on a window's score."""

LOOK_S = 2.0
"""Interval of checks of the file, in seconds."""


class SilenceFileError(DriftlineError):
    """The file of silences cannot be read or written; the message names it and the fault."""


class SuppressionRule(BaseModel):
    """Windows that match every condition given are never alerted, only counted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, description="Name of the rule, for the counter of suppressed alerts.")
    template: str | None = Field(None, description="Regular expression found in the text of any template.")
    session: str | None = Field(None, description="Regular expression found in the session key.")
    max_score: float | None = Field(
        None, allow_inf_nan=False, description="Only windows with a score up to this are suppressed."
    )
    reason: str | None = Field(
        None, description="Kind of reason, such as `new`, `more`, `silent` or `value`; `score`: alerts on windows."
    )
    starts: AwareDatetime | None = Field(None, description="Only events from this time on (RFC 3339).")
    ends: AwareDatetime | None = Field(None, description="Only events before this time (RFC 3339).")
    comment: str = Field("", description="Reason, and who requested it.")

    def model_post_init(self, _context: object) -> None:
        """Refuses a rule that would suppress everything indefinitely, and patterns that do not compile."""
        if self.name == WITHHELD_BY_GROUP:
            raise ValueError(f"suppression rule {self.name!r}: this name counts repeats in a group; give another name")
        conditions = (self.template, self.session, self.max_score, self.reason, self.ends)
        if all(condition is None for condition in conditions):
            raise ValueError(
                f"suppression rule {self.name!r} has no condition; give template, session, max_score, reason or ends"
            )
        for value in (self.template, self.session):
            if value is not None:
                BoundedPattern(value)
        if self.starts is not None and self.ends is not None and self.ends <= self.starts:
            raise ValueError(f"suppression rule {self.name!r} ends before it starts")

    @cached_property
    def _template(self) -> BoundedPattern[str] | None:
        return None if self.template is None else BoundedPattern(self.template)

    @cached_property
    def _session(self) -> BoundedPattern[str] | None:
        return None if self.session is None else BoundedPattern(self.session)

    @cached_property
    def _times_ns(self) -> tuple[float, float]:
        starts = float("-inf") if self.starts is None else self.starts.timestamp() * NS_PER_S
        return starts, float("inf") if self.ends is None else self.ends.timestamp() * NS_PER_S

    def matches(
        self, score: float, session: str, texts: Sequence[str], *, time_ns: int = 0, reason: str = SCORE
    ) -> bool:
        """Whether a window or finding is suppressed.

        Args:
            score: Its score.
            session: Its session key.
            texts: Its template texts.
            time_ns: Event time of its last line.
            reason: Kind of reason.
        """
        if self.max_score is not None and score > self.max_score:
            return False
        if self.reason is not None and reason != self.reason:
            return False
        starts, ends = self._times_ns
        if not starts <= time_ns < ends:
            return False
        if self._session is not None and not self._session.search(session):
            return False
        return self._template is None or any(self._template.search(text) for text in texts)


def is_silenced(alert: AlertDocument, rules: Sequence[SuppressionRule]) -> bool:
    """Whether every reason of an alert is silenced; one that is not keeps the alert."""
    time_ns = parse_time(alert["last_time"]) if rules else 0
    reasons = alert.get("reasons") or ()
    return bool(reasons) and all(
        any(
            rule.matches(alert["score"], alert["session"], [reason["template"]], time_ns=time_ns, reason=reason["kind"])
            for rule in rules
        )
        for reason in reasons
    )


_RULES = TypeAdapter(tuple[SuppressionRule, ...])


def read_silences(path: Path) -> tuple[SuppressionRule, ...]:
    """The silences of a file; none if there is no file.

    Raises:
        SilenceFileError: It is not a JSON array of silences.
    """
    try:
        return _RULES.validate_json(path.read_bytes())
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise SilenceFileError(f"{path}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise SilenceFileError(f"{path}: {place or 'the file'}: {first['msg']}") from error


def write_silences(path: Path, rules: Sequence[SuppressionRule]) -> None:
    """Replace the file at once, so that an engine never reads half of it.

    Raises:
        SilenceFileError: The file cannot be written.
    """
    try:
        durable.write(path, _RULES.dump_json(tuple(rules), indent=1, exclude_none=True))
    except OSError as error:
        raise SilenceFileError(f"{path}: cannot be written: {error.strerror}") from error


def add_silence(path: Path, conditions: Mapping[str, Any], comment: str) -> SuppressionRule:
    """Add a silence to a file under a new name; a running engine applies it within seconds.

    Args:
        path: The file; it is created if missing.
        conditions: Fields of `SuppressionRule` other than name and comment.
        comment: Reason, and who requested it.

    Raises:
        SilenceFileError: The file cannot be read or written.
        SettingsError: The conditions are not valid.
    """
    with _locked(path):
        rules = list(read_silences(path))
        taken = {rule.name for rule in rules}
        name = next(name for i in range(1, len(rules) + 2) if (name := f"silence-{i}") not in taken)
        rule: SuppressionRule = validated(SuppressionRule, {"name": name, **conditions, "comment": comment}, "")
        write_silences(path, [*rules, rule])
    return rule


def remove_silence(path: Path, name: str) -> None:
    """Remove a silence from a file.

    Raises:
        SilenceFileError: The file has no silence of this name, or cannot be read or written.
    """
    with _locked(path):
        rules = read_silences(path)
        kept = tuple(rule for rule in rules if rule.name != name)
        if len(kept) == len(rules):
            known = ", ".join(rule.name for rule in rules) or "none"
            raise SilenceFileError(f"{path}: no silence is named {name}; there are: {known}")
        write_silences(path, kept)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One writer at a time: the command line and the API change the same file."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_name(f"{path.name}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
    except OSError as error:
        raise SilenceFileError(f"{path}: cannot be locked: {error.strerror}") from error


class Silences:
    """The silences in force: those of the settings, and those of the file as it is now."""

    def __init__(self, fixed: Sequence[SuppressionRule], path: Path | None, monotonic_s: Callable[[], float]) -> None:
        """Reads the file at the first call.

        Args:
            fixed: Those of the settings.
            path: The file; None without one.
            monotonic_s: Clock that decides when to check the file again.
        """
        self._fixed = tuple(fixed)
        self._path = path
        self._clock = monotonic_s
        self._look_s = float("-inf")
        self._stamp: tuple[int, ...] | None = None
        self._read: tuple[SuppressionRule, ...] = ()

    def __call__(self) -> tuple[SuppressionRule, ...]:
        """The rules, those of the settings first."""
        if self._path is not None and self._clock() - self._look_s >= LOOK_S:
            self._look_s = self._clock()
            self._look(self._path)
        return self._fixed + self._read

    def _look(self, path: Path) -> None:
        try:
            status = os.stat(path)
            stamp: tuple[int, ...] = (status.st_ino, status.st_mtime_ns, status.st_size)
        except OSError:
            stamp = ()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._read = read_silences(path)
        except SilenceFileError as error:
            log.error("%s; the silences read before stay in force", error)
        else:
            log.info("%s: %d silences in force", path, len(self._read))
