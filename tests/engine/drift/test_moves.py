import pytest

from engine.drift.moves import Move, kind_of

TEXT = {1: "user <*> logged in from <IP>", 2: "login of <*> from <IP> accepted", 3: "disk <*> is full", 4: "pool ready"}


def move(column, usual, now, divergence=0.1):
    return Move(column, divergence, usual, now, 5)


@pytest.mark.parametrize(
    ("moves", "kind"),
    [
        ([move(3, 0.0, 0.3)], "new_templates"),
        ([move(1, 0.3, 0.0)], "vanished"),
        ([move(1, 0.1, 0.3)], "rate"),
        ([move(2, 0.0, 0.3), move(1, 0.3, 0.0)], "renamed"),
        ([move(3, 0.0, 0.3), move(1, 0.3, 0.0)], "new_templates"),  # at the same rate, with other words
        ([move(2, 0.0, 0.8), move(1, 0.3, 0.0)], "new_templates"),  # alike, at another rate
        ([], "rate"),
    ],
)
def test_the_kind_follows_from_the_moves(moves, kind):
    assert kind_of(moves, TEXT) == kind
