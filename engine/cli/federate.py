"""`driftline federate`: the coordinator of federated rounds, the nodes of the regions, and their records."""

import os
import secrets
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.cli.output import console, print_json, table
from engine.cli.round_text import audit_sentences, privacy_left, progress, progress_sentence, region_sentences
from foundation.time_text import iso_millis

if TYPE_CHECKING:
    from federation.coordinator.ledger import Ledger
    from federation.coordinator.records import Round

app = typer.Typer(
    help="Federated retraining: coordinator, nodes, rounds, keys and the audit log.", no_args_is_help=True
)

CoordinatorFile = Annotated[Path, typer.Argument(help="The coordinator's TOML file.", show_default=False)]
RegionFile = Annotated[Path, typer.Argument(help="The region's TOML file.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="One JSON object instead of tables.")]

LOOK_S = 0.5

ALL_ROUNDS = 1_000
"""As many as the ledger keeps."""


@app.command("coordinator")
def coordinator(file: CoordinatorFile) -> None:
    """Run the coordinator until SIGTERM or SIGINT: drift events start rounds, accepted rounds become versions.

    Example: driftline federate coordinator coordinator.toml
    """
    from engine.clock import SystemClock
    from engine.runtime import federation_wiring as federate
    from engine.settings import load_coordinator
    from engine.stop_flag import StopFlag
    from engine.telemetry.logs import setup_logging
    from engine.telemetry.opt_out import silence_third_parties
    from engine.telemetry.rounds import TRACE_ALL, RoundTelemetry
    from engine.telemetry.tracing import Tracer

    settings = load_coordinator(file)
    setup_logging(settings.log, secrets=settings.secrets())
    silence_third_parties(os.environ)
    stop = StopFlag()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    tracer = Tracer.from_environment(os.environ, TRACE_ALL, region="coordinator")
    with (
        RoundTelemetry(settings.telemetry, SystemClock(), tracer) as telemetry,
        federate.coordinator(settings, telemetry) as running,
    ):
        running.run(stop.wait)


@app.command("node")
def node(region: RegionFile) -> None:
    """Run a region's node until SIGTERM or SIGINT: it trains on the region's own windows during rounds.

    Example: driftline federate node eu-west.toml
    """
    from engine.runtime.federation_wiring import trainer_build
    from engine.runtime.label_ingest import label_feeds
    from engine.settings import load
    from engine.telemetry.logs import setup_logging
    from engine.telemetry.opt_out import silence_third_parties
    from federation.errors import SetupError
    from federation.flower.node import Node

    settings = load(region)
    if settings.node is None:
        raise SetupError(
            f"{region}: the region does not take part in rounds; add a section [node] to configure its node"
        )
    build = trainer_build(settings)
    setup_logging(settings.log, secrets=settings.secrets())
    silence_third_parties(os.environ)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with label_feeds(settings, stop):
        Node(settings.region, settings.node, build).run(stop)


@app.command("round")
def start_round(
    file: CoordinatorFile,
    reason: Annotated[str, typer.Option(help="Reason, recorded in the audit log.")] = "requested on the command line",
    wait_s: Annotated[
        float, typer.Option("--wait", min=0, help="Seconds to wait for the round's end; 0 does not wait.")
    ] = 0.0,
    json: Json = False,
) -> None:
    """Request a round now, with or without drift; the running coordinator picks it up.

    Example: driftline federate round coordinator.toml --reason release-7 --wait 120
    """
    from engine.runtime.federation_wiring import ledger_of
    from engine.settings import load_coordinator
    from federation.coordinator.records import RoundStep, RoundTrigger

    with ledger_of(load_coordinator(file)) as ledger:
        trigger = RoundTrigger(f"manual-{secrets.token_hex(8)}", "manual", "", time.time_ns(), 0, reason)
        ledger.record([trigger])
        end_s, found = time.monotonic() + wait_s, None
        while time.monotonic() < end_s and (found is None or found.step is not RoundStep.DONE):
            time.sleep(LOOK_S)
            found = ledger.find_round(ledger.round_for(trigger.id))
        waiting = ledger.fact("waiting")
    if found is not None and found.step is RoundStep.DONE:
        print_json(_row(found)) if json else print(f"round {found.round_id}: {_ending(found)}")
        raise typer.Exit(0 if found.outcome in ("published", "refused") else 1)
    if json:
        print_json({"round_id": found.round_id if found else None, "waiting": waiting})
    elif found is not None:
        print(f"round {found.round_id} is under way")
    else:
        print(f"the round is requested; last status of the coordinator: {waiting or 'none'}")
    raise typer.Exit(1 if wait_s else 0)


@app.command("status")
def status(
    file: CoordinatorFile,
    rounds: Annotated[int, typer.Option(min=1, help="Newest rounds to show.")] = 10,
    json: Json = False,
) -> None:
    """Show the regions, the newest rounds, the regions missing from them, and the status of the coordinator.

    Example: driftline federate status coordinator.toml
    """
    from engine.runtime.federation_wiring import is_running, ledger_of
    from engine.settings import load_coordinator
    from federation.privacy.registry import privacy_mode
    from federation.round.round_files import read_steps

    settings = load_coordinator(file)
    with ledger_of(settings) as ledger:
        report = {"running": is_running(settings), **_status(ledger, settings.regions, rounds)}
        current = ledger.open_round()
        if privacy_mode(settings.round.privacy.mode).has_budget:
            epsilons = [found.epsilon for found in ledger.rounds(ALL_ROUNDS)]
            report["privacy"] = privacy_left(epsilons, settings.round.privacy.epsilon)
    if current is not None:
        steps = read_steps(settings.folder / "rounds" / current.round_id)
        report["now"] = {"round_id": current.round_id, **progress(steps, settings.round.passes, settings.regions)}
    if json:
        print_json(report)
        return
    from rich.markup import escape

    screen = console()
    regions = table("region", "rounds attended", "missing in a row", "last round", title="regions")
    for row in report["regions"]:
        missed = f"[red]{row['missed']}[/]" if row["missed"] > 1 else f"{row['missed']}"
        regions.add_row(escape(row["region"]), f"{row['attended']}", missed, row["last_round"] or "-")
    screen.print(regions)
    for row in report["rounds"]:
        to = f" → {row['to']}" if row["to"] else ""
        took = f" in {row['seconds']:.1f} s" if row["seconds"] else ""
        missing = f"; missing: {', '.join(row['missing'])}" if row["missing"] else ""
        ending = row["outcome"] or row["step"]
        screen.print(f"[bold]{row['round_id']}[/]  version {row['from']}{to}  {ending}{took}", highlight=False)
        who = f"who: {', '.join(row['participants']) or '-'}{missing}"
        # Text that regions report must not be interpreted as markup.
        now = progress_sentence(report["now"]) if report.get("now", {}).get("round_id") == row["round_id"] else ""
        facts = (f"why: {row['reason']}", who, now, row["sentence"], *row["refused"], *region_sentences(row["holdout"]))
        for sentence in filter(None, facts):
            screen.print(f"  {sentence}", soft_wrap=True, highlight=False, markup=False)
    if budget := report.get("privacy"):
        screen.print(
            f"privacy: epsilon {budget['spent']:.2f} of {budget['budget']:g} spent by the region that has spent most, "
            f"{budget['left']:.2f} left; the last round cost {budget['last_round']:.2f}", soft_wrap=True,
        )  # fmt: skip
    running = "the coordinator runs" if report["running"] else "no coordinator runs here"
    screen.print(
        f"{running}; triggers waiting: {report['triggers']}; last status: {report['waiting'] or 'no round pending'}"
    )


@app.command("keys")
def keys(
    out: Annotated[Path, typer.Option(help="Folder for authority, server certificate and node keys.")],
    region: Annotated[
        list[str] | None, typer.Option("--region", help="Region to create a key for; may be repeated.")
    ] = None,
    host: Annotated[
        list[str] | None,
        typer.Option("--host", help="Name or address under which nodes reach the coordinator; may be repeated."),
    ] = None,
    listen: Annotated[str, typer.Option(help="[address:]port that the proxy listens on.")] = "9443",
    superlink_port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the SuperLink on loopback.")] = 9092,
) -> None:
    """Create an authority, a server certificate, node keys and the configuration of the proxy; nothing is overwritten.

    Example: driftline federate keys --out keys --host coordinator.example --region eu --region us --region ap
    """
    from foundation.extras import require

    require("federation", "federated retraining")
    from federation.flower import keys as made
    from federation.flower.nginx_config import nginx_config

    if not (out / "ca.crt").exists():
        made.make_authority(out)
    if host:
        made.make_server_certificate(out, host)
        (out / "nginx.conf").write_text(nginx_config(out, listen=listen, port=superlink_port))
    for name in region or []:
        made.make_node_key(out, name)
    screen = console()
    screen.print(f"{out}: authority ca.crt; ca.key stays offline", soft_wrap=True)
    if host:
        screen.print("server.crt and server.key for the coordinator and its proxy, nginx.conf for the proxy")
    for name, path in made.node_keys(out).items():
        screen.print(f"{name}: give {path.with_suffix('.key')} and ca.crt to that region alone", soft_wrap=True)


@app.command("audit")
def audit(
    file: CoordinatorFile,
    verify: Annotated[
        bool, typer.Option("--verify", help="Only verify the log; exits with 0 if it is intact, else 2.")
    ] = False,
    json: Json = False,
) -> None:
    """Verify the audit log of rounds, publications and rollbacks, and print it.

    Example: driftline federate audit coordinator.toml --verify
    """
    from engine.runtime.federation_wiring import audit_of, ledger_of
    from engine.settings import load_coordinator

    settings = load_coordinator(file)
    with ledger_of(settings) as ledger:
        head = ledger.fact("audit_head")
    entries = audit_of(settings).verify(tuple(head) if head else None)
    if verify:
        last = f", the last one {entries[-1].sha256}" if entries else ""
        number = "1 entry" if len(entries) == 1 else f"{len(entries)} entries"
        print(f"{number}, unchanged since written{last}")
        return
    if json:
        for entry in entries:
            print_json({"seq": entry.seq, "time": entry.time, "event": entry.event, **entry.body})
        return
    screen = console()
    for entry in entries:
        body = entry.body
        to = f" → {body['to']}" if body["to"] else ""
        screen.print(f"{entry.seq:>4}  {entry.time}  [bold]{entry.event}[/]  {body['model']} {body['from']}{to}")
        for sentence in audit_sentences(body):
            screen.print(f"      {sentence}", soft_wrap=True, highlight=False, markup=False)


def _status(ledger: "Ledger", expected: tuple[str, ...], count: int) -> dict[str, Any]:
    known = {region.name: region for region in ledger.regions()}
    rows = []
    for name in sorted({*known, *expected}):
        region = known.get(name)
        rows.append(
            {
                "region": name,
                "attended": region.attended if region else 0,
                "missed": region.missed if region else 0,
                "last_round": region.last_round if region else "",
            }
        )
    return {
        "regions": rows,
        "rounds": [_row(found) for found in ledger.rounds(count)],
        "triggers": len(ledger.pending()),
        "waiting": ledger.fact("waiting"),
    }


def _row(found: "Round") -> dict[str, Any]:
    from federation.coordinator.round_records import holdout

    return {
        "round_id": found.round_id,
        "planned": iso_millis(found.planned_ns),
        "seconds": round((found.ended_ns - found.planned_ns) / 1e9, 3) if found.ended_ns else None,
        "model": found.model,
        "from": found.version,
        "to": found.published or None,
        "step": str(found.step),
        "outcome": found.outcome,
        "reason": found.reason,
        "sentence": found.sentence,
        "participants": found.participants,
        "missing": found.missing,
        "refused": found.refusals,
        "epsilon": found.epsilon,
        "holdout": holdout(found),
        "kept": dict(found.held) if found.published else {},
    }


def _ending(found: "Round") -> str:
    to = f" as version {found.published}" if found.published else ""
    return f"{found.outcome}{to}; {found.sentence}"
