"""Who may call what: every route with every role, sessions, tokens, locks and the first administrator."""

import re

import pytest
from fastapi.routing import APIRoute

from engine.api.accounts import ROLES
from engine.api.app import build_app
from engine.api.auth import CSRF_HEADER, Needs
from engine.api.services import Services
from engine.api.settings import ServeSettings
from tests.engine.api.conftest import PASSWORD, new_client

OPEN = {
    ("GET", "/health"), ("POST", "/api/v1/session"), ("POST", "/api/v1/setup"), ("GET", "/api/v1/oidc"),
    ("GET", "/api/v1/oidc/login"), ("GET", "/api/v1/oidc/callback"),
}  # fmt: skip
"""All that answers without a login."""


def api_routes(app):
    """Method, path and role of every route; "" without a role."""
    for route in flat(app.routes):
        roles = [d.call.role for d in flattened(route.dependant) if isinstance(d.call, Needs)]
        for method in route.methods:
            yield method, route.path, max(roles, key=ROLES.index, default="")


def flat(routes):
    for route in routes:
        if isinstance(route, APIRoute):
            yield route
        elif hasattr(route, "original_router"):
            yield from flat(route.original_router.routes)


def flattened(dependant):
    yield dependant
    for child in dependant.dependencies:
        yield from flattened(child)


def test_only_health_and_the_login_answer_without_a_role(app):
    routes = list(api_routes(app))
    assert len(routes) > 20
    assert {(method, path) for method, path, role in routes if not role} == OPEN


def test_every_route_refuses_every_role_below_its_own_and_no_other(app, clients):
    for method, path, role in api_routes(app):
        if not role or path.endswith("/stream"):
            continue
        url = re.sub(r"\{\w+\}", "x", path)
        for name, client in clients.items():
            if name and (method, path) == ("DELETE", "/api/v1/session"):
                continue
            status = client.request(method, url, json={}).status_code
            expected = 401 if not name else 403 if ROLES.index(name) < ROLES.index(role) else None
            if expected is None:
                assert status not in (401, 403), (method, path, name)
                assert status < 500, (method, path, name)
            else:
                assert status == expected, (method, path, name)


def test_a_stream_needs_a_login(app):
    answer = new_client(app).get("/api/v1/alerts/stream")
    assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")


def test_unsafe_requests_with_a_cookie_need_the_csrf_token(log_in):
    client = log_in("viewer")
    del client.headers[CSRF_HEADER]
    assert client.get("/api/v1/session").status_code == 200
    for wrong in ({}, {CSRF_HEADER: "x"}, {CSRF_HEADER: "é".encode()}):
        assert client.post("/api/v1/tokens", json={"name": "t"}, headers=wrong).status_code == 403


def test_the_first_administrator_is_made_once_with_the_printed_token(app, services):
    client = new_client(app)
    first = {"name": "ann", "password": PASSWORD}
    assert client.post("/api/v1/setup", json={**first, "token": "guess"}).status_code == 403
    assert client.post("/api/v1/setup", json={**first, "password": "short", "token": "x"}).status_code == 422
    made = client.post("/api/v1/setup", json={**first, "token": services.setup_token})
    assert (made.status_code, made.json()["role"]) == (201, "admin")
    assert client.get("/api/v1/users").status_code == 200
    again = {"name": "bob", "password": PASSWORD, "token": services.setup_token}
    assert new_client(app).post("/api/v1/setup", json=again).status_code == 403


def test_cookies_are_hidden_from_scripts_and_other_sites_and_from_the_store(app, services, tmp_path):
    services.accounts.create("ann", "viewer", PASSWORD)
    answer = new_client(app).post("/api/v1/session", json={"name": "ann", "password": PASSWORD})
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Secure" not in cookie  # plain HTTP on loopback
    secret = re.match(r"driftline_session=([^;]+)", cookie)[1].encode()
    for path in tmp_path.iterdir():
        content = path.read_bytes()
        assert secret not in content
        assert PASSWORD.encode() not in content


def test_behind_tls_the_cookie_is_secure(store, services):
    settings = ServeSettings(store=store, listen={"host": "0.0.0.0", "without_tls": True})
    services.accounts.create("ann", "viewer", PASSWORD)
    public = Services.from_settings(settings, now_ns=services.now_ns)
    client = new_client(build_app(public))
    answer = client.post("/api/v1/session", json={"name": "ann", "password": PASSWORD})
    assert "Secure" in answer.headers["set-cookie"]
    public.database.close()


def test_wrong_passwords_lock_an_account_for_longer_and_longer(app, services, clock):
    services.accounts.create("ann", "viewer", PASSWORD)
    client = new_client(app)

    def status(password):
        return client.post("/api/v1/session", json={"name": "ann", "password": password}).status_code

    assert [status("wrong") for _ in range(5)] == [401] * 5
    assert status(PASSWORD) == 429
    clock.now_s += 31
    assert status("wrong") == 401
    clock.now_s += 31
    assert status(PASSWORD) == 429, "twice as long"
    clock.now_s += 31
    assert status(PASSWORD) == 201
    assert status("wrong") == 401
    assert status(PASSWORD) == 201, "a login starts the count again"


def test_the_answer_does_not_show_whether_a_name_exists(app, services):
    services.accounts.create("ann", "viewer", PASSWORD)
    answers = [new_client(app).post("/api/v1/session", json={"name": n, "password": "x"}) for n in ("ann", "nobody")]
    assert answers[0].json() == answers[1].json()
    assert answers[0].status_code == 401


def test_logins_from_one_address_are_limited(app, clock):
    client = new_client(app)
    attempts = [client.post("/api/v1/session", json={"name": "x", "password": "x"}) for _ in range(21)]
    assert [a.status_code for a in attempts] == [401] * 20 + [429]
    assert attempts[-1].headers["retry-after"] == "4"
    clock.now_s += 4
    assert client.post("/api/v1/session", json={"name": "x", "password": "x"}).status_code == 401


def test_sessions_end(log_in, clock):
    client = log_in("viewer")
    clock.now_s += 12 * 3600
    assert client.get("/api/v1/session").status_code == 401
    client = log_in("viewer")
    assert client.delete("/api/v1/session").status_code == 204
    assert client.get("/api/v1/session").status_code == 401


def test_a_token_has_its_own_role_and_an_end(app, log_in, clock):
    client = log_in("operator")
    assert client.post("/api/v1/tokens", json={"name": "ci", "role": "admin"}).status_code == 403
    made = client.post("/api/v1/tokens", json={"name": "ci", "role": "viewer", "days": 1}).json()
    program = new_client(app)
    program.headers["Authorization"] = f"Bearer {made['token']}"
    assert program.get("/api/v1/session").json()["role"] == "viewer"
    assert program.post("/api/v1/groups/x/actions", json={"action": "resolve"}).status_code == 403
    assert made["token"] not in client.get("/api/v1/tokens").text
    clock.now_s += 24 * 3600
    assert program.get("/api/v1/session").status_code == 401


def test_revoked_tokens_and_disabled_users_are_refused_at_once(app, log_in):
    admin, client = log_in("admin"), log_in("viewer")
    name = client.get("/api/v1/session").json()["name"]
    tokens = [client.post("/api/v1/tokens", json={"name": "t"}).json() for _ in range(2)]
    programs = [new_client(app) for _ in tokens]
    for program, token in zip(programs, tokens, strict=True):
        program.headers["Authorization"] = f"Bearer {token['token']}"
    assert client.delete(f"/api/v1/tokens/{tokens[0]['id']}").status_code == 204
    assert [p.get("/api/v1/session").status_code for p in programs] == [401, 200]
    assert admin.patch(f"/api/v1/users/{name}", json={"disabled": True}).status_code == 200
    assert [p.get("/api/v1/session").status_code for p in programs] == [401, 401]
    assert client.get("/api/v1/session").status_code == 401


def test_a_lower_role_holds_for_the_users_tokens(app, log_in):
    boss, client = log_in("admin"), log_in("admin")
    name = client.get("/api/v1/session").json()["name"]
    token = client.post("/api/v1/tokens", json={"name": "t", "role": "admin"}).json()["token"]
    boss.patch(f"/api/v1/users/{name}", json={"role": "viewer"})
    program = new_client(app)
    program.headers["Authorization"] = f"Bearer {token}"
    assert program.get("/api/v1/users").status_code == 403


def test_the_last_administrator_stays(log_in):
    admin = log_in("admin")
    name = admin.get("/api/v1/session").json()["name"]
    for answer in (
        admin.delete(f"/api/v1/users/{name}"),
        admin.patch(f"/api/v1/users/{name}", json={"role": "viewer"}),
        admin.patch(f"/api/v1/users/{name}", json={"disabled": True}),
    ):
        assert answer.status_code == 409
    assert admin.get("/api/v1/users").status_code == 200


def test_the_audit_log_has_logins_and_changes_without_secrets(log_in):
    admin = log_in("admin")
    admin.post("/api/v1/users", json={"name": "eve", "role": "viewer", "password": PASSWORD})
    admin.post("/api/v1/session", json={"name": "eve", "password": "wrong one"})
    first = admin.get("/api/v1/audit", params={"limit": 2}).json()
    assert [e["action"] for e in first["items"]] == ["login.refused", "user.created"]
    rest = admin.get("/api/v1/audit", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert [e["action"] for e in rest["items"]] == ["login"]
    assert rest["next_cursor"] is None
    assert PASSWORD not in str(first)


@pytest.mark.parametrize(
    ("listen", "refused"),
    [
        ({}, False),
        ({"host": "::1"}, False),
        ({"host": "0.0.0.0"}, True),
        ({"host": "10.0.0.1"}, True),
        ({"host": "example.org"}, True),
        ({"host": "0.0.0.0", "without_tls": True}, False),
        ({"host": "0.0.0.0", "certificate": "a.pem", "key": "b.pem"}, False),
        ({"certificate": "a.pem"}, True),
    ],
)
def test_a_public_address_needs_tls_or_an_explicit_flag(listen, refused):
    if not refused:
        assert ServeSettings(listen=listen).listen.port == 8600
        return
    with pytest.raises(ValueError, match="certificate and key"):
        ServeSettings(listen=listen)
