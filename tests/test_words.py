"""Texts for users are in plain English: pages, help, descriptions of settings, log messages and errors."""

import ast
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.test_project import PACKAGES, ROOT, tracked

PLAINER: Mapping[str, str] = {
    r"told": "reported, set, distinguished",
    r"said": "reported, stated",
    r"beside": "next to, in addition to, in parallel",
    r"anew": "again, or a verb with re-: restart, rewrite",
    r"begun": "started",
    r"at the most": "at most, maximum",
    r"at the least": "at least, minimum",
    r"taken over": "adopted",
    r"passed over": "skipped",
    r"goes on": "continues",
    r"whoever": "the name of the person or program",
    r"(?<!there.)is no(?! (?:longer|more|less|later|earlier|larger|smaller|better|worse))": "is not a",
    r"(?<!there.)are no(?! (?:longer|more|less|later|earlier|larger|smaller|better|worse))": "are not",
    r"there is none": "does not exist, is missing",
    r"by itself": "automatically, separately, alone",
}
"""Pattern → plainer words. A space in a pattern matches a line break as well."""

PLAINER_FOR_USERS: Mapping[str, str] = {
    r"tells?": "reports, shows, distinguishes",
    r"says": "states, shows, contains",
    r"(?-i:[Pp]ut(?:s|ting)?)": "set, add, write, store",
    r"looks? at": "checks, reads, compares",
    r"knows?": "has, contains, supports",
    r"nobody": "no person, no region, or the passive",
    r"whatever": "any, regardless of",
    r"surely": "significantly, with a stated confidence",
    r"mend(?:s|ed)?": "fix, correct",
    r"(?:given|taken|took) back": "rolled back, returned",
    r"so many": "this many, the number of",
    r"in place of": "instead of, replaces",
    r"in words": "as a message, as text",
    r"for (?:ever|good)": "permanently, indefinitely",
    r"comes? back": "returns, restarts",
    r"stands? (?:for|under|beside|still)": "represents, is in, does not advance",
    r"where there (?:is|are)": "if there is, if available",
    r"its (?:own )?word": "the status, the message",
}
"""The same, for texts that users read."""

CLEAN_PACKAGES = ("connectors", "driftline", "engine", "federation", "foundation", "models", "bench", "tests")
"""Packages whose docstrings are checked; the others have some of the words left."""

LOG_METHODS = ("info", "warning", "error", "exception", "critical")
TEXT_KEYWORDS = ("description", "help")

_ANY_SPACE = r"\s+"
_CODE = re.compile(r"`[^`\n]*`")


def _compiled(words: Mapping[str, str]) -> dict[re.Pattern[str], str]:
    flags = re.IGNORECASE | re.DOTALL
    return {re.compile(rf"\b{_ANY_SPACE.join(old.split())}\b", flags): plainer for old, plainer in words.items()}


_WORDS = _compiled(PLAINER)
_WORDS_FOR_USERS = _compiled({**PLAINER, **PLAINER_FOR_USERS})


class Text(NamedTuple):
    """A text with the line it begins at."""

    line: int
    text: str


def findings(name: str, text: Text, words: Mapping[re.Pattern[str], str] = _WORDS_FOR_USERS) -> list[str]:
    """One message for each word of the list in a text, in the order of the list."""
    return [
        f"{name}:{text.line + text.text.count(chr(10), 0, found.start())}: "
        f"'{' '.join(found[0].split())}'; plainer: {plainer}"
        for pattern, plainer in words.items()
        for found in pattern.finditer(text.text)
    ]


def user_texts(tree: ast.Module, path: str) -> Iterator[Text]:
    """The strings of a module that users read; a string that belongs to two calls comes twice."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise):
            yield from _strings(node)
        elif isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute) and node.func.attr in LOG_METHODS:
                yield from _strings(node)
            for keyword in node.keywords:
                if keyword.arg in TEXT_KEYWORDS:
                    yield from _strings(keyword.value)
        elif isinstance(node, ast.FunctionDef) and path.startswith("engine/cli/") and _is_command(node):
            yield Text(node.body[0].lineno, ast.get_docstring(node, clean=False) or "")
    if path == "engine/telemetry/metrics.py":
        yield from _strings(tree)


def docstrings(tree: ast.Module) -> Iterator[Text]:
    """The docstrings of a module, those of attributes included, without code in backquotes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield Text(node.lineno, _CODE.sub(" ", node.value.value))


def _strings(node: ast.AST) -> Iterator[Text]:
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield Text(part.lineno, part.value)


def _is_command(node: ast.FunctionDef) -> bool:
    return any("command" in ast.unparse(decorator) for decorator in node.decorator_list)


def pages() -> list[Path]:
    return sorted({*tracked("docs/*.md"), *(ROOT.glob("*.md"))})


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_are_in_plain_english(page):
    name = str(page.relative_to(ROOT))
    found = findings(name, Text(1, page.read_text("utf-8")))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("package", PACKAGES)
def test_texts_in_code_are_in_plain_english(package):
    found: Counter[str] = Counter()
    for path in tracked(f"{package}/*.py"):
        name = str(path.relative_to(ROOT))
        for text in user_texts(ast.parse(path.read_text("utf-8")), name):
            found.update(findings(name, text))
    assert not found, "\n".join(sorted(found))


@pytest.mark.parametrize("package", CLEAN_PACKAGES)
def test_docstrings_are_in_plain_english(package):
    found: Counter[str] = Counter()
    for path in tracked(f"{package}/*.py"):
        name = str(path.relative_to(ROOT))
        for text in docstrings(ast.parse(path.read_text("utf-8"))):
            found.update(findings(name, text, _WORDS))
    assert not found, "\n".join(sorted(found))


def test_a_finding_names_the_line_the_word_and_a_plainer_one():
    (found,) = findings("docs/x.md", Text(3, "One line.\nIt stops at\nthe most once."))
    assert found == "docs/x.md:4: 'at the most'; plainer: at most, maximum"


@pytest.mark.parametrize("text", ["There is no broker.", "It is no longer used.", "at most 3", "besides", "retold"])
def test_plain_words_are_not_found(text):
    assert not findings("x", Text(1, text))


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("raise ValueError(f'{x} is no name')", "engine/x.py"),
        ("raise A('told') from error", "engine/x.py"),
        ("Field(1, description='Rows ' 'at the most.')", "engine/x.py"),
        ("log.warning('goes on: %s', x)", "engine/x.py"),
        ("@app.command()\ndef run():\n    '''Start anew.'''", "engine/cli/x.py"),
        ("gauge('driftline_x', 'Told.')", "engine/telemetry/metrics.py"),
    ],
)
def test_texts_for_users_are_read(code, name):
    assert [found for text in user_texts(ast.parse(code), name) for found in findings(name, text)]


def test_docstrings_are_checked_apart_from_texts_for_users():
    tree = ast.parse("def f():\n    '''Tests whether the caller was told.'''\n    return {'told': 1}")
    assert not [text for text in user_texts(tree, "engine/x.py") if findings("x", text)]
    assert [text.line for text in docstrings(tree) if findings("x", text, _WORDS)] == [2]
