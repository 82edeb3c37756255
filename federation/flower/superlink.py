"""Flower's SuperLink under supervision, and rounds as runs on it.

A run's outcome is a file (`federation.round.round_files`): Flower reports a run as completed whatever became
of the model, and as running while its ServerApp hangs. `run` therefore waits for the file, looks at what
Flower says of the run meanwhile, and gives up at a hard deadline:

1. What has ended before is started again first. The plan is written, then the run is submitted.
2. The result is there: done.
3. The SuperLink or the executor of its runs died: they are started again; the run has failed.
4. Flower says that the run has ended, and no result came within `GRACE_S`: it has failed.
5. The deadline is over: the run is stopped; it has failed.
"""

import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from federation.errors import RoundFailedError, SetupError, StorageError
from federation.flower.app_bundle import bundle
from federation.flower.process_supervisor import (
    AbsolutePath,
    LogFiles,
    Program,
    flower_environment,
    flower_program,
    python_module,
    write_secret,
)
from federation.protocol.records import Weights
from federation.round import round_files
from federation.round.result import RoundResult

log = logging.getLogger(__name__)

DATABASE = "superlink.db"

POLL_S = 0.1
STATUS_S = 2.0
"""Between two questions about the run."""

GRACE_S = 5.0
"""From the end of a run to the moment its result must be there; it is written before the run ends."""

ACCOUNT_SHARE = 0.1
"""Of a short deadline: what the ServerApp keeps back, in place of `GRACE_S`, to say how far it came."""

START_S = 60.0


class SuperLinkSettings(BaseModel):
    """Where the coordinator's SuperLink runs and what it keeps."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: AbsolutePath = Field(description="Its database, its logs and Flower's own files; owned by it alone.")
    port: Annotated[int, Field(ge=1, le=65_535)] = Field(9092, description="On loopback only.")
    certificate: AbsolutePath | None = Field(None, description="Its certificate; without it nothing is encrypted.")
    certificate_key: AbsolutePath | None = Field(None, description="Private key of `certificate`.")
    authority: AbsolutePath | None = Field(
        None, description="Certificate of the authority that signed `certificate`. With the three of them set, only "
        "nodes whose keys are registered may take part.",
    )  # fmt: skip

    database_mb: Annotated[float, Field(gt=0)] = Field(
        512.0, description="Size from which its database is begun anew when it starts, in MB. It holds runs and their "
        "messages, nothing that the coordinator needs: the ledger is elsewhere, and keys are registered again.",
    )  # fmt: skip
    logs: LogFiles = Field(default_factory=LogFiles, description="How much output of its programs is kept.")

    @property
    def secure(self) -> bool:
        """Whether connections are encrypted and nodes have to prove who they are."""
        return self.certificate is not None


@dataclass(frozen=True, slots=True)
class KnownNode:
    """A node as the SuperLink sees it: its id there, the name it was registered by ('' without keys), its state."""

    node_id: int
    name: str
    status: str


class SuperLink:
    """`start`, then `run` rounds; `watch` often in between; `stop`."""

    def __init__(self, settings: SuperLinkSettings, *, sleep: Callable[[float], None] = time.sleep) -> None:
        """Starts nothing yet.

        Raises:
            SetupError: some but not all of certificate, its key and the authority are given, or one is no file.
        """
        self._settings = settings
        self._sleep = sleep
        self._folder = settings.folder
        self.address = f"127.0.0.1:{settings.port}"
        self._secret = self._folder / "secret"
        environment = flower_environment(self._folder / "flower")
        self.program = Program(
            "SuperLink", _command(settings, self._secret), environment, self._folder / "superlink.log",
            logs=settings.logs, before=self._bound_database,
        )  # fmt: skip
        authority = [] if settings.authority is None else [str(settings.authority)]
        self.executor = Program(
            "executor",
            python_module("federation.flower.executor", "server", self.address, str(self._secret), *authority),
            environment, self._folder / "executor.log", logs=settings.logs,
        )  # fmt: skip
        self._client: Any = None
        self._registered: dict[bytes, str] = {}
        self._forgot = False

    def start(self) -> "SuperLink":
        """Starts it and waits until it answers.

        Raises:
            SetupError: it does not, within `START_S`; the message ends with its output.
        """
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_secret(self._secret)
        self.program.start()
        self.executor.start()
        self._wait_until_ready()
        return self

    def stop(self) -> None:
        """Ends it, with every run on it."""
        self._forget_client()
        self.executor.stop()
        self.program.stop()

    def __enter__(self) -> "SuperLink":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def watch(self) -> bool:
        """One look at SuperLink and executor: starts again what has ended; True if one ended since the last look."""
        ended = self.program.watch()
        if ended:
            self._forget_client()
            self.executor.end()  # whatever run it is in cannot be finished
        if self._forgot and self.program.steady and self.ready():
            self._register_again()
        return self.executor.watch() or ended

    def ready(self) -> bool:
        """Whether it answers now."""
        try:
            self.nodes()
        except SetupError:
            return False
        return True

    def nodes(self) -> tuple[KnownNode, ...]:
        """The nodes that the SuperLink knows.

        Raises:
            SetupError: it does not answer.
        """
        from flwr.proto.control_pb2 import ListNodesRequest

        answer = self._call("ListNodes", ListNodesRequest())
        return tuple(KnownNode(n.node_id, n.name, n.status) for n in answer.nodes_info)

    def register(self, public_key: Path, region: str) -> None:
        """Lets the node with this key take part, under the name of its region; one that is known already stays.

        Raises:
            SetupError: the file holds no such key, or the SuperLink refuses.
        """
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
        from cryptography.hazmat.primitives.serialization import load_ssh_public_key
        from flwr.proto.control_pb2 import ListNodesRequest, RegisterNodeRequest
        from flwr.supercore.primitives.asymmetric import public_key_to_bytes

        try:
            key = load_ssh_public_key(public_key.read_bytes())
        except (OSError, ValueError, UnsupportedAlgorithm) as error:
            raise SetupError(f"{public_key} holds no public key in the OpenSSH format: {error}") from error
        if not isinstance(key, EllipticCurvePublicKey):
            raise SetupError(f"{public_key} holds a key of another kind; a node needs a NIST elliptic curve key")
        raw = public_key_to_bytes(key)
        self._registered[raw] = region
        if raw not in {n.public_key for n in self._call("ListNodes", ListNodesRequest()).nodes_info}:
            self._call("RegisterNode", RegisterNodeRequest(public_key=raw, name=region))

    def _bound_database(self) -> None:
        """Before each start; what a run that was broken off left in it would stay for ever."""
        if self._outgrown():
            log.warning("the SuperLink's database is larger than %g MB and is begun anew", self._settings.database_mb)
            for file in self._folder.glob(f"{DATABASE}*"):
                file.unlink()
            self._forgot = bool(self._registered)

    def _outgrown(self) -> bool:
        return sum(f.stat().st_size for f in self._folder.glob(f"{DATABASE}*")) > self._settings.database_mb * 1e6

    def _broken_off(self, sentence: str) -> RoundFailedError:
        """The failure of a run that nobody stopped: its messages stay, until there are too many of them."""
        if self._outgrown():
            self.program.end()
        return RoundFailedError(sentence)

    def _register_again(self) -> None:
        from flwr.proto.control_pb2 import RegisterNodeRequest

        try:
            for raw, region in self._registered.items():
                self._call("RegisterNode", RegisterNodeRequest(public_key=raw, name=region))
            self._forgot = False
        except SetupError as error:
            log.warning("the nodes' keys are not registered again yet: %s", error)

    def run(
        self, folder: Path, plan: round_files.RoundPlan, weights: Weights,
        report: Callable[[round_files.StepReport], None] = lambda step: None,
    ) -> RoundResult:  # fmt: skip
        """Runs a round and gives what came of it; the steps are the module's.

        Args:
            folder: Of the round, absolute; see `federation.round.round_files`.
            plan: What is to be done; its `deadline_s` is kept.
            weights: To start from.
            report: Called with each step soon after it is done, in order.

        Raises:
            RoundFailedError: there is no candidate; the message says why.
            StorageError: the round's folder cannot be written.
        """
        deadline_s = plan.settings.deadline_s
        end_s = time.monotonic() + deadline_s
        self._settle(end_s)  # 1
        # The ServerApp ends shortly before: it knows who was silent, and nobody here does.
        left_s = max(end_s - time.monotonic() - min(GRACE_S, ACCOUNT_SHARE * deadline_s), POLL_S)
        inner = plan.settings.model_copy(update={"deadline_s": round(left_s, 1)})
        round_files.write_plan(folder, plan.model_copy(update={"settings": inner}), weights)
        try:
            run_id = self._submit(folder)
        except SetupError as error:
            raise RoundFailedError(f"the run could not be submitted: {error}") from error
        return self._outcome(run_id, folder, end_s, f"{deadline_s:g} s", report)

    def _outcome(
        self, run_id: int, folder: Path, end_s: float, deadline: str, report: Callable[[round_files.StepReport], None]
    ) -> RoundResult:
        """Steps 2 to 5."""
        ended_s, asked_s, unread = None, time.monotonic(), ""
        steps: tuple[round_files.StepReport, ...] = ()
        while True:
            try:
                told, steps = len(steps), round_files.read_steps(folder)
                for step in steps[told:]:
                    report(step)
                result, unread = round_files.read_result(folder), ""  # 2
            except StorageError as error:
                result, unread = None, f"; {error}"  # it may be readable at the next look
            if result is not None:
                return result
            if self.watch() or not self.program.alive:  # 3
                raise self._broken_off(f"the SuperLink or its executor died during the run; {self._last_words()}")
            now_s = time.monotonic()
            if ended_s is None and now_s - asked_s > STATUS_S:
                asked_s, ended = now_s, self._ended(run_id)
                ended_s, why = (now_s, ended) if ended is not None else (None, "")
            if ended_s is not None and now_s - ended_s > GRACE_S:  # 4
                raise self._broken_off(f"the run ended without a result: {why}{unread}")
            if now_s > end_s:  # 5
                self._stop_run(run_id)
                self.executor.end()  # it may hang in this run, and has to be free for the next one
                # The ServerApp says nothing any more: whoever had not answered by its last word was silent.
                present = str(steps[-1].figures.get("present", "")).split() if steps else None
                raise RoundFailedError(f"the round had no result after {deadline} and was stopped{unread}", present)
            self._sleep(POLL_S)

    def _settle(self, end_s: float) -> None:
        """Waits until both programs run, so that the end of one in an earlier round is not taken for one in this."""
        while not (self.program.steady and self.executor.steady and self.ready() and not self._forgot):
            self.watch()
            if time.monotonic() > end_s:
                raise RoundFailedError(f"the SuperLink does not come back; {self._last_words()}")
            self._sleep(POLL_S)

    def _submit(self, folder: Path) -> int:
        from flwr.common.serde import fab_to_proto, user_config_to_proto
        from flwr.proto.control_pb2 import StartRunRequest
        from flwr.supercore.fab import Fab

        content = bundle()
        fab = fab_to_proto(Fab(hashlib.sha256(content).hexdigest(), content, {}))
        config = user_config_to_proto({"folder": str(folder)})
        answer = self._call("StartRun", StartRunRequest(fab=fab, override_config=config))
        if not answer.HasField("run_id"):
            raise SetupError("the SuperLink took no run")
        return int(answer.run_id)

    def _ended(self, run_id: int) -> str | None:
        """How the run ended in Flower's words, or None while it goes on or the SuperLink cannot say."""
        from flwr.proto.control_pb2 import ListRunsRequest

        try:
            run = self._call("ListRuns", ListRunsRequest(run_id=run_id)).run_dict[run_id]
        except SetupError as error:
            log.warning("the state of run %s is not known: %s", run_id, error)
            return None
        return f"{run.status.sub_status}: {run.status.details}" if run.status.status == "finished" else None

    def _stop_run(self, run_id: int) -> None:
        from flwr.proto.control_pb2 import StopRunRequest

        try:
            self._call("StopRun", StopRunRequest(run_id=run_id))
        except SetupError as error:
            log.warning("run %s could not be stopped: %s", run_id, error)

    def _call(self, name: str, request: Any) -> Any:
        import httpx

        try:
            return getattr(self._control(), name)(request)
        except httpx.HTTPStatusError as error:
            raise SetupError(f"the SuperLink refused {name}: {error.response.text[:300]}") from error
        except (httpx.HTTPError, OSError) as error:  # or a certificate cannot be read
            raise SetupError(f"the SuperLink on {self.address} does not answer: {error!r}") from error

    def _control(self) -> Any:
        if self._client is None:
            from flwr.supercore.control import ControlHttpClient
            from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor

            authority = self._settings.authority
            self._client = ControlHttpClient.from_server_address(
                server_address=self.address,
                insecure=not self._settings.secure,
                root_certificates=None if authority is None else authority.read_bytes(),
                interceptors=[RuntimeVersionHttpInterceptor(component_name="flwr CLI")],
            )
        return self._client

    def _forget_client(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _last_words(self) -> str:
        return f"they said: {self.program.last_words()} / {self.executor.last_words()}"

    def _wait_until_ready(self) -> None:
        end_s = time.monotonic() + START_S
        while time.monotonic() < end_s:
            if not self.program.alive:
                raise SetupError(f"the SuperLink ended at once: {self.program.last_words()}")
            if self.ready():
                return
            self._sleep(POLL_S)
        raise SetupError(f"the SuperLink did not answer within {START_S:g} s: {self.program.last_words()}")


def _command(settings: SuperLinkSettings, secret: Path) -> list[str]:
    command = [flower_program("flower-superlink"), "--host", "127.0.0.1", "--port", str(settings.port)]
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
