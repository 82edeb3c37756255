"""`/health`: the only answer that needs no login."""

import sqlalchemy as sa
from fastapi import APIRouter, Response
from pydantic import BaseModel

from connectors.base import ConnectorError
from engine.api.problems import RESPONSES
from engine.api.services import Svc
from foundation.version import VERSION

router = APIRouter(tags=["health"], responses=RESPONSES)


class ServiceHealth(BaseModel):
    """Whether the service works."""

    status: str
    version: str
    database: str


@router.get("/health", responses={503: {"model": ServiceHealth, "description": "The database cannot be read."}})
def health(services: Svc, response: Response) -> ServiceHealth:
    """Whether the service works; 503 if its database cannot be read."""
    try:
        services.database.rows(sa.select(sa.literal(1)))
    except ConnectorError:
        response.status_code = 503
        return ServiceHealth(status="unhealthy", version=VERSION, database="not readable")
    return ServiceHealth(status="healthy", version=VERSION, database="ok")
