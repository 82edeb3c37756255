from bench.report import put_section, read_result
from bench.tables.classifiers import BEFORE, BEGIN, END, PAGE, README, ROOT, gathered, section, summary


def result(scenario, labels, metrics, peers=None):
    return {"scenario": scenario, "settings": {"labels": labels}, "metrics": metrics, "peers": peers or {}}


def figures(name, macro, accuracy=0.9):
    return {f"{name}.macro_f1": macro, f"{name}.macro_f1_std": 0.01, f"{name}.accuracy": accuracy}


LOOKUP = {"template_lookup": {"macro_f1": 0.5, "macro_f1_std": 0.0, "accuracy": 0.6}}
RESULTS = [
    result("classify-seven-random", "weak", figures("xgboost", 0.91) | figures("rules", 0.3), LOOKUP),
    result("classify-seven-random", "weak", figures("dann_bert", 0.92)),
    result("classify-seven-source", "corrected", figures("xgboost", 0.4), LOOKUP),
    result(
        "classify-lines",
        "corrected",
        {"train_s": 3.0}
        | {f"rules.{m}": 2e5 for m in ("train_s", "file_s", "uncached_lines_per_s", "cached_lines_per_s")},
    ),
]


def test_files_of_one_scenario_are_put_together_and_label_sets_are_not():
    text = section(gathered(RESULTS))
    assert "| classifier | published, random lines, weak | random lines, weak | new systems, corrected |" in text
    assert "| `dann_bert` | 0.903 (0.921) | **0.920** ± 0.010 (0.900) | - |" in text
    assert "| `xgboost` | 0.885 (0.912) | 0.910 ± 0.010 (0.900) | 0.400 ± 0.010 (0.900) |" in text
    assert "| `template_lookup` | - | 0.500 ± 0.000 (0.600) | **0.500** ± 0.000 (0.600) |" in text
    assert "| `rules` | 200,000 | 200,000 | 200,000 | 200,000 |" in text
    assert "python -m bench run classify-seven-source --set labels=corrected" in text


def test_it_says_whether_reversal_pays():
    both = figures("dann_bert", 0.3) | figures("dann_bert_no_reversal", 0.4)
    text = section(gathered([result("classify-seven-source", "weak", both)]))
    assert "on new systems: does not beat it on the weak labels (0.300 against 0.400)." in text
    assert "on new systems" not in section(gathered(RESULTS))


def test_the_summary_has_the_best_that_learns_beside_what_does_not():
    assert summary(gathered(RESULTS)).splitlines()[3:-1] == [
        "| random lines | weak | `dann_bert` | 0.920 | 0.500 | 0.300 |",
        "| new systems | corrected | `xgboost` | 0.400 | 0.500 | - |",
    ]


def test_the_section_is_written_before_what_it_says_and_then_in_its_place():
    text = section(gathered(RESULTS))
    page = put_section(f"# A\n\n{BEFORE}\n\nNone.\n", text, "Line classifiers, measured", BEFORE)
    assert page.index(BEGIN) < page.index(END) < page.index(BEFORE)
    assert put_section(page, text, "Line classifiers, measured", BEFORE) == page


def test_the_tables_in_the_documents_are_those_of_the_results():
    found = gathered([read_result(path) for path in sorted((ROOT / "bench" / "results").glob("classify-*.json"))])
    assert section(found) in PAGE.read_text("utf-8"), "run `python -m bench.tables.classifiers`"
    assert summary(found) in README.read_text("utf-8"), "run `python -m bench.tables.classifiers`"
