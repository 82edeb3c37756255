from bench.report import put_section
from bench.tables.drift import SECTION


def row(log, change, place, **figures):
    return {"log": log, "change": change, "place": place, "cases": 3, **figures}


RESULT = {
    "scenario": "drift-everyday",
    "settings": {"seeds": 3},
    "detail": {
        "matrix": [
            row("bgl", "new_component", "early", found=3, delay_windows=799.0, named=1.0, right_kind=1.0),
            row("bgl", "new_component", "late", found=2, delay_windows=1_499.0, named=0.5, right_kind=0.5),
            row("bgl", "vanished", "late", found=0, delay_windows=None, named=None, right_kind=None),
        ],
        "false_per_100k_lines": {"bgl": 0.15},
    },
}


def test_every_change_has_a_row_and_every_place_a_column():
    text = SECTION.text([RESULT])
    assert "| bgl | new component | 3 of 3; 799; 100 %; 100 % | 2 of 3; 1,499; 50 %; 50 % | - |" in text
    assert "| bgl | vanished | - | 0 of 3 | - |" in text
    assert "seeds: 3. Found: 5 of 9." in text
    assert "| 0.15 |" in text


def test_results_of_several_logs_make_one_matrix():
    other = {
        **RESULT,
        "detail": {"matrix": [row("hdfs", "tripled", "late", found=0)], "false_per_100k_lines": {"hdfs": 0.0}},
    }
    text = SECTION.text([RESULT, other])
    assert text.count("| log |") == 1
    assert "| hdfs | tripled | - | 0 of 3 | - |" in text
    assert "| bgl | hdfs |" in text


def test_the_section_is_inserted_once():
    text = SECTION.text([RESULT])
    page = put_section(f"# A\n\n{SECTION.before}\n\nNone.\n", text, SECTION.heading, SECTION.before)
    assert page.count(SECTION.heading) == 1
    assert put_section(page, text, SECTION.heading, SECTION.before) == page
