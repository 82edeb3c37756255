"""`driftline serve` as a process: the printed link, a login, an alert that arrives live, and the end."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from connectors.base import Record
from connectors.ports import free_port
from connectors.sql import SqlSink
from connectors.sql_settings import SqlSettings
from engine.api.server import ServeError, address, serve
from engine.api.settings import ListenSettings, ServeSettings
from foundation.time_text import iso_time
from tests.engine.api.conftest import PASSWORD, alert


def test_an_address_that_is_taken_is_one_sentence(store):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = ServeSettings(store=store, listen={"port": taken.getsockname()[1]})
        with pytest.raises(ServeError, match=r"cannot listen on 127\.0\.0\.1 port \d+: Address already in use"):
            serve(settings)


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        ({}, "http://127.0.0.1:8600"),
        ({"host": "::1"}, "http://[::1]:8600"),
        ({"host": "0.0.0.0", "without_tls": True, "hosts": ["logs.example"]}, "http://logs.example:8600"),
        ({"host": "::", "without_tls": True}, f"http://{socket.gethostname()}:8600"),
    ],
)
def test_the_printed_address_can_be_opened(listen, url):
    assert address(ListenSettings(**listen), 8600) == url


@pytest.mark.process
def test_an_alert_of_an_engine_arrives_live(tmp_path):
    port, url = free_port(), f"sqlite:///{tmp_path}/alerts.db"
    (tmp_path / "serve.toml").write_text(f'[listen]\nport = {port}\n[store]\nurl = "{url}"\n', "utf-8")
    command = [sys.executable, "-m", "engine.cli", "serve", str(tmp_path / "serve.toml")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    try:
        assert process.stdout is not None
        output = ""
        while "administrator" not in output:
            output += process.stdout.readline()
        token = re.search(r"#/setup/(\S+)", output)[1]
        made = call(port, "/api/v1/setup", {"token": token, "name": "ann", "password": PASSWORD})
        cookie = made.headers["Set-Cookie"].partition(";")[0]
        request = urllib.request.Request(f"http://127.0.0.1:{port}/api/v1/alerts/stream", headers={"Cookie": cookie})
        with urllib.request.urlopen(request, timeout=60) as stream:
            assert stream.readline() == b"retry: 2000\n"
            now = iso_time(time.time_ns() + 1_000_000_000)
            sink = SqlSink(SqlSettings.model_validate({"url": url}))
            sink.open(None)
            document = alert("live", 0, created=now)
            sink.write([Record(document["id"], "", document)])
            sink.flush(5)
            sink.close()
            while not (line := stream.readline()).startswith(b"data: "):
                assert line
            assert json.loads(line.removeprefix(b"data: "))["id"] == document["id"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def call(port, path, content):
    body, kind = json.dumps(content).encode(), {"Content-Type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, kind)
    # The socket listens before the link is printed.
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer
