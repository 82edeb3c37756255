"""The time in which a version of a model was the newest, as a range to compare."""

from typing import Annotated

from fastapi import Query

from engine.api.problems import ProblemError
from engine.api.services import Services
from foundation.time_text import iso_time
from models.storage.store import ModelStore

Version = Annotated[
    int | None,
    Query(ge=1, le=1 << 31, description="Instead of a range: from when this version of the service's model was made "
          "until the next one was."),
]  # fmt: skip


def range_of(services: Services, since: str | None, until: str | None, version: int | None) -> tuple[str, str]:
    """The range that is given, or that of a version.

    Raises:
        ProblemError: neither or both are given, or there is no such version.
    """
    if version is None:
        if since is None or until is None:
            raise ProblemError(422, "a range needs its start and its end, or the version of a model")
        return since, until
    if since is not None or until is not None:
        raise ProblemError(422, "give a range or the version of a model, not both")
    return _era(services, version)


def _era(services: Services, version: int) -> tuple[str, str]:
    name = services.model
    if name is None:
        raise ProblemError(409, "the service has no region or coordinator with a model")
    store = ModelStore(services.models_url)
    versions = store.versions(name)
    if version not in versions:
        raise ProblemError(422, f"model {name!r} has no version {version}; it has {', '.join(map(str, versions))}")
    later = [store.any_card(name, other).created_ns for other in versions if other > version]
    made = store.any_card(name, version).created_ns
    return iso_time(made), iso_time(min(later)) if later else services.now()
