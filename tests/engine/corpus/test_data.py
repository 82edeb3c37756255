import hashlib
import http.server
import io
import lzma
import sys
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from engine.corpus import convert, data
from engine.corpus.data import (
    CATALOGUE,
    DataError,
    DataMissingError,
    DownloadFailedError,
    Folders,
    UnknownDataSetError,
    find,
    get,
)
from engine.offline.label_files import read_session_labels
from foundation.extras import MissingExtraError

CONTENT = bytes(range(256)) * 5_000


class Home(http.server.BaseHTTPRequestHandler):
    """Serves `served`, by ranges where it may; notes the ranges that were asked for."""

    served = CONTENT
    ranges: list[str | None]
    resumes = True

    def do_GET(self) -> None:
        wanted = self.headers["Range"]
        self.ranges.append(wanted)
        start = int(wanted[6:-1]) if wanted and self.resumes else 0
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(self.served) - start))
        self.end_headers()
        self.wfile.write(self.served[start:])

    def log_message(self, *_: object) -> None:
        """Keeps the test output clean."""


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Home]]:
    handler = type("Handler", (Home,), {"ranges": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/f"
    download = data.Download("x/f.log", url, len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    entry = data.DataSet("small", "", "", ("x/f.log",), (download,))
    monkeypatch.setitem(data.CATALOGUE, "small", entry)
    yield handler
    server.shutdown()
    server.server_close()


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path / "own", tmp_path / "cache")


def test_folders_are_named_by_the_environment() -> None:
    assert Folders.of({"DRIFTLINE_DATA_DIR": "/d", "XDG_CACHE_HOME": "/c"}) == Folders(Path("/d"), Path("/c/driftline"))
    assert Folders.of({}).data is None


def test_catalogue_is_complete() -> None:
    assert {"hdfs-2pct", "loghub-2k-hdfs", "loghub-2k-bgl"} <= set(CATALOGUE)
    for name, entry in CATALOGUE.items():
        assert name == entry.name
        assert entry.licence
        assert entry.description
        assert entry.convert or entry.files == tuple(download.path for download in entry.downloads)
        for download in entry.downloads:
            assert len(download.sha256) == 64
            assert download.size_bytes > 0
            assert download.url.startswith("https://")


def test_unknown_name_lists_the_known(folders: Folders) -> None:
    with pytest.raises(UnknownDataSetError, match="hdfs-2pct"):
        find("nope", folders)


def test_own_folder_comes_before_the_cache(folders: Folders, home: type[Home]) -> None:
    assert folders.data
    for folder in (folders.cache, folders.data):
        (folder / "x").mkdir(parents=True)
        (folder / "x" / "f.log").write_text("x")
        assert find("small", folders) == {"f.log": folder / "x" / "f.log"}


def test_missing_says_which_file_to_put_where(folders: Folders) -> None:
    with pytest.raises(DataMissingError) as caught:
        find("loghub-2k-hdfs", folders)
    assert "HDFS_2k.log" in str(caught.value)
    assert str(folders.cache / "loghub_2k/HDFS_2k.log") in str(caught.value)
    assert "DRIFTLINE_DATA_DIR" in str(caught.value)


def test_get_downloads_once_with_progress(folders: Folders, home: type[Home]) -> None:
    seen: list[tuple[int, int]] = []
    found = get("small", lambda *step: seen.append(step), folders)
    assert found["f.log"].read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert get("small", folders=folders) == found
    assert home.ranges == [None]
    assert [path.name for path in found["f.log"].parent.iterdir()] == ["f.log"]


@pytest.mark.parametrize("resumes", [True, False])
def test_a_download_cut_short_is_resumed(folders: Folders, home: type[Home], resumes: bool) -> None:
    home.resumes = resumes
    part = folders.cache / "x" / "f.log.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT[:1_000])
    assert get("small", folders=folders)["f.log"].read_bytes() == CONTENT
    assert home.ranges == ["bytes=1000-"]


@pytest.mark.parametrize("served", [CONTENT[:-1] + b"x", CONTENT[:-9], CONTENT + b"more", b""])
def test_wrong_bytes_are_refused(folders: Folders, home: type[Home], served: bytes) -> None:
    home.served = served
    with pytest.raises(DownloadFailedError, match="expected 1280000 bytes with sha256"):
        get("small", folders=folders)
    assert not (folders.cache / "x" / "f.log").exists()
    home.served = CONTENT
    if len(served) >= len(CONTENT):
        assert get("small", folders=folders)["f.log"].read_bytes() == CONTENT


def test_without_network_the_message_says_what_to_do(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = CATALOGUE["loghub-2k-bgl"]
    closed = replace(entry.downloads[0], url="http://127.0.0.1:1/BGL_2k.log")
    monkeypatch.setitem(data.CATALOGUE, entry.name, replace(entry, downloads=(closed,)))
    with pytest.raises(DownloadFailedError) as caught:
        get(entry.name, folders=folders)
    assert "could not be downloaded" in str(caught.value)
    assert str(folders.cache / "loghub_2k/BGL_2k.log") in str(caught.value)


def test_files_are_taken_out_of_an_archive(folders: Folders) -> None:
    assert folders.data
    folders.data.mkdir()
    with tarfile.open(folders.data / "loghub_2k.tar.xz", "w:xz") as tar:
        member = tarfile.TarInfo("loghub_2k/BGL_2k.log")
        member.size = 4
        tar.addfile(member, io.BytesIO(b"a b\n"))
    assert find("loghub-2k-bgl", folders)["BGL_2k.log"].read_bytes() == b"a b\n"
    with pytest.raises(DataMissingError, match=r"holds no file loghub_2k/HDFS_2k\.log"):
        find("loghub-2k-hdfs", folders)


def test_loglead_parquet_becomes_raw_lines_and_labels(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "hdfs").mkdir()
    row = dict(zip(convert.LINE_COLUMNS, ("081109", "203530", "147", "INFO", "dfs.A:", "Got blk_1"), strict=True))
    events, sequences = (tmp_path / download.path for download in CATALOGUE["hdfs-2pct"].downloads)
    pq.write_table(pa.Table.from_pylist([{**row, "seq_id": "blk_1"}]), events)
    pq.write_table(
        pa.table({"seq_id": ["blk_1", "blk_2"], "normal": [True, False], "anomaly": [False, True]}), sequences
    )
    convert.convert_loglead_hdfs(tmp_path)
    assert (
        lzma.decompress((tmp_path / "hdfs/HDFS_2pct.log.xz").read_bytes())
        == b"081109 203530 147 INFO dfs.A: Got blk_1\n"
    )
    assert read_session_labels(tmp_path / "hdfs/HDFS_2pct_labels.csv") == {"blk_1": False, "blk_2": True}


def test_sixteen_labelled_systems_become_one_set(tmp_path: Path) -> None:
    from engine.offline.labelled_lines import read_labelled

    entry = CATALOGUE["loghub-2k-seven-class"]
    for number, download in enumerate(entry.downloads):
        path = tmp_path / download.path
        path.parent.mkdir(exist_ok=True)
        path.write_text(
            "LineId,Level,Content,EventId,EventTemplate,AnomalyLabel,AnomalyLabelName,Source\n"
            f'1,I,"disk {number}, full",E1,"disk <*>, full",3,hardware_issue,X\n'
        )
    convert.convert_seven_class(tmp_path)
    data = read_labelled(tmp_path / entry.files[0])
    assert data.weights.sum() == len(entry.downloads) == 16
    assert data.domains[:2] == ("Android", "Apache")
    assert set(data.lines.templates) == {"disk <*>, full"}
    (tmp_path / entry.downloads[3].path).write_text("LineId,Content\n1,a\n")
    with pytest.raises(DataError, match=r"HDFS_2k_labeled\.csv has no column 'EventTemplate'"):
        convert.convert_seven_class(tmp_path)


def test_conversion_without_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'driftline\[data\]'"):
        convert.convert_loglead_hdfs(tmp_path)
