"""Login with an OpenID provider: authorisation code flow with PKCE, state and nonce.

1. `/login` makes state, nonce and code verifier, keeps them, sets the state as a cookie, and sends the browser to the
   provider.
2. The provider sends it back to `/callback` with a code and the state, which must be that of the cookie.
3. The code is exchanged for an ID token, whose signature, issuer, audience, time and nonce are verified.
4. The groups in its claims, or in those of the user's profile, decide about the role.
5. The session's cookie is set as after a login with a password.
"""

import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from engine.api.accounts import ROLES, Role
from engine.api.auth import UserName, limit_logins, set_session
from engine.api.problems import RESPONSES, ProblemError
from engine.api.services import Services, Svc
from engine.api.settings import OidcSettings
from foundation.time_text import NS_PER_S

PATH = "/api/v1/oidc"
router = APIRouter(prefix=PATH, tags=["session"], responses=RESPONSES)

STATE_COOKIE = "driftline_oidc"
ATTEMPT_S = 600
"""Time for a login at the provider."""

MAX_ATTEMPTS = 1_000
TIMEOUT_S = 10.0
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Of ID tokens; none with a shared key, and never `none`."""

NEEDED = ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri")
"""What the description of a provider must have."""

_NAME: TypeAdapter[str] = TypeAdapter(UserName)


class OidcInfo(BaseModel):
    """Whether users can log in with an OpenID provider."""

    enabled: bool
    label: Annotated[str, Field(description="Text of the button.")]


@dataclass(frozen=True, slots=True)
class Attempt:
    """A login that was started; it is used once."""

    nonce: str
    verifier: str
    ends_ns: int


class Attempts:
    """Logins that were started, by state; threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, Attempt] = {}

    def begin(self, now_ns: int) -> tuple[str, Attempt]:
        """Make an attempt and its state."""
        state = secrets.token_urlsafe(32)
        made = Attempt(secrets.token_urlsafe(32), secrets.token_urlsafe(48), now_ns + ATTEMPT_S * NS_PER_S)
        with self._lock:
            self._open = {name: found for name, found in self._open.items() if found.ends_ns > now_ns}
            while len(self._open) >= MAX_ATTEMPTS:
                del self._open[next(iter(self._open))]
            self._open[state] = made
        return state, made

    def take(self, state: str, now_ns: int) -> Attempt | None:
        """Return an attempt and forget it; None if it does not exist or has ended."""
        with self._lock:
            found = self._open.pop(state, None)
        return found if found is not None and found.ends_ns > now_ns else None


@router.get("")
def info(services: Svc) -> OidcInfo:
    """Whether users can log in with an OpenID provider."""
    found = services.settings.oidc
    return OidcInfo(enabled=found is not None, label="" if found is None else found.label)


@router.get("/login", response_class=RedirectResponse, status_code=303)
def log_in(request: Request, services: Svc) -> Response:
    """Send the browser to the provider."""
    settings = _settings(services)
    limit_logins(request, services, "oidc")
    state, attempt = request.app.state.oidc_attempts.begin(services.now_ns())
    with _client(settings) as client:
        address, _ = client.create_authorization_url(
            _discovered(client, settings)["authorization_endpoint"], state=state, nonce=attempt.nonce,
            code_verifier=attempt.verifier,
        )  # fmt: skip
    response = RedirectResponse(address, 303)
    # Lax: the provider's redirect comes from another site.
    response.set_cookie(
        STATE_COOKIE, state, max_age=ATTEMPT_S, path=PATH, httponly=True, samesite="lax",
        secure=settings.public_url.startswith("https:"),
    )  # fmt: skip
    return response


@router.get("/callback", response_class=RedirectResponse, status_code=303)
def call_back(
    request: Request, services: Svc,
    state: Annotated[str, Query(max_length=200)] = "", code: Annotated[str, Query(max_length=4_000)] = "",
    error: Annotated[str, Query(max_length=200)] = "",
) -> Response:  # fmt: skip
    """Finish a login at the provider, and go to the console, which shows the reason if it failed."""
    settings = _settings(services)
    response = RedirectResponse("/#/alerts", 303)
    try:
        name, role, subject = _verified(request, services, settings, state, code, error)
        set_session(response, services, services.accounts.log_in_external(name, role, subject))
    except ProblemError as problem:
        services.audit("", "login.refused", "", status=problem.status, by="oidc", reason=str(problem))
        response = RedirectResponse(f"/#/alerts?{urlencode({'problem': str(problem)})}", 303)
    response.delete_cookie(STATE_COOKIE, path=PATH)
    return response


def _verified(
    request: Request, services: Services, settings: OidcSettings, state: str, code: str, error: str
) -> tuple[str, Role, str]:  # fmt: skip
    """Name, role and subject of the user who comes back from the provider."""
    attempt = request.app.state.oidc_attempts.take(state, services.now_ns())
    if attempt is None or not secrets.compare_digest(request.cookies.get(STATE_COOKIE, "").encode(), state.encode()):
        raise ProblemError(403, "the login was not started in this browser, or it took too long; try again")
    if error or not code:
        raise ProblemError(403, f"the provider refused the login: {error or 'it sent no code'}")
    claims = _claims(settings, attempt, code)
    name = str(claims.get(settings.name_claim, ""))
    try:
        _NAME.validate_python(name)
    except ValidationError as fault:
        raise ProblemError(403, f"the claim {settings.name_claim} is not a user name: {name[:64]!r}") from fault
    role = role_of(settings, claims.get(settings.groups_claim))
    if role is None:
        raise ProblemError(403, f"{name} is in no group that may use this service")
    return name, role, f"oidc {settings.issuer} {claims['sub']}"


def role_of(settings: OidcSettings, groups: object) -> Role | None:
    """The highest role that a user's groups give; None if they give none. `*` in the settings is everyone."""
    held = {"*", *([groups] if isinstance(groups, str) else groups if isinstance(groups, list) else ())}
    named = {"viewer": settings.viewers, "operator": settings.operators, "admin": settings.admins}
    found = [role for role in ROLES if held & set(named[role])]
    return found[-1] if found else None


def _claims(settings: OidcSettings, attempt: Attempt, code: str) -> Mapping[str, Any]:
    """The verified claims of the ID token with those of the profile."""
    from authlib.common.errors import AuthlibBaseError
    from httpx2 import HTTPError
    from joserfc import jwt
    from joserfc.errors import JoseError
    from joserfc.jwk import KeySet

    try:
        with _client(settings) as client:
            found = _discovered(client, settings)
            tokens = client.fetch_token(found["token_endpoint"], code=code, code_verifier=attempt.verifier)
            keys = KeySet.import_key_set(
                client.request("GET", found["jwks_uri"], withhold_token=True).raise_for_status().json()
            )
            claims = dict(jwt.decode(tokens["id_token"], keys, algorithms=ALGORITHMS).claims)
            jwt.JWTClaimsRegistry(
                leeway=60, iss={"essential": True, "value": settings.issuer}, exp={"essential": True},
                aud={"essential": True, "value": settings.client_id}, sub={"essential": True},
                nonce={"essential": True, "value": attempt.nonce},
            ).validate(claims)  # fmt: skip
            if "userinfo_endpoint" not in found:
                return claims
            profile = client.get(found["userinfo_endpoint"]).raise_for_status().json()
    except (AuthlibBaseError, JoseError, HTTPError, KeyError, ValueError) as error:
        raise ProblemError(403, f"the provider's answer cannot be used: {error or type(error).__name__}") from error
    if profile.get("sub") != claims["sub"]:
        raise ProblemError(403, "the provider's profile is that of another user")
    return {**profile, **claims}


def _client(settings: OidcSettings) -> Any:
    from authlib.integrations.httpx_client import OAuth2Client

    secret = settings.client_secret
    return OAuth2Client(
        settings.client_id, None if secret is None else secret.get_secret_value(), scope=" ".join(settings.scopes),
        redirect_uri=f"{settings.public_url.rstrip('/')}{PATH}/callback", code_challenge_method="S256",
        token_endpoint_auth_method="none" if secret is None else "client_secret_basic", timeout=TIMEOUT_S,
    )  # fmt: skip


def _discovered(client: Any, settings: OidcSettings) -> Mapping[str, Any]:
    """The provider's own description.

    Raises:
        ProblemError: it cannot be read, lacks a part, or is of another issuer.
    """
    from httpx2 import HTTPError

    address = f"{settings.issuer.rstrip('/')}/.well-known/openid-configuration"
    try:
        found: dict[str, Any] = client.request("GET", address, withhold_token=True).raise_for_status().json()
    except (HTTPError, ValueError) as error:
        raise ProblemError(503, f"the OpenID provider {settings.issuer} does not answer: {error}") from error
    if missing := [name for name in NEEDED if name not in found]:
        raise ProblemError(
            503, f"{address} is not the description of an OpenID provider: it lacks {', '.join(missing)}"
        )
    if found["issuer"] != settings.issuer:
        raise ProblemError(503, f"{address} describes the issuer {found['issuer']!r}, not {settings.issuer!r}")
    return found


def _settings(services: Services) -> OidcSettings:
    if services.settings.oidc is None:
        raise ProblemError(409, "no OpenID provider is configured: add a section [oidc] to the settings")
    return services.settings.oidc
