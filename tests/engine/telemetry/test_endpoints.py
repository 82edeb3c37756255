"""The HTTP pages, asked over a real socket."""

import json
import socket
import ssl
import urllib.error
import urllib.request

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from engine.clock import ManualClock
from engine.telemetry.endpoints import EndpointAccess, EndpointError, Endpoints
from engine.telemetry.health import CONDITIONS, Health
from engine.telemetry.metrics import Metrics
from engine.telemetry.scrape import read_page
from tests.support.certificates import Authority


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def health(clock):
    health = Health(clock, stall_s=30)
    for name in CONDITIONS:
        health.ok(name)
    return health


@pytest.fixture
def endpoints(health):
    endpoints = Endpoints(health, Metrics(), "127.0.0.1", 0)
    yield endpoints
    endpoints.close()


def ask(endpoints, path, accept="*/*", method="GET", **headers):
    url = f"http://127.0.0.1:{endpoints.port}{path}"
    request = urllib.request.Request(url, headers={"Accept": accept, **headers}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()


def test_ready_and_alive(endpoints):
    for path in ("/healthz", "/readyz", "/readyz?verbose"):
        status, content_type, body = ask(endpoints, path)
        assert (status, content_type, json.loads(body)["status"]) == (200, "application/json", "ok")


def test_what_is_wrong_is_listed(endpoints, health):
    health.fail("model", "no version of bert_cnn in /models")
    health.fail("sinks", "postgresql does not answer")
    status, _, body = ask(endpoints, "/readyz")
    assert status == 503
    assert json.loads(body)["wrong"] == [
        "sinks: postgresql does not answer",
        "model: no version of bert_cnn in /models",
    ]
    assert ask(endpoints, "/healthz")[0] == 200


def test_a_stuck_worker(endpoints, clock):
    clock.advance(31)
    assert ask(endpoints, "/healthz")[0] == 503


def test_metrics_as_openmetrics_and_as_plain_text(endpoints):
    status, content_type, body = ask(endpoints, "/metrics", "application/openmetrics-text; version=1.0.0")
    assert status == 200
    assert content_type.startswith("application/openmetrics-text")
    assert body.endswith("# EOF\n")
    assert "driftline_lines" in {family.name for family in text_string_to_metric_families(body)}
    assert ask(endpoints, "/metrics")[1].startswith("text/plain")


def test_head_and_an_unknown_page(endpoints):
    assert ask(endpoints, "/healthz", method="HEAD")[::2] == (200, "")
    status, _, body = ask(endpoints, "/config")
    assert status == 404
    assert "/healthz, /readyz, /metrics" in body
    assert ask(endpoints, "/metrics", method="POST")[0] == 501


def test_a_port_in_use_is_named_with_its_setting(health):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(EndpointError, match=rf"port {port} on 127\.0\.0\.1 is in use; set telemetry\.port"):
            Endpoints(health, Metrics(), "127.0.0.1", port)


@pytest.mark.parametrize(("host", "port"), [("192.0.2.1", 0), ("127.0.0.1", 70_000)])
def test_an_impossible_address_is_an_error_with_the_settings(health, host, port):
    with pytest.raises(EndpointError, match=r"cannot serve on .*telemetry\.host"):
        Endpoints(health, Metrics(), host, port)


def test_the_port_is_free_again_after_close(health):
    first = Endpoints(health, Metrics(), "127.0.0.1", 0)
    first.close()
    first.close()
    second = Endpoints(health, Metrics(), "127.0.0.1", first.port)
    assert ask(second, "/healthz")[0] == 200
    second.close()


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost:9464", 200), ("127.0.0.1", 200), ("[::1]:80", 200), ("evil.example", 421), ("10.0.0.1:9464", 421)],
)
def test_loopback_serves_its_own_names_only(endpoints, host, status):
    assert ask(endpoints, "/healthz", Host=host)[0] == status
    assert ask(endpoints, "/metrics", Host=host)[0] == status


def test_a_request_of_http_1_0_names_no_host(endpoints):
    with socket.create_connection(("127.0.0.1", endpoints.port)) as client:
        client.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert client.recv(100).split()[1] == b"200"


def test_other_addresses_serve_any_name(health):
    endpoints = Endpoints(health, Metrics(), "0.0.0.0", 0)
    assert ask(endpoints, "/healthz", Host="engine.internal:9464")[0] == 200
    endpoints.close()


@pytest.mark.parametrize("given", [None, "Bearer wrong", "Basic secret", "secret"])
def test_without_the_token_only_the_status_is_shown(health, given):
    endpoints = Endpoints(health, Metrics(), "127.0.0.1", 0, EndpointAccess("secret"))
    health.fail("model", "no version in /models")
    headers = {} if given is None else {"Authorization": given}
    assert ask(endpoints, "/healthz", **headers)[::2] == (200, '{"status":"ok"}\n')
    assert ask(endpoints, "/readyz", **headers)[::2] == (503, '{"status":"failing"}\n')
    status, _, body = ask(endpoints, "/metrics", **headers)
    assert (status, "telemetry.token" in body) == (401, True)
    assert ask(endpoints, "/config", **headers)[0] == 401
    endpoints.close()


def test_with_the_token_all_is_shown(health):
    endpoints = Endpoints(health, Metrics(), "127.0.0.1", 0, EndpointAccess("secret"))
    health.fail("model", "no version in /models")
    assert "/models" in ask(endpoints, "/readyz", Authorization="Bearer secret")[2]
    assert ask(endpoints, "/metrics", Authorization="bearer secret")[0] == 200
    endpoints.close()


def test_a_request_that_takes_too_long_is_cut(health):
    endpoints = Endpoints(health, Metrics(), "127.0.0.1", 0, EndpointAccess(request_s=0.2))
    with socket.create_connection(("127.0.0.1", endpoints.port), timeout=10) as slow:
        slow.sendall(b"GET /healthz HTTP/1.0\r\nX-Slow: ")
        assert slow.recv(100) == b""
    assert ask(endpoints, "/healthz")[0] == 200
    endpoints.close()


@pytest.mark.parametrize(
    ("address", "host", "status"),
    [
        ("0.0.0.0", "engine.internal:9464", 200), ("0.0.0.0", "Engine.Internal", 200), ("0.0.0.0", "evil.example", 421),
        ("0.0.0.0", "localhost", 421), ("127.0.0.1", "engine.internal", 200), ("127.0.0.1", "localhost:9464", 200),
        ("127.0.0.1", "evil.example", 421),
    ],
)  # fmt: skip
def test_only_the_hosts_of_the_settings_are_served(health, address, host, status):
    endpoints = Endpoints(health, Metrics(), address, 0, EndpointAccess(hosts=("engine.internal",)))
    assert ask(endpoints, "/healthz", Host=host)[0] == status
    endpoints.close()


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path, "authority")


def encrypted(health, certificate, key, **more):
    return Endpoints(health, Metrics(), "127.0.0.1", 0, EndpointAccess("secret", (), certificate, key, **more))


def page(endpoints, path, **how):
    return read_page("127.0.0.1", endpoints.port, path, 10, **how)


def test_with_a_certificate_https_is_served(health, authority):
    certificate, key = authority.issue("engine")
    endpoints = encrypted(health, certificate, key)
    trusted = ssl.create_default_context(cafile=authority.certificate)
    with urllib.request.urlopen(f"https://127.0.0.1:{endpoints.port}/healthz", timeout=10, context=trusted) as answer:
        assert (answer.status, answer.read()) == (200, b'{"status":"ok"}\n')
    assert page(endpoints, "/metrics", token="secret", certificate=certificate)[0] == 200
    assert page(endpoints, "/healthz", certificate=certificate)[0] == 200
    with pytest.raises(OSError, match="does not answer with HTTP"):
        page(endpoints, "/healthz")
    endpoints.close()


def test_the_token_goes_to_the_own_certificate_only(health, authority):
    certificate, _ = authority.issue("engine")
    impostor = encrypted(health, *authority.issue("impostor"))
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        page(impostor, "/metrics", token="secret", certificate=certificate)
    impostor.close()


def test_the_token_goes_to_no_other_certificate_of_the_chain(health, authority):
    certificate, key = authority.issue("engine")
    chain = certificate.read_text() + authority.certificate.read_text()
    certificate.write_text(f"Issued for \u00fc:\n{chain}", "utf-8")
    endpoints, impostor = encrypted(health, certificate, key), encrypted(health, *authority.issue("impostor"))
    assert page(endpoints, "/metrics", token="secret", certificate=certificate)[0] == 200
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        page(impostor, "/metrics", token="secret", certificate=certificate)
    endpoints.close()
    impostor.close()


def test_a_key_with_a_passphrase_is_not_asked_for(health, authority):
    certificate, key = authority.issue("engine")
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    encryption = serialization.BestAvailableEncryption(b"secret")
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    with pytest.raises(EndpointError, match="cannot be used: the key has a passphrase, and must be stored without one"):
        encrypted(health, certificate, key)


def test_a_probe_does_not_fail_for_an_expired_certificate(health, authority):
    certificate, key = authority.issue("engine", days=-1)
    endpoints = encrypted(health, certificate, key)
    assert page(endpoints, "/healthz", certificate=certificate)[0] == 200
    endpoints.close()


def test_a_client_that_does_not_shake_hands_is_cut_and_holds_nobody_up(health, authority, capfd):
    certificate, key = authority.issue("engine")
    endpoints = encrypted(health, certificate, key, request_s=0.2)
    with socket.create_connection(("127.0.0.1", endpoints.port), timeout=10) as silent:
        assert page(endpoints, "/healthz", certificate=certificate)[0] == 200
        assert silent.recv(100) == b""
    with socket.create_connection(("127.0.0.1", endpoints.port), timeout=10) as plain:
        plain.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert b"driftline" not in plain.recv(1000)
    endpoints.close()
    assert capfd.readouterr() == ("", "")


def test_a_certificate_that_cannot_be_used_is_an_error_with_the_settings(health, authority, tmp_path):
    certificate, _ = authority.issue("engine")
    _, other = authority.issue("other")
    for given in ((certificate, other), (tmp_path / "none.crt", other), (other, certificate)):
        with pytest.raises(EndpointError, match=r"telemetry\.certificate .* and telemetry\.key .* cannot be used: "):
            encrypted(health, *given)
