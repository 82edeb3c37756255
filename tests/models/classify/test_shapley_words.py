from collections.abc import Mapping

import numpy as np
import pytest

from models.classify.base import CLASSES, Lines
from models.classify.shapley_words import SHOWN, word_reasons


class ByWords:
    """The probability of class 1 is a start plus what words, level and template add; class 0 has the rest."""

    def __init__(self, start: float, adds: Mapping[str, float]) -> None:
        self.start = start
        self.adds = adds
        self.asked = 0

    def __call__(self, lines: Lines) -> np.ndarray:
        self.asked += len(lines)
        found = np.zeros((len(lines), len(CLASSES)), np.float32)
        for i, (template, message, level, _, _) in enumerate(lines.keys()):
            words = {*message.split(), level, *(f"template:{w}" for w in template.split())}
            found[i, 1] = self.start + sum(self.adds.get(w, 0) for w in words)
            found[i, 0] = 1 - found[i, 1]
        return found


def reasons_of(classifier: ByWords, *texts: str, **columns: list[str]) -> dict[str, float]:
    found = word_reasons(classifier, Lines.of([texts[0]], [texts[-1]], **columns))
    return {r.what: r.value for r in found}


def test_what_adds_up_is_divided_exactly() -> None:
    classifier = ByWords(0.1, {"refused": 0.5, "root": 0.2, "welcome": -0.1, "error": 0.15})
    found = reasons_of(classifier, "root refused welcome here", levels=["error"], components=["sshd"])
    assert found == pytest.approx(
        {"word 'refused'": 0.5, "word 'root'": 0.2, "level error": 0.15, "word 'welcome'": -0.1}, abs=1e-6
    )
    assert next(iter(found)) == "word 'refused'"
    assert classifier.asked < 150


def test_credits_are_what_parts_the_line_from_an_empty_one() -> None:
    class Both(ByWords):
        def __call__(self, lines: Lines) -> np.ndarray:
            found = super().__call__(lines)
            both = np.array([0.6 if {"disk", "failed"} <= set(m.split()) else 0.0 for m in lines.messages], np.float32)
            found[:, 1] += both
            found[:, 0] -= both
            return found

    found = reasons_of(Both(0.05, {"failed": 0.2}), "the disk has failed")
    assert sum(found.values()) == pytest.approx(0.8, abs=1e-6)
    assert found["word 'failed'"] == pytest.approx(0.5, abs=0.06)  # its own, and half of what both bring
    assert found["word 'disk'"] == pytest.approx(0.3, abs=0.06)


def test_a_word_leaves_message_and_template_together() -> None:
    found = reasons_of(ByWords(0.0, {"template:failed": 0.9}), "disk 3 failed", "disk <*> failed")
    assert found == pytest.approx({"word 'failed'": 0.9}, abs=1e-6)


def test_long_lines_cost_no_more() -> None:
    classifier = ByWords(0.3, {"w7": 0.6})
    lines = Lines.of([" ".join(f"w{i}" for i in range(3000))])
    found = word_reasons(classifier, lines)
    assert classifier.asked < 30
    assert len(found) <= SHOWN
    assert "word 'w7'" in {r.what for r in found if r.value > 1e-4}


def test_a_line_without_text_has_no_reason() -> None:
    assert reasons_of(ByWords(0.9, {}), " ", "") == {}
    assert reasons_of(ByWords(0.9, {}), "", "only the <*> template") != {}


def test_an_explanation_repeats_itself() -> None:
    class Odd(ByWords):
        def __call__(self, lines: Lines) -> np.ndarray:
            found = super().__call__(lines)
            found[:, 1] = np.sin([float(len(m)) for m in lines.messages]) ** 2
            return found

    texts = "some line with words of many lengths"
    assert reasons_of(Odd(0, {}), texts) == reasons_of(Odd(0, {}), texts)
