"""What is shipped to run elsewhere agrees with the program: metrics, settings, commands, paths and flags."""

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from engine.api.settings import load_serve
from engine.cli.app import app
from engine.runtime.supervisor import DRAIN_KILL_S
from engine.settings import CoordinatorSettings, RegionSettings, load_either
from engine.telemetry.metrics import Metrics
from federation.flower.process_supervisor import STOP_S
from tests.support.paths import ROOT

DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm" / "driftline"
DASHBOARD = json.loads((DEPLOY / "grafana" / "driftline.json").read_text("utf-8"))
RULES = [
    rule for group in yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text("utf-8"))["groups"]
    for rule in group["rules"]
]  # fmt: skip
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


def known_series() -> set[str]:
    table = Metrics()
    series: set[str] = set()
    for spec in table.specs:
        suffixes = ("_bucket", "_sum", "_count") if spec.kind == "histogram" else ("",)
        series |= {f"{spec.sample}{suffix}" for suffix in suffixes}
    return series


def expressions() -> list[tuple[str, str]]:
    panels = [(p["title"], t["expr"]) for p in DASHBOARD["panels"] for t in p.get("targets", ())]
    notes = [(a["name"], a["expr"]) for a in DASHBOARD["annotations"]["list"]]
    return [*panels, *notes, *((rule["alert"], rule["expr"]) for rule in RULES)]


@pytest.mark.parametrize(("where", "expression"), expressions())
def test_every_series_that_is_queried_exists(where, expression):
    names = set(re.findall(r"\bdriftline_\w+", expression))
    assert names <= known_series(), where


def test_every_label_that_is_queried_exists():
    labels = {"le", "instance", "job"} | {label for spec in Metrics().specs for label in spec.labels}
    for where, expression in expressions():
        for names in re.findall(r"\bby \(([\w, ]+)\)", expression):
            assert set(names.split(", ")) <= labels, where
        assert set(re.findall(r"[{,](\w+)=~?\"", expression)) <= labels, where


def test_alert_rules_say_what_to_do():
    assert len({rule["alert"] for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule["labels"]["severity"] in {"info", "warning", "critical"}
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_prometheus_accepts_rules_and_configuration():
    for kind, path in (("rules", "alerts.yml"), ("config", "prometheus.yml")):
        done = subprocess.run(
            ["promtool", "check", kind, str(DEPLOY / "prometheus" / path)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def commands_of(text: str) -> list[list[str]]:
    found = re.findall(r"(?:^|[\s/\"])driftline ((?:run|check|federate|serve)\b[^\n\"]*)", text)
    return [line.split() for line in found]


def check_command(words: list[str]) -> None:
    command = get_command(app)
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word.split("=")[0] for word in words if word.startswith("--")} <= known


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_units_call_commands_that_exist_and_keep_to_their_folders(unit):
    text = unit.read_text("utf-8")
    lines = dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    commands = commands_of("\n".join(value for key, value in lines.items() if key.startswith("Exec")))
    assert commands
    for words in commands:
        check_command(words)
    places = set(re.findall(r"(?<![\w.:/])/[\w/.@%-]+", "\n".join(lines.values())))
    allowed = ("/etc/driftline/", "/opt/driftline/bin/driftline", "/var/lib/driftline", "/var/cache/driftline")
    assert not [place for place in places if not place.startswith(allowed)]
    # A drain takes `drain_s` and the supervisor two seconds more; systemd may kill only after that. Coordinator and
    # node stop their programs one after the other.
    drain_s = RegionSettings.model_fields["drain_s"].default + 2
    stop_s = 2 * STOP_S + DRAIN_KILL_S if "driftline federate" in text else 0.0
    assert float(lines["TimeoutStopSec"]) > max(drain_s, stop_s)
    assert lines["StartLimitIntervalSec"] == "0", "systemd gives up after five starts in ten seconds otherwise"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_systemd_knows_every_key_of_the_units(unit, tmp_path):
    copy = tmp_path / unit.name.replace("@.", "@eu.")
    text = re.sub(r"^(Exec\w+)=\S+", r"\1=/bin/true", unit.read_text("utf-8"), flags=re.MULTILINE)
    copy.write_text(re.sub(r"^(User|Group)=.*\n", "", text, flags=re.MULTILINE), "utf-8")
    done = subprocess.run(["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, check=False)
    problems = [line for line in done.stderr.splitlines() if copy.name in line]
    assert not problems


def region_of(text: str, folder: Path) -> RegionSettings | CoordinatorSettings:
    path = folder / "region.toml"
    path.write_text(text, "utf-8")
    return load_either(path)


def test_the_compose_file_runs_what_it_ships(tmp_path):
    compose = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text("utf-8"))
    assert set(compose["services"]) >= {"kafka", "postgres", "engine", "console", "prometheus", "grafana"}
    built = {service["image"] for service in compose["services"].values() if "build" in service}
    for service in compose["services"].values():
        assert service["image"] in built or re.fullmatch(r"[\w./-]+:[\w.-]+", service["image"])
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in compose["volumes"] or (DEPLOY / "compose" / source).exists(), volume
    for service in (compose["services"][name] for name in ("engine", "console")):
        assert service["read_only"] is True
        check_command(list(service["command"]))
    settings = region_of((DEPLOY / "compose" / "region.toml").read_text("utf-8"), tmp_path)
    assert isinstance(settings, RegionSettings)
    topics = {
        settings.source.topic,
        settings.dead_letters.topic,
        *(s.topic for s in settings.sinks if s.type == "kafka"),
    }
    created = compose["services"]["topics"]["entrypoint"][-1]
    assert all(topic in created for topic in topics)
    serve = load_serve(DEPLOY / "compose" / "serve.toml")
    assert compose["services"]["console"]["ports"] == [f"127.0.0.1:{serve.listen.port}:{serve.listen.port}"]
    assert settings.rollup_store is not None
    assert serve.store is not None
    assert serve.store.url == settings.rollup_store.url


def test_the_scrape_configuration_finds_the_engine():
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text("utf-8"))
    port = RegionSettings.model_fields["telemetry"].default_factory().port  # type: ignore[call-arg, misc]
    assert config["scrape_configs"][0]["static_configs"][0]["targets"] == [f"engine:{port}"]
    assert all((DEPLOY / "prometheus" / name).is_file() for name in config["rule_files"])


def test_the_image_runs_without_root_and_checks_its_health():
    text = (DEPLOY / "docker" / "Dockerfile").read_text("utf-8")
    stages = text.split("\nFROM ")
    assert len(stages) == 4
    assert re.search(r"^USER (?!0\b|root\b)\S+", stages[-1], re.MULTILINE)
    assert "HEALTHCHECK" in stages[-1]
    assert "/healthz" in stages[-1]
    assert "COPY --from=console /src/engine/console engine/console" in stages[-2]
    extras = re.search(r"^ARG EXTRAS=(\S+)$", text, re.MULTILINE)
    known = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    assert extras is not None
    assert set(extras[1].split(",")) <= set(known)


def test_the_chart_carries_a_region_that_loads(tmp_path):
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    settings = region_of(values["region"], tmp_path)
    assert isinstance(settings, RegionSettings)
    assert settings.telemetry.host == "0.0.0.0"
    templates = "".join(path.read_text("utf-8") for path in (CHART / "templates").glob("*"))
    assert set(re.findall(r"\.Values\.(\w+)", templates)) == set(values)
    template = (CHART / "templates" / "statefulset.yaml").read_text("utf-8")
    for words in commands_of(template):
        check_command(words)


def helm(*arguments: str) -> str:
    done = subprocess.run(["helm", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.skipif(shutil.which("helm") is None, reason="helm is not installed")
@pytest.mark.parametrize("kubernetes", ["1.27.0", "1.34.0"])
def test_helm_accepts_the_chart(kubernetes, tmp_path):
    # A helm that was built without its release flags renders for Kubernetes 1.20 unless a version is named.
    version = f"--kube-version={kubernetes}"
    helm("lint", "--strict", version, str(CHART))
    values = ["workers=3", "secretName=secrets", "persistence.storageClassName=fast", "nodeSelector.disk=ssd"]
    rendered = helm("template", "check", version, *(f"--set={value}" for value in values), str(CHART))
    found = {document["kind"]: document for document in yaml.safe_load_all(rendered)}
    assert set(found) == {"ConfigMap", "Service", "StatefulSet"}
    assert isinstance(region_of(found["ConfigMap"]["data"]["region.toml"], tmp_path), RegionSettings)
    pods = found["StatefulSet"]["spec"]
    assert pods["replicas"] == 3
    assert pods["selector"]["matchLabels"] == found["Service"]["spec"]["selector"]
    assert pods["selector"]["matchLabels"].items() <= pods["template"]["metadata"]["labels"].items()
    (engine,) = pods["template"]["spec"]["containers"]
    assert "--of 3" in engine["args"][0]
    assert engine["envFrom"] == [{"secretRef": {"name": "secrets"}}]
    volumes = {volume["name"] for volume in pods["template"]["spec"]["volumes"]}
    claims = {claim["metadata"]["name"] for claim in pods["volumeClaimTemplates"]}
    assert {mount["name"] for mount in engine["volumeMounts"]} == volumes | claims


@pytest.mark.parametrize("path", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda path: path.name)
def test_workflows_run_commands_that_exist(path):
    jobs = yaml.safe_load(path.read_text("utf-8"))["jobs"]
    for job in jobs.values():
        assert job["runs-on"].startswith("ubuntu-")
        for step in job["steps"]:
            assert ("run" in step) != ("uses" in step)
    text = path.read_text("utf-8")
    for name in re.findall(r"(?<![\w/.])(?:\.ci|deploy)/[\w./-]+", text):
        assert (ROOT / name).exists(), name
