"""`/health`: the only answer that needs no login."""

from typing import Annotated, Literal

import sqlalchemy as sa
from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from connectors.base import ConnectorError
from engine.api.problems import RESPONSES
from engine.api.services import Svc
from foundation.version import VERSION

router = APIRouter(tags=["health"], responses=RESPONSES)


class ServiceHealth(BaseModel):
    """Whether the service works."""

    status: Annotated[
        Literal["healthy", "degraded", "unhealthy"],
        Field(description="degraded: answers are read, but decisions cannot be saved."),
    ]
    version: str
    database: Annotated[
        Literal["ok", "not writable", "not readable"],
        Field(description="not writable: the last write failed, because it is locked, full or down."),
    ]


@router.get("/health", responses={503: {"model": ServiceHealth, "description": "The database cannot be read."}})
def health(services: Svc, response: Response) -> ServiceHealth:
    """Whether the service works; 503 if its database cannot be read."""
    try:
        services.database.rows(sa.select(sa.literal(1)))
    except ConnectorError:
        response.status_code = 503
        return ServiceHealth(status="unhealthy", version=VERSION, database="not readable")
    if not services.database.writable:
        return ServiceHealth(status="degraded", version=VERSION, database="not writable")
    return ServiceHealth(status="healthy", version=VERSION, database="ok")
