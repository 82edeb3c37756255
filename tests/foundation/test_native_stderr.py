"""Standard error is silent between `mute` and the end, for native code as well, and never outside."""

import os

import pytest

from foundation import native_stderr


def test_only_what_follows_mute_is_discarded(capfd: pytest.CaptureFixture[str]) -> None:
    with native_stderr.unmuted_after():
        os.write(2, b"before ")
        native_stderr.mute()
        os.write(2, b"panic ")
    os.write(2, b"after")
    assert capfd.readouterr().err == "before after"


def test_mute_does_nothing_where_nobody_undoes_it(capfd: pytest.CaptureFixture[str]) -> None:
    native_stderr.mute()
    os.write(2, b"shown")
    assert capfd.readouterr().err == "shown"


def test_an_error_passes_and_is_undone(capfd: pytest.CaptureFixture[str]) -> None:
    def muted() -> None:
        with native_stderr.unmuted_after():
            native_stderr.mute()
            raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        muted()
    os.write(2, b"shown")
    assert capfd.readouterr().err == "shown"
