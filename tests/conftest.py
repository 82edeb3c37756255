"""Fixtures that several folders need: the data folder, a broker, a PostgreSQL server."""

import gc
import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from connectors.broker import EmbeddedBroker
from connectors.ports import free_port
from tests.support.apache_kafka import ApacheKafka, new_kafka

# The same examples in every run; how long one takes depends on the machine and is not judged.
settings.register_profile(
    "fixed", deadline=None, derandomize=True, max_examples=40, suppress_health_check=[HealthCheck.too_slow]
)  # fmt: skip
settings.register_profile(
    "random", parent=settings.get_profile("fixed"), derandomize=False, max_examples=100, print_blob=True
)
settings.load_profile(os.environ.get("DRIFTLINE_HYPOTHESIS", "fixed"))

_TOPICS = itertools.count(1)

# What the imports and the collected tests make stays to the end; looking for garbage in it time and again would cost a
# fifth of the collection and a tenth of a run.
gc.disable()


def pytest_collection_finish() -> None:
    """See above."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Iterator[None]:
    """Escape logged bytes that are not UTF-8, which pytest-xdist cannot transfer."""
    report = yield
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
    return report


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of public log data; tests that need it are skipped where it is not."""
    folder = os.environ.get("DRIFTLINE_DATA_DIR", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip(f"DRIFTLINE_DATA_DIR={folder!r} is not a folder; it should hold the public log data")
    return Path(folder)


@pytest.fixture(scope="session")
def embedded_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    """One embedded broker for all tests."""
    with EmbeddedBroker(log_path=tmp_path_factory.mktemp("broker") / "broker.log") as started:
        yield started


@pytest.fixture(scope="session")
def apache_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    """One Apache Kafka for all tests; tests that need it are skipped where it is missing."""
    with new_kafka(tmp_path_factory.mktemp("kafka")) as started:
        yield started


@pytest.fixture(scope="session")
def broker(embedded_broker: EmbeddedBroker) -> EmbeddedBroker:
    """The broker that `new_topic` makes topics in; a file may override it to run on both."""
    return embedded_broker


@pytest.fixture
def new_topic(broker: EmbeddedBroker) -> Iterator[Callable[[int], str]]:
    """Makes topics with a name of their own, deleted after the test."""
    made: list[str] = []

    def make(partitions: int = 1) -> str:
        name = f"t{os.getpid()}-{next(_TOPICS)}"
        broker.create_topic(name, partitions)
        made.append(name)
        return name

    yield make
    for name in made:
        broker.delete_topic(name)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of a private PostgreSQL server on loopback, run by a user that is not root."""
    binaries = _postgres_binaries()
    if binaries is None:
        reason = "no PostgreSQL server here: initdb and postgres are neither in /usr/lib/postgresql nor on PATH"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="driftline-pg-", dir="/tmp"))
    user = "postgres" if _has_user("postgres") else "nobody"
    as_user = ["runuser", "-u", user, "--"] if os.geteuid() == 0 else []
    if as_user:
        shutil.chown(folder, user)
    data, port = folder / "data", free_port()
    initdb = [*as_user, str(binaries / "initdb"), "-D", str(data), "-U", "driftline", "-A", "trust", "-N", "-E", "UTF8"]
    initdb.append("--no-locale")  # the one that is set here may not be installed
    subprocess.run(initdb, check=True, capture_output=True, cwd=folder)
    options = f"-c listen_addresses=127.0.0.1 -p {port} -k {folder} -c fsync=off"
    control = [*as_user, str(binaries / "pg_ctl"), "-D", str(data), "-w", "-t", "120"]
    subprocess.run([*control, "-l", str(folder / "log"), "-o", options, "start"], check=True, cwd=folder)
    try:
        yield f"postgresql+psycopg://driftline@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], check=True, capture_output=True, cwd=folder)
        shutil.rmtree(folder)


@pytest.fixture
def postgres_url(postgres_server: str) -> str:
    """The same server, emptied of every schema."""
    import sqlalchemy as sa

    engine = sa.create_engine(postgres_server)
    with engine.begin() as connection:
        for name in sa.inspect(connection).get_schema_names():
            if name != "information_schema":
                connection.exec_driver_sql(f'DROP SCHEMA "{name}" CASCADE')
        connection.exec_driver_sql("CREATE SCHEMA public")
    engine.dispose()
    return postgres_server


def _postgres_binaries() -> Path | None:
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    on_path = shutil.which("initdb")
    folders += [Path(on_path).resolve().parent] if on_path else []
    return next((f for f in folders if (f / "initdb").exists() and (f / "postgres").exists()), None)


def _has_user(name: str) -> bool:
    import pwd

    return any(entry.pw_name == name for entry in pwd.getpwall())
