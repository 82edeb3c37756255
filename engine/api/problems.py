"""Errors as RFC 9457 problem documents, `application/problem+json`: one sentence each, for people and programs."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from connectors.base import ConnectorError
from foundation.errors import DriftlineError

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"


class Problem(BaseModel):
    """An error, by RFC 9457."""

    type: Annotated[str, Field(description="Kind of problem, a URN that does not change.")]
    title: Annotated[str, Field(description="The HTTP status as text.")]
    status: Annotated[int, Field(description="The HTTP status.")]
    detail: Annotated[str, Field(description="What is wrong with this request, in one sentence.")]
    errors: Annotated[
        list[dict[str, str]] | None, Field(description="Every wrong field of the request: `field` and `message`.")
    ] = None


_CONTENT = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}

RESPONSES: dict[int | str, dict[str, Any]] = {
    422: {"description": "The request is not valid.", "content": _CONTENT},
    "default": {"description": "An error.", "content": _CONTENT},
}
"""Responses that every route may give."""


class ProblemError(DriftlineError):
    """A request that cannot be answered.

    Attributes:
        status: HTTP status.
        headers: Further response headers.
    """

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = dict(headers or {})


def not_found(what: str, name: object) -> ProblemError:
    """Return the error for a resource that does not exist."""
    return ProblemError(404, f"{what} {str(name)[:100]!r} does not exist")


def problem_response(
    status: int, detail: str, *, headers: Mapping[str, str] | None = None, errors: list[dict[str, str]] | None = None
) -> Response:
    """Return a problem document as a response."""
    title = HTTPStatus(status).phrase
    kind = f"urn:driftline:problem:{title.lower().replace(' ', '-')}"
    content = Problem(type=kind, title=title, status=status, detail=detail, errors=errors)
    values = content.model_dump(exclude_none=True)
    return JSONResponse(values, status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Make every error of an application a problem document."""
    app.add_exception_handler(ProblemError, _refused)
    app.add_exception_handler(DriftlineError, _driftline)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _unexpected)


def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    return problem_response(error.status, str(error), headers=error.headers)


def _driftline(request: Request, error: Exception) -> Response:
    """A store that cannot be reached is temporary; other errors are about what the request names."""
    if isinstance(error, ConnectorError):
        log.error("%s %s: %s", request.method, request.url.path, error)
        return problem_response(503, str(error), headers={"Retry-After": "5"})
    return problem_response(409, str(error))


def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem_response(error.status_code, str(error.detail), headers=error.headers)


def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [
        {"field": ".".join(str(part) for part in found["loc"][1:]) or str(found["loc"][0]), "message": found["msg"]}
        for found in error.errors()
    ]
    return problem_response(422, f"{errors[0]['field']}: {errors[0]['message']}", errors=errors)


def _unexpected(request: Request, error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem_response(500, "the request failed for a reason that was not expected; the service's log has it")
