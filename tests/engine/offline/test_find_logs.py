"""Names of logs on a command line, and the files that they stand for."""

import gzip
import os
import re

import pytest

from engine.offline.inputs import DatasetError, find_logs

PNG = b"\x89PNG\r\n" + bytes(range(256))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("app.log", "app.log.1", "app.log.2.bz2", "app.log.10.gz", "app.log-20250310.lz4", "deep/er/x.log"):
        path = tmp_path / "d" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{name}\n")
    return tmp_path / "d"


def names(*given):
    return [str(path) for path in find_logs(given).files]


OLDEST_FIRST = ["d/app.log-20250310.lz4", "d/app.log.10.gz", "d/app.log.2.bz2", "d/app.log.1", "d/app.log"]


def test_a_folder_stands_for_all_below_it_and_rotations_come_oldest_first(folder):
    assert names("d") == [*OLDEST_FIRST, "d/deep/er/x.log"]


def test_rotations_come_oldest_first_however_a_shell_lists_them(folder):
    (folder / "b.log").write_text("b\n")
    assert names("d/b.log", *sorted(OLDEST_FIRST)) == ["d/b.log", *OLDEST_FIRST]
    assert names("d/app*") == OLDEST_FIRST


def test_hidden_empty_and_binary_files_are_left_out_of_a_folder(folder):
    (folder / ".git").mkdir()
    (folder / ".git" / "log").write_text("x\n")
    (folder / "empty.log").touch()
    (folder / "report.html").write_text("<html>\n")
    (folder / "img").write_bytes(PNG)
    (folder / "img.gz").write_bytes(gzip.compress(PNG))
    found = find_logs(["d"])
    assert [str(path) for path in found.files] == [*OLDEST_FIRST, "d/deep/er/x.log"]
    assert found.skipped == (
        "d: files that were left out: img is a PNG image, not a log; img.gz is a PNG image, not a log",
    )


def test_a_sentence_names_three_of_many_files_that_are_left_out(folder):
    for number in range(5):
        (folder / f"img{number}").write_bytes(PNG)
    (sentence,) = find_logs(["d"]).skipped
    assert sentence.count("PNG image") == 3
    assert sentence.endswith("; and 2 more")


def test_a_file_of_several_names_is_read_once(folder):
    (folder / "current").symlink_to(folder / "app.log")
    os.link(folder / "app.log", folder / "hard")
    assert names("d/app.log", "d/current", "d", "./d/app.log").count("d/app.log") == 1
    assert len(names("d/app.log", "d/current", "d/hard")) == 1


def test_standard_input_and_pipes_stay_in_their_place(folder):
    os.mkfifo(folder / "pipe")
    assert names("d/pipe", "-", "d/app.log", "-") == ["d/pipe", "-", "d/app.log"]
    assert "d/pipe" not in names("d")


def test_a_damaged_archive_is_a_log(folder):
    (folder / "cut.gz").write_bytes(gzip.compress(b"line\n" * 9)[:-4])
    assert names("d/cut.gz") == ["d/cut.gz"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("none.log", "none.log: no such file, folder or match"),
        ("d/*.none", "d/*.none: no such file, folder or match"),
        ("void", "void: the folder is empty, or its files are"),
        ("images", "images: no log in it: a is a PNG image, not a log"),
        ("images/a", "images/a is a PNG image, not a log"),
    ],
)
def test_a_name_without_a_log_is_one_sentence(folder, name, sentence):
    for other in ("void", "images"):
        (folder.parent / other).mkdir()
    (folder.parent / "void" / "empty.log").touch()
    (folder.parent / "images" / "a").write_bytes(PNG)
    with pytest.raises(DatasetError, match=f"^{re.escape(sentence)}$"):
        find_logs(["d", name])
