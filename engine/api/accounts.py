"""Users, their logins and their tokens, as rows of the SQL store.

Passwords are hashed with argon2id. Cookies and tokens are 256 random bits, of which only the SHA-256 is stored: a
slow hash adds nothing to a key that cannot be guessed. After five wrong passwords in a row an account is locked for
30 s, and twice as long after each further one, up to an hour. Users of an OpenID provider have no password here, so
wrong ones do not lock them.
"""

import hashlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import sqlalchemy as sa
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from connectors.sql_schema import SESSIONS, TOKENS, USERS
from engine.api.database import Database
from engine.api.problems import ProblemError
from foundation.time_text import NS_PER_S, iso_time

Role = Literal["viewer", "operator", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
"""From the one that may do least."""

FREE_FAILURES = 4
"""Wrong passwords in a row without a lock."""

FIRST_LOCK_S = 30
LONGEST_LOCK_S = 3_600

MAX_TOKENS = 100
"""Tokens that one user may have."""

TOKEN_PREFIX = "drl_"
HASH_PREFIX = "$argon2"
"""Of the hash of a password; a user of a provider has the provider's id of the user in its place."""

HOUR_NS = 3_600 * NS_PER_S


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a request.

    Attributes:
        name: Name of the user.
        role: The user's role, or that of the token if it is lower.
        session: SHA-256 of the cookie; "" with a token.
        csrf_token: What unsafe requests with a cookie must repeat; "" with a token.
    """

    name: str
    role: Role
    session: str = ""
    csrf_token: str = ""

    def may(self, role: Role) -> bool:
        """Whether the caller has a role or a higher one."""
        return ROLES.index(self.role) >= ROLES.index(role)


def key_hash(key: str) -> str:
    """Return what is stored of a cookie or token."""
    return hashlib.sha256(key.encode()).hexdigest()


class Accounts:
    """Users, sessions and tokens; threads may share it."""

    def __init__(
        self, database: Database, now_ns: Callable[[], int], session_hours: float, hasher: PasswordHasher | None = None
    ) -> None:
        """Read nothing yet.

        Args:
            database: Holds the tables.
            now_ns: Wall clock.
            session_hours: Hours after which a login ends.
            hasher: Hashes passwords; argon2id with the library's parameters if None.
        """
        self._database = database
        self._now_ns = now_ns
        self._session_ns = int(session_hours * HOUR_NS)
        self._hasher = hasher or PasswordHasher()
        self._no_password = self._hasher.hash(secrets.token_urlsafe())

    def has_admin(self) -> bool:
        """Whether an enabled administrator exists."""
        return self._database.row(sa.select(USERS.c.name).where(_is_admin())) is not None

    def create(self, name: str, role: Role, password: str) -> None:
        """Add a user.

        Raises:
            ProblemError: the name is taken.
        """
        hashed = self._hasher.hash(password)
        with self._database.write() as connection:
            if connection.execute(sa.select(USERS.c.name).where(USERS.c.name == name)).first() is not None:
                raise ProblemError(409, f"a user {name!r} exists already")
            connection.execute(USERS.insert().values(
                name=name, role=role, password_hash=hashed, created=iso_time(self._now_ns()), disabled=False,
                failures=0, locked_until="",
            ))  # fmt: skip

    def change(self, name: str, *, role: Role | None, password: str | None, disabled: bool | None) -> None:
        """Change a user; a new password, role or lock ends the user's sessions.

        Raises:
            ProblemError: the user does not exist, no administrator would be left, or a provider decides about the
                role or password.
        """
        values: dict[str, object] = {
            key: value for key, value in (("role", role), ("disabled", disabled)) if value is not None
        }
        if password is not None:
            values |= {"password_hash": self._hasher.hash(password), "failures": 0, "locked_until": ""}
        with self._database.write() as connection:
            _require_not_external(connection, name, role, password)
            if values and not connection.execute(USERS.update().where(USERS.c.name == name).values(**values)).rowcount:
                raise ProblemError(404, f"user {name[:100]!r} does not exist")
            connection.execute(SESSIONS.delete().where(SESSIONS.c.user_name == name))
            _require_admin(connection)

    def delete(self, name: str) -> None:
        """Delete a user with all sessions and tokens.

        Raises:
            ProblemError: the user does not exist, or no administrator would be left.
        """
        with self._database.write() as connection:
            if not connection.execute(USERS.delete().where(USERS.c.name == name)).rowcount:
                raise ProblemError(404, f"user {name[:100]!r} does not exist")
            for table in (SESSIONS, TOKENS):
                connection.execute(table.delete().where(table.c.user_name == name))
            _require_admin(connection)

    def log_in(self, name: str, password: str) -> tuple[str, Caller]:
        """Check a password and begin a session.

        Returns:
            The cookie, and the caller.

        Raises:
            ProblemError: 401 without saying which of name and password is wrong, 429 while the account is locked.
        """
        user = self._database.row(sa.select(USERS).where(USERS.c.name == name))
        now_ns = self._now_ns()
        if user is not None and user["locked_until"] > iso_time(now_ns):
            raise ProblemError(429, "too many wrong passwords; try again later", {"Retry-After": str(FIRST_LOCK_S)})
        has_password = user is not None and not is_external(user)
        fits = self._fits(user["password_hash"] if user is not None and has_password else self._no_password, password)
        if user is None or user["disabled"] or not fits:
            if has_password:
                self._count_failure(name, now_ns)
            raise ProblemError(401, "name or password is wrong")
        return self._begin(name, user["role"], now_ns)

    def log_in_external(self, name: str, role: Role, subject: str) -> tuple[str, Caller]:
        """Begin a session of a user whom a provider has identified; the provider decides about the role.

        Args:
            name: Name of the user here; added at the first login.
            role: Role from now on.
            subject: Provider and its id of the user, which stands in place of a password and is not a hash of one.

        Returns:
            The cookie, and the caller.

        Raises:
            ProblemError: the name is that of another user, or the user is disabled.
        """
        now_ns = self._now_ns()
        with self._database.write() as connection:
            user = connection.execute(sa.select(USERS).where(USERS.c.name == name)).mappings().first()
            if user is None:
                connection.execute(USERS.insert().values(
                    name=name, role=role, password_hash=subject, created=iso_time(now_ns), disabled=False, failures=0,
                    locked_until="",
                ))  # fmt: skip
            elif user["password_hash"] != subject:
                raise ProblemError(403, f"the name {name} belongs to another user of this service")
            elif user["disabled"]:
                raise ProblemError(403, f"the user {name} is disabled")
            else:
                connection.execute(USERS.update().where(USERS.c.name == name).values(role=role))
        return self._begin(name, role, now_ns)

    def _fits(self, hashed: str, password: str) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except (VerificationError, InvalidHashError):
            return False

    def _count_failure(self, name: str, now_ns: int) -> None:
        with self._database.write() as connection:
            update = USERS.update().where(USERS.c.name == name)
            connection.execute(update.values(failures=USERS.c.failures + 1))
            failures = connection.execute(sa.select(USERS.c.failures).where(USERS.c.name == name)).scalar() or 0
            if failures > FREE_FAILURES:
                lock_s = min(FIRST_LOCK_S << min(failures - FREE_FAILURES - 1, 16), LONGEST_LOCK_S)
                connection.execute(update.values(locked_until=iso_time(now_ns + lock_s * NS_PER_S)))

    def _begin(self, name: str, role: Role, now_ns: int) -> tuple[str, Caller]:
        cookie, csrf_token = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        with self._database.write() as connection:
            connection.execute(USERS.update().where(USERS.c.name == name).values(failures=0, locked_until=""))
            for table in (SESSIONS, TOKENS):
                connection.execute(table.delete().where(table.c.expires <= iso_time(now_ns)))
            connection.execute(SESSIONS.insert().values(
                key_hash=key_hash(cookie), user_name=name, csrf_token=csrf_token, created=iso_time(now_ns),
                expires=iso_time(now_ns + self._session_ns),
            ))  # fmt: skip
        return cookie, Caller(name, role, key_hash(cookie), csrf_token)

    def log_out(self, caller: Caller) -> None:
        """End the caller's session."""
        with self._database.write() as connection:
            connection.execute(SESSIONS.delete().where(SESSIONS.c.key_hash == caller.session))

    def by_cookie(self, cookie: str) -> Caller | None:
        """The caller with a cookie; None if the session ended or the user is disabled."""
        found = self._database.row(
            sa.select(SESSIONS, USERS.c.role)
            .join(USERS, USERS.c.name == SESSIONS.c.user_name)
            .where(SESSIONS.c.key_hash == key_hash(cookie), SESSIONS.c.expires > iso_time(self._now_ns()))
            .where(USERS.c.disabled.is_(False))
        )
        if found is None:
            return None
        return Caller(found["user_name"], found["role"], found["key_hash"], found["csrf_token"])

    def by_token(self, token: str) -> Caller | None:
        """The caller with a token; None if it has expired, was revoked, or its user is disabled."""
        found = self._database.row(
            sa.select(TOKENS.c.user_name, TOKENS.c.role, USERS.c.role.label("user_role"))
            .join(USERS, USERS.c.name == TOKENS.c.user_name)
            .where(TOKENS.c.key_hash == key_hash(token), TOKENS.c.expires > iso_time(self._now_ns()))
            .where(USERS.c.disabled.is_(False))
        )
        if found is None:
            return None
        return Caller(found["user_name"], min(found["role"], found["user_role"], key=ROLES.index))

    def make_token(self, caller: Caller, label: str, role: Role, days: int) -> tuple[str, str, str]:
        """Make a token of the caller.

        Returns:
            Its id, its text, which is not stored, and the time at which it expires.

        Raises:
            ProblemError: the role is higher than the caller's, or the caller has too many tokens.
        """
        if not caller.may(role):
            raise ProblemError(403, f"a token cannot have the role {role}, which is higher than {caller.role}")
        identity, token = secrets.token_hex(8), TOKEN_PREFIX + secrets.token_urlsafe(32)
        now_ns = self._now_ns()
        expires = iso_time(now_ns + days * 24 * HOUR_NS)
        with self._database.write() as connection:
            count = sa.select(sa.func.count()).select_from(TOKENS).where(TOKENS.c.user_name == caller.name)
            if connection.execute(count).scalar_one() >= MAX_TOKENS:
                raise ProblemError(409, f"{caller.name} has {MAX_TOKENS} tokens already; revoke one first")
            connection.execute(TOKENS.insert().values(
                id=identity, key_hash=key_hash(token), name=label, user_name=caller.name, role=role,
                created=iso_time(now_ns), expires=expires,
            ))  # fmt: skip
        return identity, token, expires


def is_external(user: Mapping[str, Any] | sa.RowMapping) -> bool:
    """Whether a provider identifies a user, who then has no password here."""
    return not user["password_hash"].startswith(HASH_PREFIX)


def _require_not_external(connection: sa.Connection, name: str, role: Role | None, password: str | None) -> None:
    """Refuse what the next login of a provider's user would overwrite, or what would keep the user out."""
    user = connection.execute(sa.select(USERS).where(USERS.c.name == name)).mappings().first()
    if user is None or not is_external(user):
        return
    if password is not None:
        raise ProblemError(409, f"{name} logs in with the OpenID provider and has no password here")
    if role is not None and role != user["role"]:
        raise ProblemError(409, f"the groups of {name} at the OpenID provider decide about the role")


def _is_admin() -> sa.ColumnElement[bool]:
    return sa.and_(USERS.c.role == "admin", USERS.c.disabled.is_(False))


def _require_admin(connection: sa.Connection) -> None:
    if connection.execute(sa.select(USERS.c.name).where(_is_admin())).first() is None:
        raise ProblemError(409, "no administrator would be left; make another user an administrator first")
