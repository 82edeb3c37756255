"""Ports for programs that get them as arguments: free, next to the range of the system, and never the same twice."""

import socket
from pathlib import Path

import pytest

from connectors import ports
from connectors.ports import free_port


def test_ports_are_free_neighbours_and_none_is_given_twice() -> None:
    given = [port + i for port in (free_port(3) for _ in range(50)) for i in range(3)]
    assert len(set(given)) == 150
    for port in given:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port))


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("32768 60999", [range(10_000, 32_768), range(61_000, 65_536)]),
        ("5000\t20000\n", [range(20_001, 65_536)]),
        ("1024 65535", [range(10_000, 65_536)]),
        ("no numbers", [range(10_000, 32_768), range(61_000, 65_536)]),
    ],
)
def test_what_the_system_gives_away_is_left_to_it(
    text: str, allowed: list[range], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "range").write_text(text)
    monkeypatch.setattr(ports, "_RANGE", tmp_path / "range")
    for _ in range(40):
        port = free_port(2)
        assert any(port in part and port + 1 in part for part in allowed)


def test_a_port_in_use_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_FIRST", free_port(3))
    monkeypatch.setattr(ports, "_LAST", ports._FIRST + 2)
    monkeypatch.setattr(ports, "_given", [])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", ports._FIRST + 1))
        assert {free_port(), free_port()} == {ports._FIRST, ports._FIRST + 2}
        with pytest.raises(OSError, match="no 2 neighbouring ports are free"):
            free_port(2)
