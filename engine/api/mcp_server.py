"""A read-only MCP server over the functions that answer the REST routes, for assistants: `driftline mcp`.

Over standard input and output it has the access of the program that started it to the files of the service, and no
login; over HTTP see `engine.api.mcp_endpoint`.
"""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations

from engine.api import alerts, became_normal, drift_events, groups, markers, regions, rounds, templates
from engine.api.accounts import Caller
from engine.api.alert_queries import AlertFilter, AlertItem, Status
from engine.api.alerts import AlertDetail
from engine.api.became_normal import BecameNormal
from engine.api.drift_events import DriftEvents
from engine.api.groups import GroupItem
from engine.api.markers import Marker
from engine.api.pages import MAX_LIMIT, Page, page_request
from engine.api.regions import RegionHealth
from engine.api.rounds import RoundsReport
from engine.api.services import Services
from engine.api.settings import ServeSettings
from engine.api.since_deploy import SinceDeploy, since_deploy
from engine.api.templates import TemplateDiff, TemplateLife, TemplateList
from engine.api.versions import LoadedVersions
from foundation.documents.alert import Severity
from foundation.errors import DriftlineError
from foundation.version import VERSION

P = ParamSpec("P")
R = TypeVar("R")

INSTRUCTIONS = """\
Reads a Driftline store: alerts about anomalous log lines, groups of alerts, exact counts of log templates per minute.
Times are RFC 3339 in UTC; `since` is included, `until` is not. To find what a deploy changed, call
what_changed_since_deploy, then explain_alert for alerts of its groups. For other ranges call diff_ranges.
"""

_CALLER = Caller("mcp", "viewer")
_READ_ONLY = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)


def build_mcp(services: Services) -> MCPServer:
    """The server with its tools; closing the services is the caller's part."""
    versions = LoadedVersions()
    server = MCPServer("driftline", version=VERSION, instructions=INSTRUCTIONS, log_level="WARNING")

    @server.tool(annotations=_READ_ONLY)
    @_reported
    def list_alerts(
        since: str | None = None, until: str | None = None, severity: Severity = "info", status: Status | None = None,
        group: str | None = None, text: str | None = None, limit: int = 20, cursor: str | None = None,
    ) -> Page[AlertItem]:  # fmt: skip
        """Alerts in a time range, newest first; `severity` is the mildest, `text` is in the title or template."""
        wanted = AlertFilter(severity=severity, status=status, group=group, text=text)
        return alerts.list_alerts(_CALLER, services, wanted, page_request(since, until, _bounded(limit), cursor))

    @server.tool(annotations=_READ_ONLY)
    @_reported
    def list_groups(since: str | None = None, until: str | None = None, limit: int = 20) -> Page[GroupItem]:
        """Groups of alerts with the same templates, with their status; the group with the newest alert first."""
        paging = page_request(since, until, _bounded(limit), None)
        return groups.list_groups(_CALLER, services, AlertFilter(), paging)

    @server.tool(annotations=_READ_ONLY)
    @_reported
    def explain_alert(id: str) -> AlertDetail:
        """One alert with its lines, reasons, contributions of lines, and similar earlier alerts with answers."""
        return alerts.show(_CALLER, services, id)

    @server.tool(annotations=_READ_ONLY)
    @_reported
    def list_templates(
        since: str | None = None, until: str | None = None, text: str | None = None, limit: int = 50
    ) -> TemplateList:
        """Log templates with exact counts, most frequent first; the last 24 hours unless a range is given."""
        return templates.list_templates(_CALLER, services, since, until, None, text, _bounded(limit))

    @server.tool(annotations=_READ_ONLY)
    @_reported
    def template_life(
        id: str, since: str | None = None, until: str | None = None, step_minutes: int = 10
    ) -> TemplateLife:
        """One template over time: lines by level for each step, first and last seen, an example line."""
        return templates.life(_CALLER, services, id, since, until, None, max(1, step_minutes))

    @server.tool(annotations=_READ_ONLY)
    @_reported
    def diff_ranges(since_a: str, until_a: str, since_b: str, until_b: str, limit: int = 50) -> TemplateDiff:
        """Templates that are new, gone, more or less frequent in range b than in range a; counts are exact."""
        return templates.diff(_CALLER, services, since_a, until_a, since_b, until_b, None, None, _bounded(limit))

    @server.tool(annotations=_READ_ONLY)
    @_reported
    def what_changed_since_deploy(label: str = "", max_minutes: int = 1_440, limit: int = 50) -> SinceDeploy:
        """The last marked deploy, or that with a label: templates after it against before it, and alerts since."""
        return since_deploy(services, _CALLER, label, min(max(1, max_minutes), 43_200), _bounded(limit))

    @server.tool(annotations=_READ_ONLY)
    @_reported
    def list_rounds(limit: int = 10) -> RoundsReport:
        """The newest federated rounds: participants, refusals, the gate's verdicts, and what was published."""
        return rounds.list_rounds(_CALLER, services, _bounded(limit))

    @server.tool(annotations=_READ_ONLY)
    @_reported
    def list_markers(since: str | None = None, until: str | None = None) -> list[Marker]:
        """Deploys, drift, ended rounds, published versions and rollbacks of a range; the last 24 hours if not given."""
        return markers.list_markers(_CALLER, services, since, until)

    @server.tool(annotations=_READ_ONLY)
    @_reported
    def list_drift_events(limit: int = 20) -> DriftEvents:
        """The newest drift events with the templates that carry them."""
        return drift_events.list_drift_events(_CALLER, services, _bounded(limit))

    @server.tool(annotations=_READ_ONLY)
    @_reported
    def region_health() -> list[RegionHealth]:
        """Regions with lag, age of the model, blind spots, labels, and the state of their engine's workers."""
        return regions.list_regions(_CALLER, services)

    @server.tool(annotations=_READ_ONLY)
    @_reported
    def what_became_normal(limit: int = 20) -> BecameNormal:
        """Behaviour that the version in service no longer flags, and templates that operators silenced."""
        return became_normal.show(_CALLER, services, versions, None, None, _bounded(limit))

    return server


def run_mcp(settings: ServeSettings) -> None:
    """Answer on standard input and output until the input ends.

    Raises:
        DriftlineError: a store cannot be opened.
    """
    services = Services.from_settings(settings)
    try:
        build_mcp(services).run("stdio")
    finally:
        services.database.close()


def _reported(tool: Callable[P, R]) -> Callable[P, R]:
    """Report errors that a user can correct; the library hides the message of any other exception."""

    @functools.wraps(tool)
    def wrapped(*arguments: P.args, **named: P.kwargs) -> R:
        try:
            return tool(*arguments, **named)
        except DriftlineError as error:
            raise ToolError(str(error)) from error

    return wrapped


def _bounded(limit: int) -> int:
    return max(1, min(limit, MAX_LIMIT))
