"""The build of the console: which Node it takes, and when there is nothing to do."""

import pytest

from tests.support import console_build
from tests.support.console_build import ConsoleBuildError, build, digest_of, find_node


@pytest.fixture
def node(tmp_path, monkeypatch):
    """Put a program `node` on the PATH that reports a version."""

    def install(version):
        program = tmp_path / "node"
        program.write_text(f"#!/bin/sh\necho {version}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        return program

    return install


def test_a_new_node_of_the_path_is_taken(node):
    program = node("v20.19.1")
    assert find_node() == program


@pytest.mark.parametrize("version", ["v18.20.4", "nonsense"])
def test_an_old_one_is_not_and_the_wheel_is_looked_for(node, version, monkeypatch):
    node(version)
    monkeypatch.setattr(console_build.importlib.util, "find_spec", lambda name: None)
    assert find_node() is None


def test_the_digest_depends_on_sources_only(tmp_path):
    web, openapi = tmp_path / "web", tmp_path / "openapi.json"
    (web / "src").mkdir(parents=True)
    (web / "src" / "main.ts").write_text("1")
    openapi.write_text("{}")
    first = digest_of(web, openapi)
    (web / "node_modules").mkdir()
    (web / "node_modules" / "x.js").write_text("x")
    (web / "src" / "schema.d.ts").write_text("made")
    assert digest_of(web, openapi) == first
    (web / "src" / "main.ts").write_text("2")
    assert digest_of(web, openapi) != first


def test_a_build_that_fails_states_its_output(node, tmp_path, monkeypatch):
    program = node("v22.0.0")
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho no registry >&2\nexit 1\n")
    npm.chmod(0o755)
    monkeypatch.setattr(console_build, "STAMP", tmp_path / "stamp")
    assert find_node() == program
    with pytest.raises(ConsoleBuildError, match=r"npm ci .* failed:\nno registry"):
        build()
    assert not (tmp_path / "stamp").exists()
