"""A simulated log, models trained on it through the command line, and a way to run commands."""

import contextlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest

from engine.cli.app import run_command
from engine.corpus.simulator import simulate

CNN = ["--set", "encoder=hashing:32", "--set", "projection=16", "--set", "filters=8", "--set", 'training={"epochs":4}']


@dataclass(frozen=True, slots=True)
class Ran:
    """The output of a command, and its exit code."""

    code: int
    out: str
    err: str

    def json(self):
        return orjson.loads(self.out)


def _run(*arguments: object) -> Ran:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run_command([str(a) for a in arguments])
    return Ran(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def driftline() -> Callable[..., Ran]:
    """Runs a command line in this process."""
    return _run


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tests keep encoded texts and data."""
    return tmp_path_factory.mktemp("cache")


@contextlib.contextmanager
def _own_environment(cache: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        patch.delenv("DRIFTLINE_DATA_DIR", raising=False)
        yield


# Not for the session: the tests of other folders that run later need the machine's data.
@pytest.fixture(scope="module", autouse=True)
def own_environment(cache: Path) -> Iterator[None]:
    """Encoded texts and data go to a cache of the tests' own; nothing is taken from the machine's folders."""
    with _own_environment(cache):
        yield


@dataclass(frozen=True, slots=True)
class Place:
    """A folder with a labelled log, a store with two models, and two logged runs."""

    folder: Path
    log: Path
    labels: Path
    store: Path
    runs: Path

    @property
    def data(self) -> list[object]:
        return ["--data", self.log, "--labels", self.labels]


def labelled_log(folder: Path, lines: int, anomaly_share: float) -> tuple[Path, Path]:
    """A simulated log in a folder, and the file of its labels."""
    made = simulate(lines, seed=5, anomaly_share=anomaly_share)
    log, labels = folder / "app.log", folder / "labels.csv"
    log.write_bytes(made.data)
    rows = "".join(f"{key},{'Anomaly' if bad else 'Normal'}\n" for key, bad in made.labels.items())
    labels.write_text("BlockId,Label\n" + rows)
    return log, labels


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Place:
    """Made once for all tests, which must not change it."""
    folder = tmp_path_factory.mktemp("place")
    made_place = Place(folder, *labelled_log(folder, 6000, 0.1), folder / "store", folder / "runs")
    common = [*made_place.data, "--store", made_place.store, "--runs", made_place.runs, "--json"]
    for name, own in (("bert_cnn", CNN), ("event_counts", [])):
        with _own_environment(cache):
            ran = _run("train", name, *common, *own)
        assert ran.code == 0, ran.err
    return made_place
