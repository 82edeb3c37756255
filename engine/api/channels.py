"""Notification channels of the region: a list, and the delivery of a test."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field, SecretStr

from connectors.base import ConnectorError
from connectors.channels.base import ChannelSettings, Notice
from connectors.channels.registry import CHANNELS
from connectors.http_delivery import place_of
from engine.api.auth import Operator, Viewer
from engine.api.problems import RESPONSES, not_found
from engine.api.services import Services, Svc
from foundation.content_ids import document_id
from foundation.documents.alert import Severity
from foundation.time_text import NS_PER_S

router = APIRouter(prefix="/api/v1/channels", tags=["channels"], responses=RESPONSES)


class ChannelItem(BaseModel):
    """A channel of the region's settings."""

    name: Annotated[str, Field(description="Its type and its number among those of the type.")]
    type: str
    target: Annotated[str, Field(description="Scheme and host of the service; only the scheme if the rest is secret.")]
    min_severity: Severity
    update_s: Annotated[float, Field(description="Seconds between two notices about an ongoing group.")]
    resolve_after_s: Annotated[float, Field(description="Seconds without an alert that end a group.")]


class TestDelivery(BaseModel):
    """What the service of the channel answered to a test."""

    delivered: bool
    detail: Annotated[str, Field(description="Why it was not delivered; empty if it was.")]


@router.get("")
def list_channels(_: Viewer, services: Svc) -> list[ChannelItem]:
    """The channels in the region's settings; empty without a region."""
    return [
        ChannelItem(
            name=name, type=channel.type, target=_target(channel), min_severity=channel.min_severity,
            update_s=channel.update_s, resolve_after_s=channel.resolve_after_s,
        )
        for name, channel in _channels(services)
    ]  # fmt: skip


@router.post("/{name}/test")
def test(caller: Operator, services: Svc, name: Annotated[str, Path(max_length=64)]) -> TestDelivery:
    """Send a test notice, and then that it is over, so that nothing stays open at the service."""
    channel = dict(_channels(services)).get(name)
    if channel is None:
        raise not_found("channel", name)
    detail = _deliver(channel, _notice(services, channel, caller.name))
    services.audit(caller.name, "channel.tested", name, delivered=not detail, detail=detail)
    return TestDelivery(delivered=not detail, detail=detail)


def _channels(services: Services) -> Iterator[tuple[str, Any]]:
    numbers: Counter[str] = Counter()
    for sink in () if services.region is None else services.region.sinks:
        if isinstance(sink, ChannelSettings):
            numbers[sink.type] += 1
            yield f"{sink.type}-{numbers[sink.type]}", sink


def _target(channel: Any) -> str:
    if isinstance(channel.url, SecretStr):
        return f"{channel.url.get_secret_value().partition('://')[0]}://"
    return place_of(channel.url)


def _notice(services: Services, channel: ChannelSettings, actor: str) -> Notice:
    now, now_s = services.now(), services.now_ns() / NS_PER_S
    assert services.region is not None
    group = document_id("test", now)[:16]
    alert = {
        "id": document_id("test", now), "group": group, "region": services.region.region, "source": "driftline",
        "summary": f"Test of this channel, requested by {actor}", "severity": channel.min_severity, "score": 0.0,
        "threshold": 0.0, "first_time": now, "last_time": now, "created": now, "lines": [], "templates": [],
    }  # fmt: skip
    return Notice(group, "firing", alert, 1, now_s, now_s)


def _deliver(channel: Any, notice: Notice) -> str:
    """Why a notice and its end were not delivered; "" if both were."""
    sink = CHANNELS[channel.type].build(channel)
    try:
        reference = sink.send_alone(notice)
        sink.send_alone(replace(notice, status="resolved", reference=reference))
    except ConnectorError as error:
        return str(error)
    finally:
        sink.close()
    return ""
