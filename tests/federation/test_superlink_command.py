"""How the SuperLink is started."""

from pathlib import Path

import pytest

from federation.base import SetupError
from federation.superlink import SuperLinkSettings, _command

FILES = {"certificate": "server.crt", "certificate_key": "server.key", "authority": "ca.crt"}


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the three files; the current folder is the one above."""
    folder = tmp_path / "keys"
    folder.mkdir()
    for name in FILES.values():
        (folder / name).write_text("PEM")
    monkeypatch.chdir(tmp_path)
    return folder


def test_files_named_from_the_current_folder_are_found_from_any(keys: Path) -> None:
    named = {setting: Path("keys") / name for setting, name in FILES.items()}
    settings = SuperLinkSettings.model_validate({"folder": Path("superlink"), **named})
    command = _command(settings, settings.folder.resolve(), keys / "secret")
    given = [command[command.index(option) + 1] for option in ("--ssl-certfile", "--ssl-keyfile", "--ssl-ca-certfile")]
    assert given == [str(keys / name) for name in FILES.values()]
    assert "--enable-supernode-auth" in command
    assert "--insecure" not in command


@pytest.mark.parametrize("without", FILES)
def test_two_of_three_files_are_refused(keys: Path, without: str) -> None:
    named = {setting: Path("keys") / name for setting, name in FILES.items() if setting != without}
    settings = SuperLinkSettings.model_validate({"folder": Path("superlink"), **named})
    with pytest.raises(SetupError, match="go together"):
        _command(settings, settings.folder, keys / "secret")
