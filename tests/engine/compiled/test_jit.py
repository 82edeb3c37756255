import logging
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from engine.compiled import jit


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DRIFTLINE_CACHE_DIR", str(tmp_path / "given"))
    jit.cache_folder.cache_clear()
    yield tmp_path
    jit.cache_folder.cache_clear()


def test_compiling_is_reported_once(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), jit.compiling("parser") as needed:
        assert needed
    assert [record.message.split(" for ")[0] for record in caplog.records[:1]] == ["compiling the parser"]
    assert str(folder / "given") in caplog.text
    caplog.clear()
    with jit.compiling("parser") as needed:
        assert not needed
    assert not caplog.records


def test_a_folder_that_cannot_be_written_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("DRIFTLINE_CACHE_DIR", str(tmp_path / "file"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    jit.cache_folder.cache_clear()
    assert jit.cache_folder().is_relative_to(tmp_path / "home" / "driftline")


def test_a_temporary_folder_that_others_can_write_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("DRIFTLINE_CACHE_DIR", str(tmp_path / "file"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    planted = tmp_path / f"driftline-{os.getuid()}"
    planted.mkdir()
    planted.chmod(0o777)
    jit.cache_folder.cache_clear()
    with pytest.raises(OSError, match="no folder for compiled code can be written"):
        jit.cache_folder()
    planted.chmod(0o700)
    assert jit.cache_folder().is_relative_to(planted)


def test_stored_code_depends_on_every_module_that_the_loops_take_constants_from() -> None:
    sources = [path.read_text() for path in Path(jit.__file__).parent.glob("*.py")]
    imported = {name for source in sources for name in re.findall(r"^from engine\.formats\.(\w+) import", source, re.M)}
    assert imported == set(jit.CONSTANTS_FROM)


def test_help_does_not_load_the_compiler() -> None:
    code = (
        "import sys\nsys.argv = ['driftline', '--help']\nfrom engine.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('numba' in sys.modules, file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stderr.splitlines()[-1] == "False"


def test_of_two_that_start_at_once_one_compiles_and_the_other_waits_for_it(folder: Path) -> None:
    started, asked = threading.Event(), []

    def other() -> None:
        started.set()
        with jit.compiling("parser") as needed:
            asked.append(needed)

    waiting = threading.Thread(target=other)
    with jit.compiling("parser") as needed:
        waiting.start()
        assert started.wait(10)
        assert needed
        assert not asked
    waiting.join(10)
    assert asked == [False]


def test_compiling_that_fails_is_tried_again(folder: Path) -> None:
    with pytest.raises(RuntimeError, match="interrupted"), jit.compiling("parser"):
        raise RuntimeError("interrupted")
    with jit.compiling("parser") as needed:
        assert needed
