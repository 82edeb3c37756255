"""The contract of sources and sinks as checks, one function a promise.

Tests run every check of `SOURCE_CHECKS` and `SINK_CHECKS` over every entry of the registry;
authors of other connectors run them over theirs. A failed check raises `ContractBrokenError` with its observation.
"""

import itertools
import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from connectors.base import LineBatch, Record, Sink, SinkUnavailableError, Source, SourcePartition, State

POLL_LIMIT_S = 0.05
"""How long `next_batch` may block."""

DRAIN_S = 30.0
"""How long a source may take to hand out the few lines of a case."""


class ContractBrokenError(AssertionError):
    """A connector does not keep a promise of `connectors.base`."""


@dataclass(frozen=True)
class SourceCase:
    """A source over known content.

    Attributes:
        make: A new source over the same content, which ends (`StopIteration`) behind it; small
            batches, so that there are several.
        idle: A source that has nothing to give now and does not end.
        expected: The lines of every `LineBatch.partition`.
        replayable: Whether a reader can be opened again at an earlier place.
    """

    make: Callable[[], Source]
    idle: Callable[[], Source]
    expected: Mapping[str, Sequence[bytes]]
    replayable: bool = True


@dataclass(frozen=True)
class SinkCase:
    """A sink, and a view of what arrived behind it.

    Attributes:
        make: A new sink that writes to the same place.
        delivered: Ids that the other side holds, in its order.
        refusing: Makes the other side refuse or not answer while entered.
        writer: A new sink with the settings that `BaseSinkSettings.for_writer` gives for a number.
        ordered: Whether the other side keeps the order of arrival.
        rereads: Whether the other side can be asked what arrived, so that repeats are dropped before it.
    """

    make: Callable[[], Sink]
    delivered: Callable[[], Sequence[str]]
    refusing: Callable[[], AbstractContextManager[object]]
    writer: Callable[[str], Sink]
    ordered: bool = True
    rereads: bool = True


def _require(kept: bool, message: str) -> None:
    if not kept:
        raise ContractBrokenError(message)


def drain(reader: SourcePartition, batches: int | None = None, share: float = 1.0) -> list[LineBatch]:
    """Batches of a reader until it ends, or `batches` of them."""
    got: list[LineBatch] = []
    deadline = time.monotonic() + DRAIN_S
    while batches is None or len(got) < batches:
        try:
            batch = reader.next_batch(share)
        except StopIteration:
            break
        if batch is not None:
            got.append(batch)
        _require(time.monotonic() < deadline, f"the source has not ended after {DRAIN_S} s")
    return got


def read_all(source: Source) -> list[LineBatch]:
    """Everything a source that ends has to give."""
    got: list[LineBatch] = []
    for name in source.partitions():
        reader = source.open(name, None)
        got.extend(drain(reader))
        reader.close()
    return got


def lines_of(batches: Sequence[LineBatch]) -> dict[str, list[tuple[int, bytes]]]:
    """Position and content of every line, by partition."""
    lines: dict[str, list[tuple[int, bytes]]] = {}
    for batch in batches:
        places = lines.setdefault(batch.partition, [])
        places.extend((int(batch.positions[i]), batch.line(i)) for i in range(len(batch)))
    return lines


def check_shares_of_a_batch_hold_every_line(case: SourceCase) -> None:
    """Reading the smallest share of a batch each time gives the same lines."""
    source, whole = case.make(), lines_of(read_all(case.make()))
    found: dict[str, list[tuple[int, bytes]]] = {}
    for name in source.partitions():
        reader = source.open(name, None)
        for partition, lines in lines_of(drain(reader, share=1e-6)).items():
            found.setdefault(partition, []).extend(lines)
        reader.close()
    _require(found == whole, f"expected {whole}, got {found}")


def check_every_line_once(case: SourceCase) -> None:
    """Every line comes once, in the order of its partition."""
    got = {name: [line for _, line in lines] for name, lines in lines_of(read_all(case.make())).items()}
    expected = {name: list(lines) for name, lines in case.expected.items() if lines}
    _require(got == expected, f"expected {expected}, got {got}")


def check_batches_are_well_formed(case: SourceCase) -> None:
    r"""Ends point at every `\n` of the blob and at nothing else; columns are of one length."""
    for batch in read_all(case.make()):
        found = [i for i, byte in enumerate(batch.data) if byte == 10]
        _require(batch.ends.tolist() == found, f"ends {batch.ends.tolist()} are not the line ends {found}")
        _require(not batch.data or batch.data.endswith(b"\n"), "the last line is not closed")
        _require(len(batch.positions) == len(batch), "positions and ends differ in length")
        _require(batch.ends.dtype == batch.positions.dtype == "int64", "ends and positions are not int64")
        _require(0 < batch.produced_ns <= batch.read_ns + 60_000_000_000, "produced_ns lies in the future")


def check_positions_ascend(case: SourceCase) -> None:
    """Positions ascend within a partition over all batches, so each is unique."""
    for name, lines in lines_of(read_all(case.make())).items():
        places = [place for place, _ in lines]
        _require(all(a < b for a, b in itertools.pairwise(places)), f"positions of {name}: {places}")


def check_resume_anywhere(case: SourceCase) -> None:
    """A reader opened from any snapshot gives exactly what was not given before, at the same places."""
    if not case.replayable:
        return
    whole = lines_of(read_all(case.make()))
    for name in case.make().partitions():
        for count in range(1_000):
            reader = case.make().open(name, None)
            before = drain(reader, count)
            state: State = json.loads(json.dumps(reader.snapshot()))
            reader.close()
            again = case.make().open(name, state)
            after = drain(again)
            again.close()
            got = lines_of([*before, *after])
            _require(
                all(got[p] == whole[p] for p in got) and (bool(got) or not whole),
                f"resumed {name} after {count} batches from {state}: {got} instead of {whole}",
            )
            if not after:
                break


def check_snapshot_is_plain_data(case: SourceCase) -> None:
    """A snapshot survives JSON, and does not change when reading continues."""
    for name in case.make().partitions():
        reader = case.make().open(name, None)
        drain(reader, 1)
        state = reader.snapshot()
        text = json.dumps(state, sort_keys=True)
        drain(reader)
        _require(json.dumps(state, sort_keys=True) == text, f"the snapshot of {name} changed afterwards")
        _require(json.loads(text) == state, f"the snapshot of {name} does not survive JSON: {state}")
        reader.close()


def check_empty_poll_returns(case: SourceCase) -> None:
    """A poll without news gives None soon; the median of several, as machines pause now and then."""
    source = case.idle()
    for name in source.partitions():
        reader = source.open(name, None)
        took: list[float] = []
        for _ in range(9):
            start = time.perf_counter()
            _require(reader.next_batch() is None, f"{name} gave lines, or is not an idle source")
            took.append(time.perf_counter() - start)
        reader.close()
        _require(sorted(took)[4] <= POLL_LIMIT_S, f"empty polls of {name} took {took} s")


def check_reader_close_is_idempotent(case: SourceCase) -> None:
    """Closing twice does nothing, and a closed reader only ends."""
    source = case.make()
    for name in source.partitions():
        reader = source.open(name, None)
        drain(reader, 1)
        reader.close()
        reader.close()
        _require(drain(reader) == [], f"{name} gave lines after close")


def check_describe_names_the_place(case: SourceCase) -> None:
    """Words for a place name its partition, and differ from place to place."""
    source = case.make()
    for name, lines in lines_of(read_all(case.make())).items():
        words = [source.describe(name, place) for place, _ in lines]
        _require(all(w.startswith(name) for w in words), f"the partition {name} is missing in {words}")
        _require(len(set(words)) == len(words), f"places share their words: {words}")


def check_partitions_are_stable(case: SourceCase) -> None:
    """Names of units are the same every time."""
    _require(list(case.make().partitions()) == list(case.make().partitions()), "partition names changed")


def check_lag_falls_to_zero(case: SourceCase) -> None:
    """Lag is never negative, and 0 or unknown once everything was handed out."""
    source = case.make()
    for name in source.partitions():
        reader = source.open(name, None)
        drain(reader, 1)
        lag = reader.lag()
        _require(lag is None or lag >= 0, f"lag of {name} is {lag}")
        drain(reader)
        _require(reader.lag() in (None, 0), f"lag of {name} is {reader.lag()} at the end")
        reader.close()


def records(start: int, stop: int) -> list[Record]:
    """Records `r<start>` to `r<stop - 1>`, all of one key so that every sink keeps their order."""
    return [Record(f"r{i:06d}", "key", {"id": f"r{i:06d}", "n": i}, {"ce_type": "check"}) for i in range(start, stop)]


def _ids(start: int, stop: int) -> list[str]:
    return [r.id for r in records(start, stop)]


def _require_delivered(case: SinkCase, expected: list[str]) -> None:
    got = list(case.delivered())
    same = got == expected if case.ordered else sorted(got) == sorted(expected)
    _require(same, f"expected {len(expected)} records, the other side holds {len(got)}: {got[:5]} … {got[-5:]}")


def check_flush_means_acknowledged(case: SinkCase) -> None:
    """After a flush the other side holds everything, in order, and nothing is pending."""
    sink = case.make()
    sink.open(None)
    sink.write(records(0, 1200))
    sink.write(records(1200, 1201))
    sink.write([])
    sink.flush(30.0)
    _require(sink.pending() == 0, f"{sink.pending()} records pending after a flush")
    _require_delivered(case, _ids(0, 1201))
    sink.flush(1.0)
    sink.close()


def check_refused_records_are_kept(case: SinkCase) -> None:
    """While the other side refuses, flush reports it and keeps everything; later all arrives in order."""
    sink = case.make()
    sink.open(None)
    sink.write(records(0, 3))
    sink.flush(30.0)
    with case.refusing():
        sink.write(records(3, 6))
        for _ in range(2):
            try:
                sink.flush(0.2)
            except SinkUnavailableError:
                continue
            raise ContractBrokenError("flush returned although the other side refused")
        _require(sink.pending() == 3, f"{sink.pending()} records pending, 3 were refused")
        sink.write(records(6, 9))
    sink.flush(30.0)
    _require(sink.pending() == 0, "records pending after the refusal ended")
    _require_delivered(case, _ids(0, 9))
    sink.close()


def check_repeats_past_the_state_are_dropped(case: SinkCase) -> None:
    """After a crash, what arrived behind the saved state does not arrive again; or it does, with equal ids."""
    sink = case.make()
    sink.open(None)
    state: State = json.loads(json.dumps(sink.snapshot()))
    for round_start in (0, 4):
        sink.write(records(round_start, round_start + 4))
        sink.flush(30.0)
        saved = state
        state = json.loads(json.dumps(sink.snapshot()))
    sink.write(records(8, 10))
    sink.flush(30.0)
    sink.close()
    again = case.make()
    again.open(saved)
    again.write(records(4, 12))
    again.flush(30.0)
    again.close()
    _require_delivered(case, _ids(0, 12) if case.rereads else [*_ids(0, 10), *_ids(4, 12)])


def check_unflushed_records_may_come_again(case: SinkCase) -> None:
    """Closing with pending records loses only records that were not reported as delivered."""
    sink = case.make()
    sink.open(None)
    state: State = json.loads(json.dumps(sink.snapshot()))
    sink.write(records(0, 5))
    sink.close()
    again = case.make()
    again.open(state)
    again.write(records(0, 5))
    again.flush(30.0)
    again.close()
    _require_delivered(case, _ids(0, 5))


def check_sink_close_is_idempotent(case: SinkCase) -> None:
    """Closing twice, and closing what was never opened, does nothing."""
    case.make().close()
    sink = case.make()
    sink.open(None)
    sink.close()
    sink.close()


SOURCE_CHECKS: tuple[Callable[[SourceCase], None], ...] = (
    check_every_line_once,
    check_shares_of_a_batch_hold_every_line,
    check_batches_are_well_formed,
    check_positions_ascend,
    check_resume_anywhere,
    check_snapshot_is_plain_data,
    check_empty_poll_returns,
    check_reader_close_is_idempotent,
    check_describe_names_the_place,
    check_partitions_are_stable,
    check_lag_falls_to_zero,
)


def check_several_writers_do_not_meet(case: SinkCase) -> None:
    """Two writers of one flow are open at once, and neither holds up the other."""
    writers = [case.writer("0"), case.writer("1")]
    for writer in writers:
        writer.open(None)
    for number, writer in enumerate(writers):
        writer.write(records(10 * number, 10 * number + 3))
    for writer in writers:
        writer.flush(30.0)
        _require(writer.pending() == 0, f"{writer.pending()} records pending after a flush next to another writer")
    for writer in writers:
        writer.close()


SINK_CHECKS: tuple[Callable[[SinkCase], None], ...] = (
    check_flush_means_acknowledged,
    check_refused_records_are_kept,
    check_repeats_past_the_state_are_dropped,
    check_unflushed_records_may_come_again,
    check_several_writers_do_not_meet,
    check_sink_close_is_idempotent,
)
