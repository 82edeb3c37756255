import lzma
from pathlib import Path

import numpy as np
import pytest

from engine.corpus.data import DataError
from engine.corpus.simulator import SimulatedLog, simulate
from engine.offline.datasets import LabelledWindows, load_windows, split_by_session, split_by_time
from engine.offline.detect import Preprocessing, load_units
from engine.offline.inputs import DatasetError, LogSpec
from engine.steps.parse import ParseSettings
from engine.windows.sessions import SessionWindows
from engine.windows.sliding import SlidingWindows

HDFS = ParseSettings(format="hdfs")
BGL = ParseSettings(format="bgl")
WHOLE = SessionWindows(gap_s=86_400)
BGL_LINE = "{label} {epoch} 2005.06.03 R02-M1-N0 2005-06-03-15.42.50.675872 R02-M1-N0 RAS KERNEL INFO {message}\n"


@pytest.fixture(scope="module")
def log() -> SimulatedLog:
    return simulate(3_000, seed=1, anomaly_share=0.1)


@pytest.fixture
def spec(log: SimulatedLog, tmp_path: Path) -> LogSpec:
    path, labels = tmp_path / "a.log", tmp_path / "labels.csv"
    path.write_bytes(log.data)
    rows = (f"{block},{'Anomaly' if bad else 'Normal'}\n" for block, bad in log.labels.items())
    labels.write_text("BlockId,Label\n" + "".join(rows))
    return LogSpec(path, labels)


@pytest.fixture
def windows(spec: LogSpec) -> LabelledWindows:
    return load_windows(spec, HDFS, WHOLE)


def bgl(path: Path, labels: str) -> LogSpec:
    lines = (
        BGL_LINE.format(label=c, epoch=1_117_838_570 + i, message=f"unit {i}") for i, c in enumerate(labels.split())
    )
    path.write_text("".join(lines))
    return LogSpec(path)


def test_each_session_gives_one_closed_window_with_its_label(log: SimulatedLog, windows: LabelledWindows) -> None:
    closed = windows.closed()
    assert dict(zip(closed.keys, closed.labels.tolist(), strict=True)) == log.labels
    assert len(closed) == len(log.labels)
    assert closed.windows.lengths().sum() == windows.lines == 3_000
    assert set(closed.windows.ids.tolist()) <= windows.templates.keys()
    assert (windows.bad_lines, windows.late_lines, windows.unlabelled) == (0, 0, 0)


def test_sessions_that_are_open_at_the_end_of_the_file_are_marked_with_their_growth_steps(spec: LogSpec) -> None:
    gap_s = 5.0
    found = load_windows(spec, HDFS, SessionWindows(gap_s=gap_s, growth=(3,)))
    end_ns = found.last_ns.max()
    closed = found.closed()
    assert 0 < found.cut_sessions == closed.cut.sum() < len(closed)
    assert closed.cut.tolist() == (closed.last_ns >= end_ns - gap_s * 1e9).tolist()
    open_keys = {key for key, cut in zip(closed.keys, closed.cut, strict=True) if cut}
    growing = ~found.windows.closed
    assert growing.any()
    assert {key for key, cut, grows in zip(found.keys, found.cut, growing, strict=True) if cut and grows} <= open_keys


def test_windows_of_lines_are_never_cut(tmp_path: Path) -> None:
    found = load_windows(bgl(tmp_path / "b.log", "- - - K -"), BGL, SlidingWindows(size=2, stride=2))
    assert found.cut_sessions == 0
    assert not found.cut.any()


def test_sessions_that_are_cut_off_are_left_out_unless_wanted(spec: LogSpec) -> None:
    preprocessing = Preprocessing(HDFS, SessionWindows(gap_s=5.0))
    every, whole = load_units(spec, preprocessing, keep_cut=True), load_units(spec, preprocessing)
    assert len(whole) == (~every.cut).sum() < len(every)
    none_is_complete = load_units(spec, Preprocessing(HDFS, WHOLE))
    assert none_is_complete.cut.all()
    assert none_is_complete.cut_sessions == len(none_is_complete.closed())


def test_a_compressed_log_gives_the_same(spec: LogSpec, windows: LabelledWindows, tmp_path: Path) -> None:
    packed = tmp_path / "a.log.xz"
    packed.write_bytes(lzma.compress(spec.log.read_bytes()))
    again = load_windows(LogSpec(packed, spec.labels), HDFS, WHOLE)
    assert again.keys == windows.keys
    assert np.array_equal(again.windows.ids, windows.windows.ids)


def test_take_keeps_columns_together(windows: LabelledWindows) -> None:
    index = np.array([5, 0, 3])
    taken = windows.take(index)
    assert taken.keys == tuple(windows.keys[i] for i in index)
    assert np.array_equal(taken.windows.row(0), windows.windows.row(5))
    assert np.array_equal(taken.first_ns, windows.first_ns[index])


def test_split_by_session_is_seeded_and_shares_no_session(windows: LabelledWindows) -> None:
    first, second = split_by_session(windows, 0.8, seed=3)
    assert not set(first.keys) & set(second.keys)
    assert len(first) + len(second) == len(windows)
    assert len(set(first.keys)) == round(0.8 * len(set(windows.keys)))
    assert split_by_session(windows, 0.8, seed=3)[0].keys == first.keys
    assert split_by_session(windows, 0.8, seed=4)[0].keys != first.keys


def test_split_by_time_puts_the_earlier_sessions_first(windows: LabelledWindows) -> None:
    first, second = split_by_time(windows.closed(), 0.3)
    assert first.first_ns.max() <= second.first_ns.min()
    assert len(first) == round(0.3 * len(windows.closed()))


def test_sessions_without_a_label_are_left_out_and_counted(spec: LogSpec, windows: LabelledWindows) -> None:
    assert spec.labels
    rows = spec.labels.read_text().splitlines()
    spec.labels.write_text("\n".join(rows[:-50]) + "\n")
    fewer = load_windows(spec, HDFS, WHOLE)
    assert len(fewer) + fewer.unlabelled == len(windows)
    assert len(set(fewer.keys)) == len(set(windows.keys)) - 50


@pytest.mark.parametrize(("share", "expected"), [(0.0, [True, True, False]), (0.4, [False, True, False])])
def test_labels_of_lines_make_labels_of_windows(tmp_path: Path, share: float, expected: list[bool]) -> None:
    spec = bgl(tmp_path / "b.log", "- - KERN - - - KERN KERN - KERN - - - - -")
    spec = LogSpec(spec.log, anomalous_share=share)
    found = load_windows(spec, BGL, SlidingWindows(size=5, stride=5))
    assert found.labels[:3].tolist() == expected


def test_overlapping_windows_each_look_at_their_own_lines(tmp_path: Path) -> None:
    spec = bgl(tmp_path / "b.log", "- - - KERN - - - -")
    found = load_windows(spec, BGL, SlidingWindows(size=4, stride=2))
    assert found.labels[:3].tolist() == [True, True, False]


def test_bad_lines_are_counted(spec: LogSpec) -> None:
    spec.log.write_bytes(b"no hdfs line\n" + spec.log.read_bytes())
    found = load_windows(spec, HDFS, WHOLE)
    assert (found.bad_lines, found.lines) == (1, 3_001)


def test_one_class_is_refused_only_where_two_are_needed(tmp_path: Path) -> None:
    spec = bgl(tmp_path / "b.log", "- - - -")
    with pytest.raises(DatasetError, match=r"b\.log are normal; windows of both classes"):
        load_windows(spec, BGL, SlidingWindows(size=2, stride=2))
    unsupervised = LogSpec(spec.log, supervised=False)
    assert not load_windows(unsupervised, BGL, SlidingWindows(size=2, stride=2)).labels.any()


def test_without_labels_where_they_are_needed(spec: LogSpec) -> None:
    with pytest.raises(DatasetError, match=r"a\.log has no labels: the format hdfs"):
        load_windows(LogSpec(spec.log), HDFS, WHOLE)
    assert not load_windows(LogSpec(spec.log, supervised=False), HDFS, WHOLE).labels.any()


def test_labels_of_other_sessions_are_refused(spec: LogSpec) -> None:
    assert spec.labels
    spec.labels.write_text("BlockId,Label\nblk_1,Normal\n")
    with pytest.raises(DatasetError, match=r"labels\.csv names none of the \d+ sessions"):
        load_windows(spec, HDFS, WHOLE)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"a\.log: no such file"),
        (b"", r"a\.log gave no window"),
        (
            b"one\ntwo\n",
            r"a\.log is not in the format hdfs: 2 of 2 lines do not parse, the first at .*a\.log, line 1, byte 0",
        ),
    ],
)
def test_logs_that_cannot_be_used(spec: LogSpec, content: bytes | None, message: str) -> None:
    spec.log.unlink()
    if content is not None:
        spec.log.write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        load_windows(spec, HDFS, WHOLE)


def test_a_truncated_log_is_refused(spec: LogSpec, tmp_path: Path) -> None:
    packed = tmp_path / "t.log.xz"
    packed.write_bytes(lzma.compress(spec.log.read_bytes())[:-2_000])
    with pytest.raises(DatasetError, match=r"t\.log\.xz is truncated or damaged"):
        load_windows(LogSpec(packed, spec.labels), HDFS, WHOLE)


def test_missing_labels(spec: LogSpec, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.csv: cannot be read: No such file"):
        load_windows(LogSpec(spec.log, tmp_path / "none.csv"), HDFS, WHOLE)


def test_a_log_of_formats_that_are_recognised_gives_windows_without_labels(tmp_path):
    log = tmp_path / "a.log"
    log.write_bytes(b"".join(b"081109 203615 148 INFO dfs.A: served blk_%d\n" % i for i in range(20)))
    found = load_windows(LogSpec(log, supervised=False), ParseSettings(format="auto"), SessionWindows(gap_s=10))
    assert (len(found), found.lines, found.bad_lines) == (20, 20, 0)
