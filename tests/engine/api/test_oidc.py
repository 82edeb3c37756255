"""Login with an OpenID provider: a certified one on loopback, and what is refused before and after it."""

import subprocess
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from connectors.ports import free_port
from engine.api.oidc import ATTEMPT_S, MAX_ATTEMPTS, Attempts, _discovered, role_of
from engine.api.problems import ProblemError
from engine.api.settings import OidcSettings, ServeSettings
from tests.engine.api.conftest import PASSWORD, new_client
from tests.engine.api.test_console import WEB
from tests.support.console_build import find_node

SERVICE = "http://127.0.0.1"
MISSING = find_node() is None or not (WEB / "node_modules" / "oidc-provider").is_dir()


@pytest.fixture
def issuer():
    return f"http://127.0.0.1:{free_port()}"


@pytest.fixture
def serve_settings(store, issuer):
    oidc = {
        "issuer": issuer, "client_id": "driftline", "client_secret": "secret of the client", "public_url": SERVICE,
        "operators": ["ops"],
    }  # fmt: skip
    return ServeSettings(store=store, oidc=oidc)


@pytest.fixture
def provider(issuer):
    command = [str(find_node()), "e2e/oidcProvider.mjs", str(urlsplit(issuer).port), f"{SERVICE}/api/v1/oidc/callback"]
    process = subprocess.Popen(command, cwd=WEB, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert "listening" in process.stdout.readline()
    yield issuer
    process.terminate()
    process.communicate(timeout=30)


def at_provider(address, name):
    """Log in at the provider and consent; returns the address that it sends the browser back to."""
    with httpx.Client(follow_redirects=False) as browser:
        answer = browser.get(address)
        for _ in range(12):
            if answer.has_redirect_location:
                target = str(httpx.URL(answer.url).join(answer.headers["location"]))
                if target.startswith(f"{SERVICE}/api/"):
                    return target
                answer = browser.get(target)
            else:
                prompt = "login" if 'name="login"' in answer.text else "consent"
                form = {"prompt": prompt, "login": name, "password": "any"}
                answer = browser.post(str(answer.url), data=form)
    raise AssertionError("the provider did not send the browser back")


def begin(client):
    answer = client.get("/api/v1/oidc/login", follow_redirects=False)
    assert answer.status_code == 303
    return answer.headers["location"]


def finish(client, address):
    return client.get(address.removeprefix(SERVICE), follow_redirects=False)


def problem(answer):
    assert answer.status_code == 303
    (found,) = parse_qs(answer.headers["location"].partition("?")[2])["problem"]
    return found


@pytest.mark.process
@pytest.mark.skipif(MISSING, reason="Node and its packages are needed: make console")
def test_a_user_of_the_provider_gets_a_session_with_the_role_of_the_group(app, provider, log_in):
    client = new_client(app)
    address = begin(client)
    asked = parse_qs(urlsplit(address).query)
    assert (asked["code_challenge_method"], asked["response_type"]) == (["S256"], ["code"])
    answer = finish(client, at_provider(address, "opal"))
    assert (answer.status_code, answer.headers["location"]) == (303, "/#/alerts")
    found = client.get("/api/v1/session").json()
    assert (found["name"], found["role"]) == ("opal", "operator")
    again = new_client(app)
    finish(again, at_provider(begin(again), "opal"))
    assert again.get("/api/v1/session").json()["name"] == "opal"
    assert [u["name"] for u in log_in("admin").get("/api/v1/users").json()].count("opal") == 1
    assert client.post("/api/v1/session", json={"name": "opal", "password": "any"}).status_code == 401


@pytest.mark.process
@pytest.mark.skipif(MISSING, reason="Node and its packages are needed: make console")
def test_what_the_provider_says_is_not_enough_for_everyone(app, provider, services):
    client = new_client(app)
    assert "in no group" in problem(finish(client, at_provider(begin(client), "eve")))
    services.accounts.create("operetta", "viewer", PASSWORD)
    assert "another user" in problem(finish(client, at_provider(begin(client), "operetta")))
    services.accounts.create("root", "admin", PASSWORD)
    finish(client, at_provider(begin(client), "opal"))
    services.accounts.change("opal", role=None, password=None, disabled=True)
    assert "disabled" in problem(finish(client, at_provider(begin(client), "opal")))
    assert client.get("/api/v1/session").status_code == 401


@pytest.mark.process
@pytest.mark.skipif(MISSING, reason="Node and its packages are needed: make console")
def test_an_answer_works_once_and_only_in_the_browser_that_asked(app, provider):
    client, other = new_client(app), new_client(app)
    back = at_provider(begin(client), "opal")
    begin(other)
    assert "not started in this browser" in problem(finish(other, back))
    assert "not started in this browser" in problem(finish(client, back)), "the attempt is used up"
    back = at_provider(begin(client), "opal")
    wrong = back.replace("code=", "code=x")
    assert "cannot be used" in problem(finish(client, wrong))
    assert client.get("/api/v1/session").status_code == 401


def test_a_provider_that_does_not_answer_is_a_problem_of_its_own(app, issuer):
    answer = new_client(app).get("/api/v1/oidc/login", follow_redirects=False)
    assert (answer.status_code, issuer in answer.json()["detail"]) == (503, True)
    assert new_client(app).get("/api/v1/oidc").json() == {"enabled": True, "label": "Log in with OpenID"}


def test_no_password_concerns_a_user_of_the_provider(app, services, log_in):
    accounts, client, admin = services.accounts, new_client(app), log_in("admin")
    accounts.log_in_external("opal", "operator", "oidc https://id.example.com 7")
    for _ in range(19):  # one login was spent on the administrator
        wrong = client.post("/api/v1/session", json={"name": "opal", "password": "wrong"})
        assert (wrong.status_code, wrong.json()["detail"]) == (401, "name or password is wrong")
    (user,) = (found for found in admin.get("/api/v1/users").json() if found["name"] == "opal")
    assert (user["external"], user["locked_until"]) == (True, None)
    assert client.post("/api/v1/session", json={"name": "opal", "password": "wrong"}).status_code == 429
    assert client.get("/api/v1/oidc/login", follow_redirects=False).status_code == 503, "it is not counted as one"
    for change, words in (({"password": PASSWORD}, "no password here"), ({"role": "admin"}, "decide about the role")):
        refused = admin.patch("/api/v1/users/opal", json=change)
        assert (refused.status_code, words in refused.json()["detail"]) == (409, True)
    assert admin.patch("/api/v1/users/opal", json={"role": "operator", "disabled": False}).json()["external"]
    assert accounts.log_in_external("opal", "operator", "oidc https://id.example.com 7")[1].name == "opal"


def test_attempts_end_and_are_bounded():
    attempts = Attempts()
    first, made = attempts.begin(0)
    assert attempts.take(first, 1) == made
    assert attempts.take(first, 1) is None
    late, _ = attempts.begin(0)
    assert attempts.take(late, (ATTEMPT_S + 1) * 10**9) is None
    states = [attempts.begin(0)[0] for _ in range(MAX_ATTEMPTS + 1)]
    assert attempts.take(states[0], 1) is None
    assert attempts.take(states[1], 1) is not None


@pytest.mark.parametrize(
    ("groups", "role"),
    [(["a"], "admin"), (["v", "o"], "operator"), ("v", "viewer"), (["x"], None), (None, None), (7, None), ([], None)],
)
def test_the_highest_group_decides(groups, role):
    settings = OidcSettings(
        issuer="https://id.example.com", client_id="d", public_url="https://d.example.com", admins=("a",),
        operators=("o",), viewers=("v",),
    )  # fmt: skip
    assert role_of(settings, groups) == role
    assert role_of(settings.model_copy(update={"viewers": ("*",)}), groups) == (role or "viewer")


@pytest.mark.parametrize("found", [[], {}, {"issuer": "https://id.example.com", "token_endpoint": "t"}])
def test_a_page_that_describes_no_provider_is_named(found):
    class Client:
        def request(self, *_, **__):
            return self

        raise_for_status = request

        def json(self):
            return found

    settings = OidcSettings(issuer="https://id.example.com", client_id="d", public_url="https://d.example.com")
    with pytest.raises(ProblemError, match=r"lacks .*authorization_endpoint.*jwks_uri"):
        _discovered(Client(), settings)
