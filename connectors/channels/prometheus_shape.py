"""What Alertmanager's API and its webhook share: the labels and annotations of a notice."""

from connectors.channels.alert_text import details_of, severity_of, title_of
from connectors.channels.base import Notice
from foundation.documents.alert import SEVERITIES


def labels_of(notice: Notice) -> dict[str, str]:
    """Labels that stay the same while a group keeps its severity."""
    return {
        "alertname": "DriftlineDigest" if notice.digest else "DriftlineAnomaly",
        "region": str(notice.alert.get("region", "")),
        "severity": SEVERITIES[severity_of(notice.alert)],
    }


def annotations_of(notice: Notice) -> dict[str, str]:
    """Summary and description for people; a digest lists its groups."""
    return {
        "summary": f"{len(notice.digest)} groups in a minute" if notice.digest else title_of(notice.alert),
        "description": "\n".join(notice.digest) or details_of(notice.alert),
    }
