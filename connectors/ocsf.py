"""Alerts as OCSF Detection Findings (class 2004), for SIEMs and data lakes that read that shape.

https://schema.ocsf.io/1.5.0/classes/detection_finding
"""

from collections.abc import Mapping
from typing import Any

from connectors.channels.alert_text import details_of, reason_text, severity_of, title_of
from foundation.documents.alert import SEVERITIES
from foundation.time_text import NS_PER_MS, parse_time
from foundation.version import VERSION

SCHEMA_VERSION = "1.5.0"

_SEVERITY_ID = dict(zip(SEVERITIES, (1, 2, 3, 4, 5), strict=True))
_CATEGORY_UID, _CLASS_UID, _CREATE = 2, 2004, 1


def detection_finding(alert: Mapping[str, Any]) -> dict[str, Any]:
    """The finding for an alert document; the whole alert is kept under `unmapped`."""
    severity = SEVERITIES[severity_of(alert)]
    first_ms, last_ms = _ms(alert.get("first_time")), _ms(alert.get("last_time"))
    created_ms = _ms(alert.get("created")) or last_ms
    info = {
        "uid": str(alert["id"]),
        "title": title_of(alert),
        "desc": details_of(alert),
        "types": [str((alert.get("classification") or {}).get("class", "anomaly"))],
        "first_seen_time": first_ms,
        "last_seen_time": last_ms,
        "created_time": created_ms,
        "data_sources": [str(alert.get("source", ""))],
        "analytic": {
            "name": str(alert.get("model", "driftline")),
            "uid": f"{alert.get('model', 'driftline')}/{alert.get('version', 0)}",
            "type": "Learning (ML/DL)",
            "type_id": 4,
            "version": str(alert.get("version", 0)),
        },
    }
    return {
        "activity_id": _CREATE,
        "activity_name": "Create",
        "category_uid": _CATEGORY_UID,
        "category_name": "Findings",
        "class_uid": _CLASS_UID,
        "class_name": "Detection Finding",
        "type_uid": _CLASS_UID * 100 + _CREATE,
        "type_name": "Detection Finding: Create",
        "time": last_ms or created_ms,
        "start_time": first_ms,
        "end_time": last_ms,
        "severity_id": _SEVERITY_ID[severity],
        "severity": {"info": "Informational"}.get(severity, severity.capitalize()),
        "status_id": 1,
        "status": "New",
        "count": int(alert.get("line_count", 1)) or 1,
        "message": title_of(alert),
        "metadata": {
            "version": SCHEMA_VERSION,
            "uid": str(alert["id"]),
            "correlation_uid": str(alert.get("group", "")),
            "log_name": str(alert.get("source", "")),
            "product": {"name": "Driftline", "vendor_name": "Driftline", "version": VERSION},
        },
        "finding_info": info,
        "evidences": [{"data": {"reason": reason_text(reason)}} for reason in alert.get("reasons") or ()]
        or [{"data": {"templates": [t.get("text") for t in alert.get("templates") or ()]}}],
        "unmapped": dict(alert),
    }


def _ms(time: object) -> int:
    return parse_time(str(time)) // NS_PER_MS if time else 0
