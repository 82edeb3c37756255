"""What holds for the project as a whole: names, sizes, documents, and no trace of one machine."""

import ast
import re
import subprocess
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import prometheus_client
import pytest

from engine.telemetry import metrics

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("engine", "federation", "connectors", "models", "foundation", "driftline")
MAX_LINES = 400


def tracked(*patterns: str) -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z", "--", *patterns], cwd=ROOT, capture_output=True, check=False)
    if listing.returncode:  # a source archive has no repository
        found = [path for pattern in patterns or ("*",) for path in ROOT.rglob(pattern) if path.is_file()]
        return [path for path in found if ".venv" not in path.parts]
    return [ROOT / name for name in listing.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


def names(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


def documents(language: str) -> list[tuple[str, str]]:
    """Every fenced block of a language in the documentation, with its place."""
    fence = re.compile(rf"^```{language}\n(.*?)^```", re.MULTILINE | re.DOTALL)
    return [
        (f"{path.relative_to(ROOT)}:{text.count(chr(10), 0, block.start()) + 1}", block[1])
        for path in tracked("*.md")
        for text in [path.read_text("utf-8")]
        for block in fence.finditer(text)
    ]


def test_no_other_distribution_owns_our_names():
    owners = packages_distributions()
    assert {owner for package in PACKAGES for owner in owners.get(package, [])} <= {"driftline"}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_says_that_it_is_typed(package):
    assert (ROOT / package / "py.typed").is_file()


def test_the_distribution_holds_these_packages_and_no_others():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) == set(PACKAGES)


def test_no_file_is_too_long():
    lengths = {str(p.relative_to(ROOT)): len(p.read_text("utf-8").splitlines()) for p in tracked("*.py")}
    assert not {name: n for name, n in lengths.items() if n > MAX_LINES}


def test_a_public_class_name_has_one_meaning():
    places: dict[str, list[str]] = {}
    classes = set()
    for path in tracked("*.py"):
        name = path.relative_to(ROOT)
        if name.parts[0] not in (*PACKAGES, "bench"):
            continue
        for node in ast.parse(path.read_text("utf-8")).body:
            match node:
                case ast.ClassDef(name=found):
                    classes.add(found)
                case ast.Assign(targets=[ast.Name(id=found)]) if found[0].isupper() and not found.isupper():
                    pass  # another name for a type
                case _:
                    continue
            if not found.startswith("_"):
                places.setdefault(found, []).append(f"{name}:{node.lineno}")
    assert len(classes) > 500
    assert not {found: at for found, at in places.items() if found in classes and len(at) > 1}


def test_no_file_names_a_place_of_one_machine():
    place = re.compile(r"(?<![\w.])/(?:work|home|root|Users)/|file:///")
    texts = tracked("*.py", "*.md", "*.toml", "*.sh", "*.json", "*.yaml", "Makefile", ".ci/*", ".importlinter")
    guilty = [p for p in texts if p != Path(__file__).resolve() and place.search(p.read_text("utf-8"))]
    assert not names(guilty)


def test_every_metric_is_documented_as_it_is():
    page = (ROOT / "docs" / "metrics.md").read_text("utf-8")
    listed = [line for line in page.splitlines() if line.startswith("| `driftline_")]
    rows = [
        f"| `{s.sample}` | {s.kind} | {s.unit} | {', '.join(f'`{label}`' for label in s.labels)} | {s.help} |"
        for s in metrics.Metrics().specs
    ]
    assert listed == rows


def test_every_metric_is_published_somewhere():
    table = metrics.Metrics()
    kinds = (prometheus_client.Counter, prometheus_client.Gauge, prometheus_client.Info, metrics.Histogram)
    attributes = [name for name, value in vars(table).items() if isinstance(value, kinds)]
    assert len(attributes) == len(table.specs)
    # `bad_lines` goes through `count_bad_lines`, which bounds its labels.
    own = {"bad_lines": "count_bad_lines"}
    text = "\n".join(path.read_text("utf-8") for path in tracked("engine/*.py"))
    unused = [name for name in attributes if not re.search(rf"metrics\.{own.get(name, name)}\b", text)]
    assert not unused


def test_every_make_target_explains_itself():
    text = (ROOT / "Makefile").read_text("utf-8")
    phony = set(re.findall(r"^\.PHONY: (\w+)$", text, re.MULTILINE))
    explained = set(re.findall(r"^(\w+):.*## \S", text, re.MULTILINE))
    assert {"help", "install", "demo", "test", "check", "bench", "clean"} <= phony
    assert phony == explained


@pytest.mark.parametrize(("place", "code"), documents("python"))
def test_python_in_documents_is_python(place, code):
    compile(code, place, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize(("place", "text"), documents("toml"))
def test_settings_in_documents_are_accepted(place, text, tmp_path):
    from engine.api.settings import load_serve
    from engine.runtime.forward import load_forward
    from engine.settings import load_either

    path = tmp_path / "from-a-document.toml"
    path.write_text(text, "utf-8")
    if "[files]" in text:
        assert load_forward(path, {}), place
        return
    assert (load_serve if "[listen]" in text else load_either)(path), place


def test_links_in_documents_lead_somewhere():
    broken = []
    for page in tracked("*.md"):
        for target in re.findall(r"\]\((?!https?:|mailto:|#)([^)#]+)", page.read_text("utf-8")):
            if not (page.parent / target).exists():
                broken.append(f"{page.relative_to(ROOT)}: {target}")
    assert not broken


def test_files_that_the_documents_name_exist():
    named = {
        (page.relative_to(ROOT).as_posix(), name)
        for page in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))
        for name in re.findall(
            r"`((?:engine|connectors|models|bench|federation|foundation|docs|tests)/[\w./-]+)`", page.read_text("utf-8")
        )
    }
    assert len(named) > 20
    assert not sorted((page, name) for page, name in named if not (ROOT / name).exists())
