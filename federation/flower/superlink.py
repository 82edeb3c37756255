"""Flower's SuperLink under supervision, and rounds as runs on it.

The outcome of a run is a file (`federation.round.round_files`): Flower reports a run as completed regardless of
its result, and as running while its ServerApp hangs. `run` therefore waits for the file, asks Flower for
the state of the run meanwhile, and gives up at a hard deadline:

1. Programs that have ended before are restarted first. The plan is written, then the run is submitted.
2. The result is there: done.
3. The SuperLink or the executor of its runs died: they are restarted; the round has failed.
4. Flower reports that the run has ended, and no result came within `GRACE_S`: the round has failed.
5. The deadline is over: the run is stopped; the round has failed.
"""

import functools
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from federation.errors import RoundFailedError, SetupError, StorageError
from federation.flower.environment import flower_environment, flower_program, python_module, write_secret
from federation.flower.process_supervisor import Program
from federation.flower.settings import SuperLinkSettings
from federation.protocol.records import Weights
from federation.round import round_files
from federation.round.result import RoundResult

if TYPE_CHECKING:
    from federation.flower.control import Control, KnownNode

log = logging.getLogger(__name__)

DATABASE = "superlink.db"

MAX_DATABASE_BYTES = 512_000_000
"""Size of the SuperLink's database at which it is deleted before the next start. A run that breaks off leaves its
messages there. Nothing in it is needed later: the ledger is elsewhere, and keys are registered again."""

POLL_S = 0.1
STATUS_S = 2.0
"""Time between two questions for the state of a run."""

GRACE_S = 5.0
"""Time from the end of a run until its result must be there; it is written before the run ends."""

REPORT_SHARE = 0.1
"""Share of a short deadline that the ServerApp has, instead of `GRACE_S`, to report how far it came."""

START_S = 60.0


class SuperLink:
    """Call `start`, then `run` for each round; `watch` often in between; `stop`."""

    def __init__(self, settings: SuperLinkSettings, *, sleep: Callable[[float], None] = time.sleep) -> None:
        """Start nothing yet.

        Raises:
            SetupError: only some of certificate, its key and the authority are given, or one is not a file.
        """
        self._settings = settings
        self._sleep = sleep
        self._folder = settings.folder
        self.address = f"127.0.0.1:{settings.port}"
        self._secret = self._folder / "secret"
        environment = flower_environment(self._folder / "flower")
        self.program = Program(
            "SuperLink", _command(settings, self._secret), environment, self._folder / "superlink.log",
            before=self._bound_database,
        )  # fmt: skip
        authority = [] if settings.authority is None else [str(settings.authority)]
        executor = python_module("federation.flower.executor", "server", self.address, str(self._secret), *authority)
        self.executor = Program("executor", executor, environment, self._folder / "executor.log")
        self._registered: dict[bytes, str] = {}
        self._database_deleted = False

    @functools.cached_property
    def control(self) -> "Control":
        """The client of its control interface."""
        # Flower is an extra, and `driftline check` reads the settings without it.
        from federation.flower.control import Control

        return Control(self.address, self._settings.authority, secure=self._settings.secure)

    def start(self) -> "SuperLink":
        """Start it and wait until it answers.

        Raises:
            SetupError: it does not answer within `START_S`; the message ends with its output.
        """
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_secret(self._secret)
        self.program.start()
        self.executor.start()
        self._wait_until_ready()
        return self

    def stop(self) -> None:
        """End it, and every run on it."""
        self.control.close()
        self.executor.stop()
        self.program.stop()

    def __enter__(self) -> "SuperLink":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def watch(self) -> bool:
        """Check SuperLink and executor once and restart one that has ended; True if one ended since the last check."""
        ended = self.program.watch()
        if ended:
            self.control.close()
            self.executor.end()  # its run cannot be completed
        if self._database_deleted and self.program.steady and self.ready():
            self._register_again()
        return self.executor.watch() or ended

    def ready(self) -> bool:
        """Whether it answers now."""
        try:
            self.nodes()
        except SetupError:
            return False
        return True

    def nodes(self) -> "tuple[KnownNode, ...]":
        """The nodes that are registered with the SuperLink.

        Raises:
            SetupError: it does not answer.
        """
        return self.control.nodes()

    def register(self, public_key: Path, region: str) -> None:
        """Let the node with this key take part under the name of its region; a known key is not registered again.

        Raises:
            SetupError: the file holds no such key, or the SuperLink refuses.
        """
        from federation.flower.control import read_public_key

        key = read_public_key(public_key)
        self._registered[key] = region
        if key not in {node.public_key for node in self.nodes()}:
            self.control.register(key, region)

    def _bound_database(self) -> None:
        """Delete a database that is too large; called before each start."""
        if self._database_too_large():
            log.warning("the SuperLink's database is larger than %g MB and is deleted", MAX_DATABASE_BYTES / 1e6)
            for file in self._folder.glob(f"{DATABASE}*"):
                file.unlink()
            self._database_deleted = bool(self._registered)

    def _database_too_large(self) -> bool:
        return sum(file.stat().st_size for file in self._folder.glob(f"{DATABASE}*")) > MAX_DATABASE_BYTES

    def _broken_off(self, reason: str) -> RoundFailedError:
        """The failure of a run that was not stopped; its messages stay in the database."""
        if self._database_too_large():
            self.program.end()
        return RoundFailedError(reason)

    def _register_again(self) -> None:
        try:
            for key, region in self._registered.items():
                self.control.register(key, region)
            self._database_deleted = False
        except SetupError as error:
            log.warning("the nodes' keys are not registered again yet: %s", error)

    def run(
        self, folder: Path, plan: round_files.RoundPlan, weights: Weights,
        report: Callable[[round_files.StepReport], None] = lambda step: None,
    ) -> RoundResult:  # fmt: skip
        """Run a round and return its result; the numbered steps are those of the module.

        Args:
            folder: Folder of the round, absolute; see `federation.round.round_files`.
            plan: What is to be done; its `deadline_s` is kept.
            weights: Weights to start from.
            report: Called with each step soon after it is done, in order.

        Raises:
            RoundFailedError: there is no candidate; the message names the reason.
            StorageError: the round's folder cannot be written.
        """
        deadline_s = plan.settings.deadline_s
        end_s = time.monotonic() + deadline_s
        self._wait_until_steady(end_s)  # 1
        # The ServerApp ends shortly before: only it has the list of silent regions.
        left_s = max(end_s - time.monotonic() - min(GRACE_S, REPORT_SHARE * deadline_s), POLL_S)
        inner = plan.settings.model_copy(update={"deadline_s": round(left_s, 1)})
        round_files.write_plan(folder, plan.model_copy(update={"settings": inner}), weights)
        try:
            run_id = self.control.submit(folder)
        except SetupError as error:
            raise RoundFailedError(f"the run could not be submitted: {error}") from error
        return self._result(run_id, folder, end_s, f"{deadline_s:g} s", report)

    def _result(
        self, run_id: int, folder: Path, end_s: float, deadline: str, report: Callable[[round_files.StepReport], None]
    ) -> RoundResult:
        """Steps 2 to 5."""
        ended_s, asked_s, unreadable, reason = None, time.monotonic(), "", ""
        steps: tuple[round_files.StepReport, ...] = ()
        while True:
            try:
                reported, steps = len(steps), round_files.read_steps(folder)
                for step in steps[reported:]:
                    report(step)
                result, unreadable = round_files.read_result(folder), ""  # 2
            except StorageError as error:
                result, unreadable = None, f"; {error}"  # it may be readable later
            if result is not None:
                return result
            if self.watch() or not self.program.alive:  # 3
                raise self._broken_off(f"the SuperLink or its executor died during the run; {self._last_output()}")
            now_s = time.monotonic()
            if ended_s is None and now_s - asked_s > STATUS_S:
                asked_s, ended = now_s, self._ended(run_id)
                ended_s, reason = (now_s, ended) if ended is not None else (None, "")
            if ended_s is not None and now_s - ended_s > GRACE_S:  # 4
                raise self._broken_off(f"the run ended without a result: {reason}{unreadable}")
            if now_s > end_s:  # 5
                self._stop_run(run_id)
                self.executor.end()  # it may hang in this run, and must be free for the next one
                # The ServerApp reports nothing any more: regions that its last step does not name were silent.
                present = str(steps[-1].figures.get("present", "")).split() if steps else None
                raise RoundFailedError(f"the round had no result after {deadline} and was stopped{unreadable}", present)
            self._sleep(POLL_S)

    def _wait_until_steady(self, end_s: float) -> None:
        """Wait until both programs run, so that an end in an earlier round is not counted in this one."""
        while not (self.program.steady and self.executor.steady and self.ready() and not self._database_deleted):
            self.watch()
            if time.monotonic() > end_s:
                raise RoundFailedError(f"the SuperLink did not restart in time; {self._last_output()}")
            self._sleep(POLL_S)

    def _ended(self, run_id: int) -> str | None:
        """How the run ended, or None while it is running or the SuperLink does not answer."""
        try:
            return self.control.outcome(run_id)
        except SetupError as error:
            log.warning("the state of run %s is unknown: %s", run_id, error)
            return None

    def _stop_run(self, run_id: int) -> None:
        try:
            self.control.stop(run_id)
        except SetupError as error:
            log.warning("run %s could not be stopped: %s", run_id, error)

    def _last_output(self) -> str:
        return f"their output: {self.program.last_output()} / {self.executor.last_output()}"

    def _wait_until_ready(self) -> None:
        end_s = time.monotonic() + START_S
        while time.monotonic() < end_s:
            if not self.program.alive:
                raise SetupError(f"the SuperLink exited immediately: {self.program.last_output()}")
            if self.ready():
                return
            self._sleep(POLL_S)
        raise SetupError(f"the SuperLink did not answer within {START_S:g} s: {self.program.last_output()}")


def _command(settings: SuperLinkSettings, secret: Path) -> list[str]:
    flower_program("flower-superlink")
    command = python_module("federation.flower.superlink_program", "--host", "127.0.0.1", "--port", str(settings.port))
    command += ["--database", str(settings.folder / DATABASE), "--disable-runtime-dependency-installation"]
    command += ["--isolation", "process", "--superexec-auth-secret-file", str(secret)]
    tls = {
        "--ssl-certfile": settings.certificate,
        "--ssl-keyfile": settings.certificate_key,
        "--ssl-ca-certfile": settings.authority,
    }
    if not any(tls.values()):
        return [*command, "--insecure"]
    for path in tls.values():
        if path is None or not path.is_file():
            raise SetupError(f"certificate, certificate_key and authority go together and must be files, got {path}")
    files = [part for option, path in tls.items() for part in (option, str(path))]
    return [*command, *files, "--enable-supernode-auth"]
