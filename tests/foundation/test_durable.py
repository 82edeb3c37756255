"""Durable files: complete or absent, synced with their folder, and no leftovers of a failed write."""

import errno
import os
import threading
from pathlib import Path

import pytest

from foundation import durable


def test_content_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    durable.write(path, b"one")
    durable.write(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [path]


def test_file_is_synced_before_its_rename_and_the_folder_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, order = tmp_path / "state.json", []
    sync, replace = os.fsync, os.replace

    def synced(descriptor: int) -> None:
        order.append("folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file")
        sync(descriptor)

    def replaced(*names: str) -> None:
        order.append("rename")
        replace(*names)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    durable.write(path, b"one")
    assert order == ["file", "rename", "folder"]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_failed_write_keeps_the_old_content_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    path = tmp_path / "state.json"
    durable.write(path, b"one")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, failing, full)
    with pytest.raises(OSError, match="No space left"):
        durable.write(path, b"two")
    assert path.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [path]


def test_error_inside_the_block_keeps_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    durable.write(path, b"one")

    def write_half() -> None:
        with durable.replacing(path) as file:
            file.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert path.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [path]


def test_folder_that_cannot_be_synced_is_tolerated_and_a_full_disk_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = [errno.EINVAL, errno.EIO]
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(faults[0], os.strerror(faults.pop(0)))))
    durable.sync_folder(tmp_path)
    with pytest.raises(OSError, match="Input/output error"):
        durable.sync_folder(tmp_path)


def test_other_users_may_read(tmp_path: Path) -> None:
    umask = os.umask(0)
    os.umask(umask)
    durable.write(tmp_path / "state.json", b"one")
    assert (tmp_path / "state.json").stat().st_mode & 0o777 == 0o666 & ~umask


def test_readers_see_one_whole_content_while_threads_write(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    contents = [bytes([c]) * 10_000 for c in range(65, 69)]
    durable.write(path, contents[0])
    writers = [threading.Thread(target=lambda c=c: [durable.write(path, c) for _ in range(20)]) for c in contents]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert path.read_bytes() in contents
    for writer in writers:
        writer.join()
    assert list(tmp_path.iterdir()) == [path]
