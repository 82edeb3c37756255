"""How the SuperLink is started, and what becomes of a run: the files decide, an unreadable one ends nothing early."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from connectors.ports import free_port
from federation.errors import RoundFailedError, SetupError, StorageError
from federation.flower import keys
from federation.flower import superlink as module
from federation.flower.settings import SuperLinkSettings
from federation.flower.superlink import GRACE_S, SuperLink, _command
from federation.round import round_files
from federation.round.result import RoundResult
from federation.round.round_files import RoundPlan
from tests.support.fleet import kill, until
from tests.support.prepared import SPEC, WEIGHTS, settings

RESULT = RoundResult(
    round_id="r1", weights={"w": np.zeros(2, np.float32)}, threshold=0.5, accepted=True, reason="better", figures=(),
    participants=("eu",),
)  # fmt: skip

TLS = {"certificate": "server.crt", "certificate_key": "server.key", "authority": "ca.crt"}


@pytest.fixture
def pem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder `keys` with the files of `TLS`; the current folder is the one above."""
    folder = tmp_path / "keys"
    folder.mkdir()
    for name in TLS.values():
        (folder / name).write_text("PEM")
    monkeypatch.chdir(tmp_path)
    return folder


def named(*settings: str) -> SuperLinkSettings:
    """Settings that name files from the current folder."""
    files = {setting: Path("keys") / TLS[setting] for setting in settings}
    return SuperLinkSettings.model_validate({"folder": Path("superlink"), **files})


def test_files_named_from_the_current_folder_are_found_from_any(
    pem: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = named(*TLS)
    monkeypatch.chdir("/")
    made = SuperLink(settings)
    command = list(made.program.command)
    given = [command[command.index(option) + 1] for option in ("--ssl-certfile", "--ssl-keyfile", "--ssl-ca-certfile")]
    assert given == [str(pem / name) for name in TLS.values()]
    assert command[command.index("--database") + 1] == str(tmp_path / "superlink" / "superlink.db")
    assert made.executor.command[-2:] == [str(tmp_path / "superlink" / "secret"), str(pem / "ca.crt")]
    assert "--enable-supernode-auth" in command
    assert "--insecure" not in command


@pytest.mark.parametrize("without", TLS)
def test_two_of_three_files_are_refused(pem: Path, without: str) -> None:
    with pytest.raises(SetupError, match="go together"):
        _command(named(*(TLS.keys() - {without})), pem / "secret")


class Alive:
    alive = steady = True

    def __init__(self) -> None:
        self.reported = 0

    def end(self) -> None:
        """It continues."""
        self.reported += 1

    def last_output(self) -> str:
        return "-"

    def watch(self) -> bool:
        return False


class FakeControl:
    """A control interface that answers every call and keeps the registered keys."""

    def __init__(self, faults: int = 0) -> None:
        self.faults = faults
        self.registered: list[tuple[bytes, str]] = []

    def nodes(self) -> tuple[()]:
        return ()

    def register(self, key: bytes, region: str) -> None:
        self.registered.append((key, region))
        if len(self.registered) <= self.faults:
            raise SetupError("the SuperLink does not answer")

    def submit(self, folder: Path) -> int:
        return 1

    def outcome(self, run_id: int) -> str | None:
        return None

    def stop(self, run_id: int) -> None:
        """The run is stopped."""


def link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_each_look: Any) -> SuperLink:
    """A SuperLink whose programs run, and whose run does `at_each_look` between two looks; only those take time."""
    now_s = [1_000.0]

    def sleep(seconds: float) -> None:
        now_s[0] += seconds
        at_each_look(seconds)

    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now_s[0]))
    made = SuperLink(SuperLinkSettings.model_validate({"folder": tmp_path / "superlink"}), sleep=sleep)
    for name, value in {"program": Alive(), "executor": Alive(), "watch": lambda: False}.items():
        monkeypatch.setattr(made, name, value)
    monkeypatch.setattr(made, "control", FakeControl())
    return made


def plan(deadline_s: float) -> RoundPlan:
    return RoundPlan(round_id="r1", settings=settings(deadline_s=deadline_s), spec=SPEC, threshold=0.4)


def test_the_server_app_ends_before_the_deadline_so_that_it_can_say_who_was_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, reported = tmp_path / "r1", []

    def look(seconds: float) -> None:
        reported.append(round_files.read_plan(folder)[0].settings.deadline_s)
        round_files.write_failure(folder, "step 4: 1 regions of 2 needed", ["us"])

    with pytest.raises(RoundFailedError, match="step 4") as failed:
        link(tmp_path, monkeypatch, look).run(folder, plan(100.0), WEIGHTS)
    assert reported == [100.0 - GRACE_S]
    assert failed.value.present == ("us",)


def test_files_that_cannot_be_read_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, faults = tmp_path / "r1", [OSError(5, "Input/output error"), PermissionError(13, "Permission denied")]
    read, steps = Path.read_bytes, []

    def flaky(path: Path) -> bytes:
        if path.name == round_files.RESULT and faults:
            raise faults.pop()
        return read(path)

    def look(seconds: float) -> None:
        round_files.add_step(folder, f"look {len(faults)}", {})
        if not faults:
            round_files.write_result(folder, RESULT)

    monkeypatch.setattr(Path, "read_bytes", flaky)
    result = link(tmp_path, monkeypatch, look).run(folder, plan(100.0), WEIGHTS, lambda step: steps.append(step.name))
    assert result.participants == ("eu",)
    assert steps == ["look 1", "look 0"]


def test_what_stays_unreadable_is_named_at_the_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "r1"

    def look(seconds: float) -> None:
        (folder / round_files.STEPS).write_text("no JSON\n")

    with pytest.raises(RoundFailedError, match=r"no result after 0.2 s and was stopped; the steps .* cannot be read"):
        link(tmp_path, monkeypatch, look).run(folder, plan(0.2), WEIGHTS)


@pytest.mark.parametrize("said", [None, "eu", "ap eu"])
def test_of_a_round_that_hangs_in_its_server_is_known_who_had_answered_by_its_last_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str | None
) -> None:
    folder = tmp_path / "r1"

    def look(seconds: float) -> None:
        if said and not (folder / round_files.STEPS).exists():
            round_files.add_step(folder, "hello", {"present": "ap eu us"})
            round_files.add_step(folder, "pass", {"present": said})

    with pytest.raises(RoundFailedError, match=r"no result after 0.2 s and was stopped$") as failed:
        link(tmp_path, monkeypatch, look).run(folder, plan(0.2), WEIGHTS)
    assert failed.value.present == (tuple(said.split()) if said else None)


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"the round's folder .*file/r1 cannot be written"):
        link(tmp_path, monkeypatch, lambda seconds: None).run(tmp_path / "file" / "r1", plan(9.0), WEIGHTS)


def test_a_database_beyond_its_bound_is_deleted_and_the_keys_are_registered_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "MAX_DATABASE_BYTES", 1000)
    made, control = SuperLink(SuperLinkSettings.model_validate({"folder": tmp_path})), FakeControl(faults=1)
    made._registered = {b"key": "eu"}
    for name in ("superlink.db", "superlink.db-wal"):
        (tmp_path / name).write_bytes(b"x" * 400)
    made._bound_database()
    assert (tmp_path / "superlink.db").exists()
    (tmp_path / "superlink.db-wal").write_bytes(b"x" * 800)
    made._bound_database()
    assert list(tmp_path.iterdir()) == []
    assert "is deleted" in caplog.text
    for name, value in {"control": control, "program": Alive(), "executor": Alive()}.items():
        monkeypatch.setattr(made, name, value)
    for _ in range(4):
        made.watch()
    assert control.registered == [(b"key", "eu")] * 2, "until it worked, and not again"


@pytest.mark.parametrize(("size", "reported"), [(900, 0), (1100, 1)])
def test_a_run_that_broke_off_ends_a_superlink_whose_database_outgrew_its_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, reported: int
) -> None:
    made, program = link(tmp_path, monkeypatch, lambda seconds: None), Alive()
    monkeypatch.setattr(module, "MAX_DATABASE_BYTES", 1000)
    monkeypatch.setattr(made, "program", program)
    monkeypatch.setattr(made, "watch", lambda: True)
    (tmp_path / "superlink").mkdir()
    (tmp_path / "superlink" / "superlink.db").write_bytes(b"x" * size)
    with pytest.raises(RoundFailedError, match="died during the run"):
        made.run(tmp_path / "r1", plan(9.0), WEIGHTS)
    assert program.reported == reported


@pytest.mark.process
def test_a_superlink_with_a_new_database_knows_the_regions_keys_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_DATABASE_BYTES", 1000)
    keys.make_authority(tmp_path / "keys")
    keys.make_server_certificate(tmp_path / "keys", ["127.0.0.1"])
    keys.make_node_key(tmp_path / "keys", "eu")
    given = {name: tmp_path / "keys" / file for name, file in TLS.items()}
    values = {"folder": tmp_path / "superlink", "port": free_port(), **given}
    with SuperLink(SuperLinkSettings.model_validate(values)) as made:
        for region, key in keys.node_keys(tmp_path / "keys").items():
            made.register(key, region)
        first = made.nodes()
        assert [node.name for node in first] == ["eu"]
        kill(made.program.pid)

        def known_again() -> bool:
            made.watch()
            return made.program.starts == 2 and made.ready() and [node.name for node in made.nodes()] == ["eu"]

        until("the key is known to the new database", known_again)
        assert made.nodes()[0].node_id != first[0].node_id, "it is another database"
