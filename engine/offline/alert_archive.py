"""Alerts as they were delivered: read back from a file, a database or a topic, by id, time and severity."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from connectors.base import PartitionsAddedError, SourceUnavailableError
from connectors.channels.alert_text import severity_of
from connectors.jsonl import JsonlSettings
from connectors.kafka_sink import KafkaSinkSettings
from connectors.registry import SinkSettings
from connectors.sql_settings import SqlSettings
from engine.settings import RegionSettings
from foundation.documents.alert import SEVERITIES
from foundation.errors import DriftlineError

if TYPE_CHECKING:
    from connectors.sql import SqlSink

POLL_S = 0.5
"""Seconds between two looks for new alerts."""

MAX_SQL = 100_000
"""Alerts that are read from a database at once."""


class AlertArchiveError(DriftlineError):
    """There are no alerts to read; the message names the place and a remedy."""


class Archive(Protocol):
    """One place where alerts are kept."""

    def read(self) -> Iterator[dict[str, Any]]:
        """Every alert, oldest first; one id may come more than once."""
        ...

    def follow(self) -> Iterator[dict[str, Any] | None]:
        """Alerts that arrive from now on; None after a short wait without one."""
        ...


@dataclass(frozen=True, slots=True)
class Filter:
    """Which alerts are wanted.

    Attributes:
        since: RFC 3339 text; alerts whose last line is older are left out. "": all.
        min_severity: Name of the mildest severity wanted.
        group: Signature of a group; "": all.
    """

    since: str = ""
    min_severity: str = "info"
    group: str = ""

    def __call__(self, alert: dict[str, Any]) -> bool:
        """Whether an alert is wanted."""
        return (
            str(alert.get("last_time", "")) >= self.since
            and severity_of(alert) >= SEVERITIES.index(self.min_severity)
            and self.group in ("", alert.get("group"))
        )


@dataclass(frozen=True, slots=True)
class FileArchive:
    """A JSON-lines file, or all files of several workers."""

    path: Path

    def read(self) -> Iterator[dict[str, Any]]:
        """See `Archive.read`; a torn last line is still being written and is left out."""
        for path in self.paths():
            with path.open("rb") as file:
                for line in file:
                    if line.endswith(b"\n"):
                        yield _alert(line, path)

    def follow(self) -> Iterator[dict[str, Any] | None]:
        """See `Archive.follow`."""
        ends = {path: path.stat().st_size for path in self.paths()}
        while True:
            for path in self.paths():
                with path.open("rb") as file:
                    file.seek(min(ends.get(path, 0), path.stat().st_size))
                    for line in file:
                        if line.endswith(b"\n"):
                            yield _alert(line, path)
                            ends[path] = ends.get(path, 0) + len(line)
            time.sleep(POLL_S)
            yield None

    def paths(self) -> list[Path]:
        """The files: `alerts.jsonl`, or `alerts.0.jsonl`, `alerts.1.jsonl` … of several workers."""
        if self.path.is_file():
            return [self.path]
        found = sorted(self.path.parent.glob(f"{self.path.stem}.*{self.path.suffix}"))
        if not found:
            raise AlertArchiveError(f"{self.path}: no such file; no alert was written yet, or to another place")
        return found


@dataclass(frozen=True, slots=True)
class SqlArchive:
    """The table of the SQL sink."""

    settings: SqlSettings

    def read(self) -> Iterator[dict[str, Any]]:
        """See `Archive.read`."""
        sink = self._opened()
        try:
            yield from reversed(sink.recent(MAX_SQL))
        finally:
            sink.close()

    def follow(self) -> Iterator[dict[str, Any] | None]:
        """See `Archive.follow`."""
        sink = self._opened()
        known = {alert["id"] for alert in sink.recent(1_000)}
        try:
            while True:
                for alert in reversed(sink.recent(1_000)):
                    if alert["id"] not in known:
                        known.add(alert["id"])
                        yield alert
                time.sleep(POLL_S)
                yield None
        finally:
            sink.close()

    def newest_events(self, limit: int) -> list[dict[str, Any]]:
        """The newest drift events, newest first, without reading the others."""
        sink = self._opened()
        try:
            return sink.recent_events(limit)
        finally:
            sink.close()

    def _opened(self) -> "SqlSink":
        """The sink, which also makes the table of a database that has none; a file is never made."""
        from connectors.sql import SqlSink

        url = self.settings.url.get_secret_value()
        path = url.partition("sqlite:///")[2].partition("?")[0]
        if path and not Path(path).is_file():
            raise AlertArchiveError(f"{path}: no such database")
        sink = SqlSink(self.settings)
        sink.open(None)
        return sink


@dataclass(frozen=True, slots=True)
class TopicArchive:
    """A Kafka topic."""

    settings: KafkaSinkSettings

    def read(self) -> Iterator[dict[str, Any]]:
        """See `Archive.read`."""
        for alert in self._consume("earliest", stop_at_end=True):
            if alert is not None:
                yield alert

    def follow(self) -> Iterator[dict[str, Any] | None]:
        """See `Archive.follow`."""
        return self._consume("latest", stop_at_end=False)

    def _consume(self, start: str, *, stop_at_end: bool) -> Iterator[dict[str, Any] | None]:
        from connectors.kafka_source import KafkaSource, KafkaSourceSettings

        shared = self.settings.model_dump(include=set(KafkaSourceSettings.model_fields) - {"type"}, exclude_unset=True)
        source = KafkaSource(KafkaSourceSettings(**shared, start=start, stop_at_end=stop_at_end))
        readers = {name: source.open(name, None) for name in source.partitions()}
        try:
            while readers:
                for name, reader in list(readers.items()):
                    try:
                        batch = reader.next_batch()
                    except StopIteration:
                        readers.pop(name).close()
                        continue
                    except PartitionsAddedError:
                        readers |= {n: source.open(n, None) for n in source.partitions() if n not in readers}
                        continue
                    if batch is not None:
                        yield from (_alert(batch.line(i), Path(name)) for i in range(len(batch)))
                if not stop_at_end:
                    yield None
        finally:
            for reader in readers.values():
                reader.close()


def archive_of(place: str) -> Archive:
    """The alerts of a region's TOML file, of a JSON-lines file, or of a database URL.

    Raises:
        AlertArchiveError: The place is none of these, or the region keeps its alerts nowhere.
    """
    if "://" in place:
        return SqlArchive(SqlSettings.model_validate({"url": place}))
    path = Path(place)
    if path.suffix == ".toml":
        from engine.settings import load

        return _of_region(load(path), path)
    return FileArchive(path)


def _of_region(settings: RegionSettings, path: Path) -> Archive:
    readable = [sink for sink in settings.sinks if _is_readable(sink)]
    for sink in readable:
        if isinstance(sink, SqlSettings):
            return SqlArchive(sink)
    for sink in readable:
        if isinstance(sink, JsonlSettings):
            return FileArchive(Path(sink.path))
    for sink in readable:
        if isinstance(sink, KafkaSinkSettings):
            return TopicArchive(sink)
    raise AlertArchiveError(f"{path}: no sink keeps alerts to read back; add one of type sql, jsonl or kafka")


def _is_readable(sink: SinkSettings) -> bool:
    return getattr(sink, "path", "") != "-" and getattr(sink, "shape", "driftline") == "driftline"


def find(archive: Archive, identity: str) -> dict[str, Any]:
    """The alert with an id, or with an id that begins so.

    Raises:
        AlertArchiveError: No alert or several different ones fit.
    """
    found = {alert["id"]: alert for alert in archive.read() if str(alert.get("id", "")).startswith(identity)}
    if len(found) == 1:
        return next(iter(found.values()))
    if not found:
        raise AlertArchiveError(f"no alert has the id {identity}; `driftline alerts list` shows ids")
    raise AlertArchiveError(f"{len(found)} alerts have an id that begins with {identity}; give more of it")


def latest(archive: Archive, wanted: Filter, limit: int) -> list[dict[str, Any]]:
    """The last alerts that are wanted, oldest first, each id once."""
    found: dict[str, dict[str, Any]] = {}
    for alert in archive.read():
        if wanted(alert):
            found[str(alert.get("id", len(found)))] = alert
    return sorted(found.values(), key=lambda alert: str(alert.get("last_time", "")))[-limit:]


def _alert(line: bytes, place: Path) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise SourceUnavailableError(f"{place}: a line is not JSON: {line[:80]!r}") from error
    if not isinstance(found, dict) or "id" not in found:
        raise SourceUnavailableError(f"{place}: a line is not an alert: {line[:80]!r}")
    return found
