import pytest
import typer

from engine.cli.times import duration_ns, since_ns

NS = 10**9


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("15min", 900), ("15 m", 900), ("1.5h", 5_400), ("2d", 172_800), ("1w", 604_800)],
)
def test_durations_have_one_set_of_units(text, seconds):
    assert duration_ns(text) == seconds * NS
    assert since_ns("--since", text, 10**18) == 10**18 - seconds * NS


@pytest.mark.parametrize("text", ["", "2", "h", "-2h", "2 hours", "2h "])
def test_other_texts_are_no_durations(text):
    assert duration_ns(text) is None


@pytest.mark.parametrize("text", ["1970-01-01T01:00", "1970-01-01T01:00:00Z", "1970-01-01T03:00:00+02:00"])
def test_a_time_without_a_zone_is_in_utc(text):
    assert since_ns("--since", text, 0) == 3_600 * NS


def test_a_text_that_is_neither_is_refused():
    with pytest.raises(typer.BadParameter, match=r"--after soon: a time .* is expected"):
        since_ns("--after", "soon", 0)
