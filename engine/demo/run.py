"""`driftline demo`: the main job on one machine, with everything it needs started and stopped here.

1. Find a labelled log: the HDFS sample on this machine, else from its public home, else simulated.
2. Start the embedded broker, and train a BERT-CNN on the first part of the log with `driftline train`.
3. Start `driftline run` on a region's TOML file.
4. Stream the rest of the log through Kafka, one line a message, with a live view.
5. Stop the engine with SIGTERM and compare its alerts with the labels.
"""

import time
from pathlib import Path

from confluent_kafka import Producer
from rich.console import Console

from connectors.broker import EmbeddedBroker
from connectors.ports import free_port
from engine.demo.files import clear, write_region, write_serve
from engine.demo.log import GAP_S, closing_lines, compare, find_log
from engine.demo.stage import Feed, play, read_json, report, running, train


def run(out: Path, first: float, seconds: float, seed: int) -> int:
    """The demonstration; the steps are the module's. Returns the exit code."""
    console, started_s, out = Console(), time.monotonic(), out.resolve()
    log = find_log(console, seed)  # 1
    clear(out, "demo", "demo.toml", "serve.toml", "report.json")
    past, stream = log.split(first)
    past.write(out, "train")
    console.print(
        f"{log.origin}: {len(log.lines):,} lines, {len(log.labels):,} sessions; the first {len(past.lines):,} lines "
        f"train, the other {len(stream.lines):,} are streamed"
    )
    with EmbeddedBroker() as broker:  # 2
        broker.create_topic("logs.demo")
        port = free_port()
        region = write_region(out, broker.brokers, port)
        train(console, out, region, seed)
        messages = [("logs.demo", line) for line in [*stream.lines, *closing_lines(stream.lines[-1], GAP_S)]]
        feed = Feed(producer(broker.brokers), messages, seconds)
        with running("run", region, log=out / "demo" / "engine.log") as engine:  # 3
            urls = {"demo": f"http://127.0.0.1:{port}/metrics"}
            metrics = play(console, feed, urls, [engine], lambda _: ("", False))["demo"]  # 4
    alerts = alerts_of(region)  # 5
    figures: dict[str, object] = {"data": log.origin, "lines_trained": len(past.lines)}
    figures |= {"lines_streamed": len(stream.lines), "alerts": len(alerts), **compare(alerts, stream.labels)}
    figures |= {name: int(metrics.get(metric, 0)) for name, metric in FIGURES.items()}
    figures["lines_per_busy_s"] = len(stream.lines) / metrics["driftline_batch_seconds_sum"]
    figures["total_s"] = time.monotonic() - started_s
    report(console, out / "report.json", figures)
    write_serve(out, "demo", free_port())
    return 0


FIGURES = {
    "windows_scored": "driftline_windows_total",
    "dead_letters": "driftline_bad_lines_total",
    "model_version": "driftline_model_version",
}


def producer(brokers: str) -> Producer:
    """A producer that knows of every message whether it arrived."""
    return Producer({"bootstrap.servers": brokers, "linger.ms": 5, "acks": "all", "log_level": 0})


def alerts_of(region: Path) -> set[str]:
    """The sessions with an alert, read with `driftline alerts list`."""
    return {str(alert["session"]) for alert in read_json("alerts", "list", region, "--limit", "100000", "--json")}
