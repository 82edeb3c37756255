"""Models: the versions in the model store, their cards, a comparison of two, and rollback."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from engine.api.actions import Comment
from engine.api.auth import Admin, Viewer
from engine.api.problems import RESPONSES, ProblemError, not_found
from engine.api.services import Services, Svc
from foundation.time_text import iso_seconds
from models.base import ModelStoreError
from models.storage.model_cards import AnyCard, Card
from models.storage.store import ModelStore

router = APIRouter(prefix="/api/v1/models", tags=["models"], responses=RESPONSES)

ModelName = Annotated[str, Path(max_length=100, pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*$")]
VersionNumber = Annotated[int, Field(ge=1, lt=1 << 31)]


class VersionItem(BaseModel):
    """A version in a list."""

    version: int
    current: bool
    regions: Annotated[list[str], Field(description="Regions that keep this version while another one is current.")]
    kind: Annotated[str | None, Field(description="window_detector or line_classifier.")]
    detector: str | None
    created: str | None
    parent: int | None
    round: Annotated[int | None, Field(description="Federated round that made it.")]
    threshold: float | None
    metrics: dict[str, dict[str, float]]
    fault: Annotated[str | None, Field(description="Why its card cannot be read.")]


class ModelItem(BaseModel):
    """A model with its versions, the newest first."""

    name: str
    current: int | None
    versions: list[VersionItem]


class VersionDetail(BaseModel):
    """A version with its whole card."""

    version: VersionItem
    card: Annotated[dict[str, Any], Field(description="All that is known of it; see the model store.")]


class CardDifference(BaseModel):
    """A value of the cards that differs."""

    field: Annotated[str, Field(description="Path in the card, such as metrics.holdout.f1.")]
    a: Any
    b: Any
    change: Annotated[float | None, Field(description="b - a, of numbers.")]


class VersionComparison(BaseModel):
    """Two versions of one model."""

    a: VersionItem
    b: VersionItem
    differences: list[CardDifference]


class RollbackRequest(BaseModel):
    """Where to go back to."""

    to: Annotated[VersionNumber | None, Field(description="Version; the one before the current one if null.")] = None
    reason: Comment = ""


class RollbackResult(BaseModel):
    """The version that is current now."""

    name: str
    version: int
    done: Annotated[bool, Field(description="False: recorded, and the running coordinator has not finished it.")]


@router.get("")
def list_models(_: Viewer, services: Svc) -> list[ModelItem]:
    """Every model of the store with its versions, the newest first."""
    store = ModelStore(services.models_url)
    return [
        ModelItem(
            name=name, current=store.current(name),
            versions=_items(store, name, store.versions(name)[::-1]),
        )
        for name in store.names()
    ]  # fmt: skip


@router.get("/{name}/compare")
def compare(
    _: Viewer,
    services: Svc,
    name: ModelName,
    a: Annotated[VersionNumber, Query()],
    b: Annotated[VersionNumber, Query()],
) -> VersionComparison:
    """What the cards of two versions state differently: figures, threshold, data, settings."""
    store = ModelStore(services.models_url)
    cards = [_card(store, name, version).model_dump(mode="json") for version in (a, b)]
    first, second = _items(store, name, (a, b))
    return VersionComparison(a=first, b=second, differences=list(_differences("", cards[0], cards[1])))


@router.get("/{name}/versions/{version}")
def show(_: Viewer, services: Svc, name: ModelName, version: Annotated[VersionNumber, Path()]) -> VersionDetail:
    """One version with its card."""
    store = ModelStore(services.models_url)
    card = _card(store, name, version)
    (item,) = _items(store, name, (version,))
    return VersionDetail(version=item, card=card.model_dump(mode="json"))


@router.post("/{name}/rollback")
def roll_back(caller: Admin, services: Svc, name: ModelName, given: RollbackRequest) -> RollbackResult:
    """Go back to an earlier version; running engines adopt it within seconds."""
    reason = f"{given.reason or 'requested through the API'} ({caller.name})"
    version, done = _rolled_back(services, name, given.to, reason)
    services.audit(caller.name, "model.rollback", name, to=version, reason=given.reason)
    return RollbackResult(name=name, version=version, done=done)


def _rolled_back(services: Services, name: str, to: int | None, reason: str) -> tuple[int, bool]:
    if services.coordinator is None:
        return ModelStore(services.models_url).rollback(name, to), True
    if name != services.coordinator.model:
        raise ProblemError(409, f"the coordinator's rounds are about {services.coordinator.model}, not {name}")
    from engine.runtime.federation_wiring import roll_back

    return roll_back(services.coordinator, name, to, reason)


def _card(store: ModelStore, name: str, version: int) -> AnyCard:
    if name not in store.names() or version not in store.versions(name):
        raise not_found(f"version {version} of model", name)
    return store.any_card(name, version)


def _items(store: ModelStore, name: str, versions: Sequence[int]) -> list[VersionItem]:
    held, current = store.held(name), store.current(name)
    regions = {version: sorted(region for region, kept in held.items() if kept == version) for version in versions}
    return [_item(store, name, v, current=v == current, regions=regions[v]) for v in versions]


def _item(store: ModelStore, name: str, version: int, *, current: bool, regions: list[str]) -> VersionItem:
    shared: dict[str, Any] = {"version": version, "current": current, "regions": regions}
    try:
        card = store.any_card(name, version)
    except ModelStoreError as error:
        unknown = dict.fromkeys(("kind", "detector", "created", "parent", "round", "threshold"))
        return VersionItem(**shared, **unknown, metrics={}, fault=str(error))
    return VersionItem(
        **shared, kind=card.kind, detector=card.detector, parent=card.parent, round=card.round, metrics=card.metrics,
        created=iso_seconds(card.created_ns), fault=None,
        threshold=card.threshold.value if isinstance(card, Card) else None,
    )  # fmt: skip


def _differences(place: str, a: Any, b: Any) -> Iterator[CardDifference]:
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted({*a, *b}):
            yield from _differences(f"{place}.{key}" if place else key, a.get(key), b.get(key))
    elif a != b:
        numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (a, b))
        yield CardDifference(field=place, a=a, b=b, change=b - a if numbers else None)
