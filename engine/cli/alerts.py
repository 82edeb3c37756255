"""`driftline alerts`: read alerts, answer them, and silence what is not wanted."""

import getpass
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.cli.options import Json
from engine.cli.times import duration_ns, since_ns
from foundation.time_text import NS_PER_S, iso_time

if TYPE_CHECKING:
    from engine.settings import RegionSettings

app = typer.Typer(name="alerts", help="Read, rate and silence alerts.", no_args_is_help=True)

Place = Annotated[
    str,
    typer.Argument(help="A region's TOML file, a JSON-lines file, or a database URL.", show_default=False),
]
Region = Annotated[Path, typer.Argument(help="The region's TOML file.", show_default=False)]
Identity = Annotated[str, typer.Argument(help="Id of the alert, or a unique prefix of it.", show_default=False)]
Comment = Annotated[str, typer.Option(help="Reason, stored with the entry.")]
Severity = Annotated[str, typer.Option("--severity", help="Mildest severity: info, low, medium, high or critical.")]
Since = Annotated[str, typer.Option(help="Only alerts since this time (ISO 8601) or so long ago, such as 2h.")]


@app.command("list")
def list_alerts(
    place: Place,
    since: Since = "",
    severity: Severity = "info",
    group: Annotated[str, typer.Option(help="Only alerts of this group.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="Alerts shown, the latest ones.")] = 50,
    json: Json = False,
) -> None:
    """List alerts as a table, the latest last.

    Example: driftline alerts list eu-west.toml --since 24h --severity high
    """
    from engine.offline.alert_archive import archive_of, latest

    alerts = latest(archive_of(place), _wanted(since, severity, group), limit)
    if json:
        _print_json(iter(alerts))
        return
    _print_table(alerts)


@app.command()
def show(place: Place, identity: Identity, json: Json = False) -> None:
    """Show one alert with its reasons and its lines.

    Example: driftline alerts show alerts.jsonl 3f9c2a
    """
    from connectors.channels.alert_text import details_of, severity_of, title_of
    from engine.offline.alert_archive import archive_of, find
    from foundation.documents.alert import SEVERITIES

    alert = find(archive_of(place), identity)
    if json:
        _print_json(iter([alert]))
        return
    print(f"{alert['id']}  {SEVERITIES[severity_of(alert)]}  {title_of(alert)}")
    print(details_of(alert))
    score, threshold = alert.get("score"), alert.get("threshold")
    if score is not None:
        print(f"score {score:g}, threshold {threshold:g}, {alert.get('model')} version {alert.get('version')}")
    for template in alert.get("templates") or ():
        print(f"  {template['count']:>5} x {template['text']}")


@app.command()
def tail(place: Place, severity: Severity = "info", json: Json = False) -> None:
    """Print alerts as they arrive, until interrupted.

    Example: driftline alerts tail eu-west.toml --severity high
    """
    from engine.offline.alert_archive import archive_of

    wanted = _wanted("", severity, "")
    arriving = (alert for alert in archive_of(place).follow() if alert is not None and wanted(alert))
    if json:
        _print_json(arriving)
        return
    for alert in arriving:
        print("  ".join(_row(alert)), flush=True)


@app.command()
def right(region: Region, identity: Identity, comment: Comment = "") -> None:
    """Confirm an alert: its window is stored as anomalous, for the next training.

    Example: driftline alerts right eu-west.toml 3f9c2a
    """
    _answer(region, identity, anomalous=True, comment=comment)


@app.command()
def wrong(region: Region, identity: Identity, comment: Comment = "") -> None:
    """Reject an alert: its window is stored as normal, for the next training.

    Example: driftline alerts wrong eu-west.toml 3f9c2a --comment restart
    """
    _answer(region, identity, anomalous=False, comment=comment)


@app.command()
def normal(region: Region, identity: Identity, comment: Comment = "") -> None:
    """Reject an alert and silence its template from now on; without [training] it is only silenced.

    Example: driftline alerts normal eu-west.toml 3f9c2a
    """
    from connectors.channels.alert_text import cause_of
    from engine.offline.alert_archive import AlertArchiveError, archive_of, find

    alert = find(archive_of(str(region)), identity)
    text = cause_of(alert)
    if not text:
        kind = next((reason["kind"] for reason in alert.get("reasons") or ()), "")
        raise AlertArchiveError(
            f"alert {alert['id']} does not name the template that caused it; choose what to silence: "
            f"driftline alerts silence {region} {f'--reason {kind}' if kind else '--template PATTERN'}"
        )
    if _settings(region).training is not None:
        _answer(region, identity, anomalous=False, comment=comment)
    _add(region, template=f"^{re.escape(text)}$", comment=comment or f"normal from now on, after alert {alert['id']}")


@app.command()
def silence(
    region: Region,
    template: Annotated[str | None, typer.Option(help="Regular expression found in a template's text.")] = None,
    session: Annotated[str | None, typer.Option(help="Regular expression found in the session key.")] = None,
    reason: Annotated[str | None, typer.Option(help="Kind of reason: new, more, silent, value, score, …")] = None,
    lasting: Annotated[str | None, typer.Option("--for", help="How long, such as 2h; else until removed.")] = None,
    comment: Comment = "",
) -> None:
    """Silence alerts that match all of the conditions; a running engine applies it within seconds.

    Example: driftline alerts silence eu-west.toml --template ^backup --for 3h --comment migration
    """
    ends = None
    if lasting is not None:
        lasting_ns = duration_ns(lasting)
        if lasting_ns is None:
            raise typer.BadParameter(f"--for {lasting}: a number and s, min, h, d or w are expected, such as 2h")
        ends = datetime.now(UTC) + timedelta(seconds=lasting_ns / NS_PER_S)
    _add(region, template=template, session=session, reason=reason, ends=ends, comment=comment)


@app.command()
def silences(region: Region, remove: Annotated[str, typer.Option(help="Name of a silence to remove.")] = "") -> None:
    """List the silences of a region's file, or remove one.

    Example: driftline alerts silences eu-west.toml --remove silence-3
    """
    from rich.console import Console
    from rich.table import Table

    from engine.steps.silences import read_silences, remove_silence

    path = _silence_path(_settings(region), region)
    if remove:
        remove_silence(path, remove)
    rules = read_silences(path)
    table = Table("name", "template", "session", "reason", "ends", "comment", title=str(path))
    for rule in rules:
        ends = "" if rule.ends is None else rule.ends.isoformat(timespec="minutes")
        table.add_row(rule.name, rule.template or "", rule.session or "", rule.reason or "", ends, rule.comment)
    Console().print(table)


def _answer(region: Path, identity: str, *, anomalous: bool, comment: str) -> None:
    from engine.offline.alert_archive import AlertArchiveError, archive_of, find
    from federation.storage.feedback import store_feedback

    settings = _settings(region)
    alert = find(archive_of(str(region)), identity)
    if settings.training is None:
        advice = "add a section [training] with a path"
        if settings.model is None:
            advice = (
                f"without [model] nothing is trained; driftline alerts normal {region} {identity} silences the alert"
            )
        raise AlertArchiveError(f"{region}: answers go to the training store; {advice}")
    known = store_feedback(settings.training, alert, anomalous=anomalous, now_ns=time.time_ns)
    word = "anomalous" if anomalous else "normal"
    kept = "its window is in the training store" if known else "its window is not in the training store (yet)"
    print(f"{alert['id']}: {word}, by {getpass.getuser()}; {kept}{'; ' + comment if comment else ''}")


def _add(region: Path, **conditions: Any) -> None:
    from engine.steps.silences import add_silence

    path = _silence_path(_settings(region), region)
    comment = f"{conditions.pop('comment')} ({getpass.getuser()}, {datetime.now(UTC):%Y-%m-%d})".strip()
    rule = add_silence(path, {key: value for key, value in conditions.items() if value is not None}, comment)
    print(f"{path}: {rule.name} is in force")


def _settings(region: Path) -> "RegionSettings":
    from engine.settings import load

    return load(region)


def _silence_path(settings: "RegionSettings", region: Path) -> Path:
    from engine.steps.silences import SilenceFileError

    if settings.decide.silences is None:
        raise SilenceFileError(f'{region}: decide.silences is not set; add silences = "silences.json" to [decide]')
    return settings.decide.silences


def _wanted(since: str, severity: str, group: str) -> Any:
    from engine.offline.alert_archive import Filter
    from foundation.documents.alert import SEVERITIES

    if severity not in SEVERITIES:
        raise typer.BadParameter(f"--severity {severity}: one of {', '.join(SEVERITIES)} is expected")
    earliest = iso_time(since_ns("--since", since, time.time_ns())) if since else ""
    return Filter(earliest, severity, group)


def _row(alert: dict[str, Any]) -> tuple[str, ...]:
    from connectors.channels.alert_text import severity_of, title_of
    from foundation.documents.alert import SEVERITIES

    last = str(alert.get("last_time", ""))[:19].replace("T", " ")
    place = str(alert.get("session") or alert.get("source", ""))
    return str(alert["id"])[:12], last, SEVERITIES[severity_of(alert)], place, title_of(alert)


def _print_table(alerts: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("id", "time (UTC)", "severity", "where", "what")
    for alert in alerts:
        table.add_row(*(Text(cell) for cell in _row(alert)))
    Console().print(table if alerts else "no alerts")


def _print_json(alerts: Iterator[dict[str, Any]]) -> None:
    import json

    for alert in alerts:
        print(json.dumps(alert), flush=True)
