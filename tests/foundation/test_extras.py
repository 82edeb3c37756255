"""Extras: the table agrees with the package's metadata, and a missing one is one sentence that names its command."""

import functools
import re
import subprocess
import sys
import tempfile
import tomllib
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement

from foundation.extras import EXTRAS, MissingExtraError, require
from tests.support.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
OPTIONAL = PROJECT["optional-dependencies"]
AGGREGATES = {"all", "demo", "dev"}
CORE_LIMIT = 14

BLOCK = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

blocked = set(sys.argv[1].split(","))
sys.meta_path.insert(0, Blocked())
for name in list(sys.modules):
    if name.partition(".")[0] in blocked:
        del sys.modules[name]
"""

CORE = """
import engine.cli.app, engine.dataflow, engine.runtime.preflight, engine.runtime.worker, engine.settings
import engine.offline.detect, engine.offline.evaluate, engine.offline.export, engine.offline.recalibrate
import engine.offline.scan
import models.train_classifier, models.train_detector
from models.classify.registry import build as classifier
from models.detectors.registry import build as detector
classifier("rules")
detector("event_counts")
detector("deeplog", {"encoder": "hashing:32"})
"""


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def closure(requirements: list[str]) -> set[str]:
    """The distributions that these requirements install, with those that they need in turn."""
    found: set[str] = set()
    waiting = [Requirement(text) for text in requirements]
    while waiting:
        requirement = waiting.pop()
        name = canonical(requirement.name)
        if name in found:
            continue
        found.add(name)
        if name == "driftline":
            raise AssertionError("the package does not require itself")
        wanted = [Requirement(text) for text in requires(name) or []]
        extras = requirement.extras or {""}
        waiting += [r for r in wanted if r.marker is None or any(r.marker.evaluate({"extra": e}) for e in extras)]
    return found


def direct(extra: str) -> set[str]:
    """The distributions that an extra installs, those of extras that it includes as well."""
    found: set[str] = set()
    for text in OPTIONAL[extra]:
        requirement = Requirement(text)
        if requirement.name == "driftline":
            found |= {name for included in requirement.extras for name in direct(included)}
        else:
            found.add(canonical(requirement.name))
    return found


OWNERS = functools.cache(packages_distributions)
"""Top-level module → distributions; reading all metadata takes half a second."""


def distributions(module: str) -> set[str]:
    return {canonical(name) for name in OWNERS()[module.partition(".")[0]]}


def test_the_core_is_small():
    assert len(PROJECT["dependencies"]) <= CORE_LIMIT


@pytest.mark.process
def test_the_core_works_without_any_extra():
    core = closure(PROJECT["dependencies"])
    ours = {"engine", "federation", "connectors", "models", "foundation", "driftline"}
    blocked = [
        module
        for module, names in OWNERS().items()
        if module not in ours and not {canonical(name) for name in names} & core
    ]
    assert {"flwr", "matplotlib", "sklearn", "sqlalchemy"} <= set(blocked)
    subprocess.run([sys.executable, "-c", BLOCK + CORE, ",".join(blocked)], check=True, cwd=ROOT)


def test_every_extra_is_in_the_table():
    assert set(EXTRAS) == set(OPTIONAL) - AGGREGATES


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_modules_of_an_extra_come_from_its_requirements(extra):
    for module in EXTRAS[extra]:
        assert distributions(module) & direct(extra), module


@pytest.mark.parametrize("aggregate", sorted(AGGREGATES - {"demo"}))
def test_everything_includes_every_extra(aggregate):
    assert set().union(*map(direct, EXTRAS)) <= direct(aggregate)


def hide(monkeypatch: pytest.MonkeyPatch, extra: str) -> None:
    for module in EXTRAS[extra]:
        monkeypatch.setitem(sys.modules, module, None)


def broker():
    from connectors.broker import broker_binary

    broker_binary()


def classify():
    from models.classify.registry import build

    build("xgboost")


def data():
    import io

    from engine.offline.export import WRITERS

    WRITERS["parquet"](io.BytesIO(), ("message",))


def evaluation():
    from engine.offline import evaluation_report

    evaluation_report.write(None, None)


def explain():
    import torch

    from models.training.attribution import integrated

    integrated(lambda x: x.sum((1, 2)), (torch.ones(1, 2, 3),))


def federation():
    from federation.storage.encryption import AesCipher

    AesCipher(b"k" * 32)


def minilm():
    from models.text.encoder import open_encoder

    open_encoder("minilm")


def notify():
    from connectors.http_sink import HttpSettings
    from connectors.registry import build_sink

    build_sink(HttpSettings(url="http://127.0.0.1:9"))


def otel():
    require("otel", "tracing")


def postgresql():
    from connectors.registry import build_sink
    from connectors.sql_settings import SqlSettings

    build_sink(SqlSettings(url="postgresql+psycopg://127.0.0.1/alerts"))


def lz4():
    from connectors.file_content import COMPRESSIONS

    COMPRESSIONS["LZ4"][1]()


def remote():
    from models.storage.store import ModelStore

    ModelStore("memory://store")


def mcp():
    from engine.cli.serve import mcp as command

    command(None)


def oidc():
    from engine.cli.serve import serve as command

    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write('[oidc]\nissuer = "https://id.example.com"\nclient_id = "d"\npublic_url = "https://d.example.com"\n')
        file.flush()
        command(Path(file.name))


def serve():
    from engine.cli.serve import serve as command

    command(None)


def sql():
    from connectors.registry import build_sink
    from connectors.sql_settings import SqlSettings

    build_sink(SqlSettings())


def train():
    from models.training.metrics import roc_auc

    roc_auc(np.array([0.1, 0.9]), np.array([False, True]))


USES = {use.__name__: use for use in (
    broker, classify, data, evaluation, explain, federation, lz4, mcp, minilm, notify, oidc, otel, postgresql,
    remote, serve, sql, train,
)}  # fmt: skip


@pytest.mark.parametrize("extra", EXTRAS)
def test_a_missing_extra_is_one_sentence_with_the_command_that_installs_it(extra, monkeypatch):
    hide(monkeypatch, extra)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingExtraError) as raised:
        USES[extra]()
    sentence = str(raised.value)
    assert sentence.endswith(f": pip install 'driftline[{extra}]'")
    assert "\n" not in sentence


def test_a_missing_tracing_extra_leaves_tracing_off(monkeypatch, caplog):
    from engine.telemetry.tracing import Tracer

    hide(monkeypatch, "otel")
    assert not Tracer.from_environment({"OTEL_TRACES_EXPORTER": "otlp"}, 1.0).enabled
    assert "pip install 'driftline[otel]'" in caplog.text


def test_a_module_inside_a_missing_package_is_missing(monkeypatch):
    monkeypatch.setitem(EXTRAS, "otel", ("no_such_package.inside",))
    with pytest.raises(MissingExtraError, match=r"tracing needs no_such_package\.inside, which is not installed"):
        require("otel", "tracing")
