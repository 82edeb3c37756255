"""Users, API tokens and the audit log."""

from collections.abc import Mapping
from typing import Annotated, Any

import orjson
import sqlalchemy as sa
from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from connectors.sql_schema import AUDIT, TOKENS, USERS
from engine.api.accounts import Role, is_external
from engine.api.auth import Admin, Password, UserName, Viewer
from engine.api.pages import Page, Paging
from engine.api.problems import RESPONSES, ProblemError, not_found
from engine.api.services import Svc

router = APIRouter(prefix="/api/v1", responses=RESPONSES)

Name = Annotated[str, Path(max_length=64)]


class User(BaseModel):
    """A user."""

    name: str
    role: Role
    created: str
    disabled: bool
    locked_until: Annotated[str | None, Field(description="Until when wrong passwords lock the account.")]
    external: Annotated[bool, Field(description="Whether an OpenID provider decides about password and role.")]


class UserRequest(BaseModel):
    """A new user."""

    name: UserName
    role: Role
    password: Password


class UserChange(BaseModel):
    """Changes of a user; each ends the user's sessions."""

    role: Role | None = None
    password: Password | None = None
    disabled: bool | None = None


class TokenRequest(BaseModel):
    """A new API token of the caller."""

    name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00]+$", description="What it is for.")]
    role: Annotated[Role, Field(description="At most the caller's.")] = "viewer"
    days: Annotated[int, Field(ge=1, le=366, description="Days until it expires.")] = 90


class ApiToken(BaseModel):
    """An API token without its text."""

    id: str
    name: str
    user_name: str
    role: Role
    created: str
    expires: str


class NewToken(BaseModel):
    """A token with its text, which is shown only once."""

    id: str
    token: Annotated[str, Field(description="For the header `Authorization: Bearer TOKEN`.")]
    expires: str


class AuditEntry(BaseModel):
    """A change through the API, or an attempt to log in."""

    id: int
    time: str
    actor: str
    action: str
    subject: str
    detail: dict[str, Any]


@router.get("/users", tags=["users"])
def list_users(_: Admin, services: Svc) -> list[User]:
    """All users, by name."""
    return [_user(row) for row in services.database.rows(sa.select(USERS).order_by(USERS.c.name))]


@router.post("/users", tags=["users"], status_code=201)
def create_user(caller: Admin, services: Svc, given: UserRequest) -> User:
    """Add a user."""
    services.accounts.create(given.name, given.role, given.password)
    services.audit(caller.name, "user.created", given.name, role=given.role)
    return _one_user(services, given.name)


@router.patch("/users/{name}", tags=["users"])
def change_user(caller: Admin, services: Svc, name: Name, given: UserChange) -> User:
    """Change a user's role or password, or disable the account."""
    services.accounts.change(name, role=given.role, password=given.password, disabled=given.disabled)
    changed = given.model_dump(exclude_none=True, exclude={"password"})
    services.audit(caller.name, "user.changed", name, **changed, password=given.password is not None)
    return _one_user(services, name)


@router.delete("/users/{name}", tags=["users"], status_code=204)
def delete_user(caller: Admin, services: Svc, name: Name) -> None:
    """Delete a user with all sessions and tokens."""
    services.accounts.delete(name)
    services.audit(caller.name, "user.deleted", name)


@router.get("/tokens", tags=["tokens"])
def list_tokens(caller: Viewer, services: Svc) -> list[ApiToken]:
    """The caller's tokens; all tokens for an administrator."""
    query = sa.select(TOKENS).order_by(TOKENS.c.created.desc(), TOKENS.c.id)
    if not caller.may("admin"):
        query = query.where(TOKENS.c.user_name == caller.name)
    return [ApiToken(**{name: row[name] for name in ApiToken.model_fields}) for row in services.database.rows(query)]


@router.post("/tokens", tags=["tokens"], status_code=201)
def create_token(caller: Viewer, services: Svc, given: TokenRequest) -> NewToken:
    """Make a token for a program; its text is shown only in this response."""
    identity, token, expires = services.accounts.make_token(caller, given.name, given.role, given.days)
    services.audit(caller.name, "token.created", identity, name=given.name, role=given.role)
    return NewToken(id=identity, token=token, expires=expires)


@router.delete("/tokens/{identity}", tags=["tokens"], status_code=204)
def revoke_token(caller: Viewer, services: Svc, identity: Annotated[str, Path(max_length=64)]) -> None:
    """Revoke one of the caller's tokens; an administrator can revoke any."""
    delete = TOKENS.delete().where(TOKENS.c.id == identity)
    if not caller.may("admin"):
        delete = delete.where(TOKENS.c.user_name == caller.name)
    with services.database.write() as connection:
        if not connection.execute(delete).rowcount:
            raise not_found("token", identity)
    services.audit(caller.name, "token.revoked", identity)


@router.get("/audit", tags=["audit"])
def list_audit(_: Admin, services: Svc, paging: Paging) -> Page[AuditEntry]:
    """Changes and logins, newest first."""
    query = sa.select(AUDIT).where(*paging.within(AUDIT.c.time))
    if paging.after:
        if not paging.after[1].isdecimal() or len(paging.after[1]) > 18:
            raise ProblemError(422, "cursor is not a `next_cursor` of this list")
        query = query.where(AUDIT.c.id < int(paging.after[1]))
    rows = services.database.rows(query.order_by(AUDIT.c.id.desc()).limit(paging.limit + 1))
    return paging.page(rows, "time", "id", _entry)


def _one_user(services: Svc, name: str) -> User:
    row = services.database.row(sa.select(USERS).where(USERS.c.name == name))
    if row is None:
        raise not_found("user", name)
    return _user(row)


def _user(row: Mapping[str, Any]) -> User:
    fields = {name: row[name] for name in ("name", "role", "created", "disabled")}
    return User(**fields, locked_until=row["locked_until"] or None, external=is_external(row))


def _entry(row: Mapping[str, Any]) -> AuditEntry:
    return AuditEntry(**{**row, "detail": orjson.loads(row["detail"])})
