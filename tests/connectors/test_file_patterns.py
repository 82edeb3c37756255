"""Symbolic links below directories and behind wildcards."""

from pathlib import Path

import pytest

from connectors.base import SettingsError
from tests.support.file_reading import Reading, append


@pytest.mark.parametrize("follow", [False, True])
def test_links_below_a_folder_or_glob_are_read_on_request(tmp_path: Path, follow: bool) -> None:
    (tmp_path / "elsewhere").mkdir()
    append(tmp_path / "elsewhere" / "secret.txt", b"behind a link\n")
    watched = tmp_path / "watched"
    watched.mkdir()
    append(watched / "own.log", b"own\n")
    (watched / "link.log").symlink_to(tmp_path / "elsewhere" / "secret.txt")
    (watched / "folder").symlink_to(tmp_path / "elsewhere")
    for paths in (watched,), (watched / "*.log",), (watched / "**" / "*",):
        assert Reading(*paths, follow=follow).lines() == [b"own"]
        assert {*Reading(*paths, follow=follow, follow_links=True).lines()} == {b"own", b"behind a link"}
    for named in watched / "link.log", watched / "folder" / "secret.txt", watched / "folder" / "*.txt":
        assert Reading(named, follow=follow).lines() == [b"behind a link"]


def test_nothing_but_links_is_stated(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.log").symlink_to(Path(__file__))
    with pytest.raises(SettingsError, match="symbolic links: set `follow_links = true`"):
        Reading(tmp_path, follow=False)
    reading = Reading(tmp_path / "*.log", follow=True)
    assert reading.lines() == reading.lines() == []
    assert caplog.text.count("set `follow_links = true`") == 1
