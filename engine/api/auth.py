"""Who may call a route: a session's cookie with its CSRF token, or a bearer token, and the role that each route needs.

A cookie is sent by a browser without the user's will, so an unsafe request with a cookie must repeat the session's
CSRF token in the header `X-CSRF-Token`, which a page of another origin cannot read.
"""

import hmac
from collections.abc import Iterable, Iterator
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field
from starlette.routing import BaseRoute

from engine.api.accounts import Caller, Role
from engine.api.problems import RESPONSES, ProblemError
from engine.api.services import Services, Svc

COOKIE = "driftline_session"
CSRF_HEADER = "X-CSRF-Token"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
CHALLENGE = {"WWW-Authenticate": "Bearer"}

UserName = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]*$")]
Password = Annotated[str, Field(min_length=12, max_length=256, description="12 to 256 characters.")]


class Needs:
    """A dependency that refuses callers without a role.

    Attributes:
        role: The lowest role that may call the route.
    """

    def __init__(self, role: Role) -> None:
        self.role = role

    def __call__(self, request: Request, services: Svc) -> Caller:
        """Return the caller.

        Raises:
            ProblemError: 401 without a valid key, 403 with too low a role or without the CSRF token.
        """
        caller = _caller(request, services)
        if not caller.may(self.role):
            raise ProblemError(403, f"this needs the role {self.role}; {caller.name} is {caller.role}")
        return caller


Viewer = Annotated[Caller, Depends(Needs("viewer"))]
Operator = Annotated[Caller, Depends(Needs("operator"))]
Admin = Annotated[Caller, Depends(Needs("admin"))]


def roles_of(routes: Iterable[BaseRoute]) -> Iterator[tuple[str, str, Role]]:
    """Path, method in lower case, and role of every route that needs one."""
    for route in routes:
        if isinstance(route, APIRoute):
            roles = [d.call.role for d in route.dependant.dependencies if isinstance(d.call, Needs)]
            for method in (route.methods or ()) if roles else ():
                yield route.path, method.lower(), roles[0]
        elif isinstance(included := getattr(route, "original_router", None), APIRouter):
            yield from roles_of(included.routes)


def bearer(request: Request, services: Services) -> Caller | None:
    """Return the caller of a request with a token; None if it sends none.

    Raises:
        ProblemError: 401 if the token is not valid.
    """
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if not scheme:
        return None
    caller = services.accounts.by_token(token.strip()) if scheme.lower() == "bearer" else None
    if caller is None:
        raise ProblemError(401, "the token is unknown, revoked or expired", CHALLENGE)
    return caller


def _caller(request: Request, services: Services) -> Caller:
    caller = bearer(request, services)
    if caller is not None:
        return caller
    cookie = request.cookies.get(COOKIE)
    if cookie is None:
        raise ProblemError(401, "log in first: POST /api/v1/session, or send a token", CHALLENGE)
    caller = services.accounts.by_cookie(cookie)
    if caller is None:
        raise ProblemError(401, "the session has ended; log in again", CHALLENGE)
    given = request.headers.get(CSRF_HEADER, "")
    if request.method not in SAFE_METHODS and not _equal(given, caller.csrf_token):
        raise ProblemError(403, f"the header {CSRF_HEADER} must have the session's csrf_token")
    return caller


def _equal(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())


class LoginRequest(BaseModel):
    """A user's name and password."""

    name: Annotated[str, Field(max_length=64, pattern=r"^[^\x00]*$")]
    password: Annotated[str, Field(max_length=256)]


class SetupRequest(BaseModel):
    """The first administrator."""

    token: Annotated[str, Field(max_length=100, description="From the link that `driftline serve` prints.")]
    name: UserName
    password: Password


class SessionInfo(BaseModel):
    """Who is logged in."""

    name: str
    role: Role
    csrf_token: Annotated[str, Field(description="For the header X-CSRF-Token; empty with a bearer token.")]


router = APIRouter(tags=["session"], responses=RESPONSES)


@router.post("/api/v1/setup", status_code=201)
def set_up(given: SetupRequest, request: Request, response: Response, services: Svc) -> SessionInfo:
    """Create the first administrator and log in; possible once, with the token that the start printed."""
    limit_logins(request, services)
    if services.accounts.has_admin() or not _equal(given.token, services.setup_token):
        raise ProblemError(403, "the link is wrong or was used already")
    services.accounts.create(given.name, "admin", given.password)
    services.audit(given.name, "user.created", given.name, role="admin", by="one-time link")
    return _logged_in(LoginRequest(name=given.name, password=given.password), response, services)


@router.post("/api/v1/session", status_code=201)
def log_in(given: LoginRequest, request: Request, response: Response, services: Svc) -> SessionInfo:
    """Log in: sets the session's cookie and returns the CSRF token."""
    limit_logins(request, services)
    try:
        return _logged_in(given, response, services)
    except ProblemError as error:
        services.audit(given.name, "login.refused", given.name, status=error.status)
        raise


@router.get("/api/v1/session")
def who(caller: Viewer) -> SessionInfo:
    """Who is logged in."""
    return SessionInfo(name=caller.name, role=caller.role, csrf_token=caller.csrf_token)


@router.delete("/api/v1/session", status_code=204)
def log_out(caller: Viewer, response: Response, services: Svc) -> None:
    """Log out."""
    services.accounts.log_out(caller)
    response.delete_cookie(COOKIE)


def _logged_in(given: LoginRequest, response: Response, services: Services) -> SessionInfo:
    return set_session(response, services, services.accounts.log_in(given.name, given.password))


def set_session(response: Response, services: Services, session: tuple[str, Caller]) -> SessionInfo:
    """Set the cookie of a session that has started."""
    cookie, caller = session
    services.audit(caller.name, "login", caller.name)
    settings = services.settings
    response.set_cookie(
        COOKIE, cookie, max_age=int(settings.session_hours * 3_600), httponly=True, samesite="strict",
        secure=settings.listen.certificate is not None or not settings.listen.is_loopback,
    )  # fmt: skip
    return SessionInfo(name=caller.name, role=caller.role, csrf_token=caller.csrf_token)


def limit_logins(request: Request, services: Services, way: str = "password") -> None:
    """Count a login attempt of an address; each way to log in has a limit of its own.

    Raises:
        ProblemError: 429 if there were too many.
    """
    services.logins.spend(f"{way} {request.client.host if request.client else ''}")
