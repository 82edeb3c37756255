from bench.report import put_section
from bench.tables.classifiers import SECTION


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
    text = SECTION.text(RESULTS)
    assert "| classifier | published, random lines, weak | random lines, weak | new systems, corrected |" in text
    assert "| `dann_bert` | 0.903 (0.921) | **0.920** ± 0.010 (0.900) | - |" in text
    assert "| `xgboost` | 0.885 (0.912) | 0.910 ± 0.010 (0.900) | 0.400 ± 0.010 (0.900) |" in text
    assert "| `template_lookup` | - | 0.500 ± 0.000 (0.600) | **0.500** ± 0.000 (0.600) |" in text
    assert "| `rules` | 200,000 | 200,000 | 200,000 | 200,000 |" in text
    assert "python -m bench run classify-seven-source --set labels=corrected" in text


def test_it_says_whether_reversal_pays():
    both = figures("dann_bert", 0.3) | figures("dann_bert_no_reversal", 0.4)
    text = SECTION.text([result("classify-seven-source", "weak", both)])
    assert "on new systems: does not beat it on the weak labels (0.300 against 0.400)." in text
    assert "on new systems" not in SECTION.text(RESULTS)


def test_the_section_is_inserted_once_and_then_replaced():
    text = SECTION.text(RESULTS)
    begin, *_, end = text.splitlines()
    page = put_section(f"# A\n\n{SECTION.before}\n\nNone.\n", text, SECTION.heading, SECTION.before)
    assert page.index(SECTION.heading) < page.index(begin) < page.index(end) < page.index(SECTION.before)
    assert put_section(page, text, SECTION.heading, SECTION.before) == page
    assert put_section(page, f"{begin}\nnew\n{end}", SECTION.heading, SECTION.before).count("new") == 1


def test_the_tables_in_the_documents_are_those_of_the_results():
    text = SECTION.text(SECTION.committed())
    assert text in SECTION.page.read_text("utf-8"), "run `python -m bench.tables.classifiers`"
