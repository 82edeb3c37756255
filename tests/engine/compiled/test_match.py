import random
import re

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.compiled import match
from engine.compiled.jit import entry
from engine.compiled.match import GAVE_UP, NO_MATCH, STACK_ROWS
from engine.compiled.regex_program import ProgramTable, loosened
from engine.compiled.regex_syntax import parse
from engine.compiled.words import PAD, padded
from engine.formats.masks import Mask, Masker
from engine.formats.registry import FORMATS
from engine.formats.timestamps import DIGIT_GROUPS
from engine.parsing.continuation import CONTINUATION
from engine.parsing.parse_settings import ParseSettings
from engine.parsing.template_rules import template_rules
from tests.support.parsing import mutate

ROOM = np.zeros((STACK_ROWS, 4), np.int64)
match_at, fill_up = entry(match.match_at.py_func), entry(match.fill_up.py_func)
PATTERNS = [
    *((f.header.pattern, f.header.flags) for f in FORMATS.values() if f.header),
    *((p, 0) for f in FORMATS.values() for rule in f.sessions.values() for p in rule),
    (CONTINUATION.pattern, 0),
]
EXAMPLES = [line for entry in FORMATS.values() for line in entry.examples]


def matched(pattern: bytes, flags: int, lines: list[bytes]) -> None:
    """The program and `re` agree on the end of a match and on the places of all groups."""
    known = re.compile(pattern, flags)
    names = list(known.groupindex)
    table = ProgramTable()
    place = table.add(parse(pattern, dotall=bool(flags & re.DOTALL)), {name: 2 * i for i, name in enumerate(names)})
    code, sets = table.arrays()
    for line in lines:
        slots = np.full(2 * len(names) + 2, -1)
        fill_up(ROOM, len(line))
        end = match_at(code, sets, place, padded(line), PAD, PAD + len(line), PAD, slots, ROOM)
        want = known.match(line)
        if want is None:
            assert end == NO_MATCH, line
            continue
        assert end - PAD == want.end(), line
        slots[slots >= 0] -= PAD
        assert [tuple(slots[2 * i : 2 * i + 2].tolist()) for i in range(len(names))] == [want.span(n) for n in names]


@pytest.mark.parametrize(("pattern", "flags"), PATTERNS)
def test_programs_agree_with_re(pattern: bytes, flags: int) -> None:
    rng = random.Random(1)
    matched(pattern, flags, [mutate(rng.choice(EXAMPLES), rng) for _ in range(400)])


PIECES = [
    "a", "b", "ab", "[ab]", "[^a]", ".", "a*", "a+?", "(?:ab)*", "(?:a|b)+", "(?:a|ab)", "b?", "a??", "a{2,3}", "a*+",
    "b?+", "^", "$", r"\b", "(?=a)", "(?!b)", "(?<=a)", "(?<!b)", "(?P<g>a*b)?", "(?:(?:a|ba)+b)?",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=5).map("".join), st.text("ab \n", max_size=12))
@example("(?P<g>a*b)?a", "aa")
@example("a*a*$", "aaab")
def test_small_expressions_agree_with_re(pattern: str, text: str) -> None:
    if pattern.count("(?P<g>") < 2:
        matched(pattern.encode(), 0, [text.encode()])


def test_a_match_that_takes_too_long_gives_up() -> None:
    table = ProgramTable()
    place = table.add(parse(b"(?:a+)+b"), {})
    data = np.full(5000, ord("a"), np.uint8)
    fill_up(ROOM, 5000)
    assert match_at(*table.arrays(), place, data, 0, 5000, 0, np.full(2, -1), ROOM) == GAVE_UP


def test_digit_groups_take_any_number_of_digits_and_say_how_many_are_right() -> None:
    tree, widths = loosened(parse(rb"(?P<day>[0-9]{1,2}) (?P<year>[0-9]{4})"), frozenset(DIGIT_GROUPS))
    table = ProgramTable()
    place = table.add(tree, {})
    data = np.frombuffer(bytearray(b"123 20245"), np.uint8)
    fill_up(ROOM, 9)
    assert match_at(*table.arrays(), place, data, 0, 9, 0, np.full(2, -1), ROOM) == 9
    assert widths == {"day": (1, 2), "year": (4, 4)}


MESSAGES = st.lists(
    st.sampled_from([*"0123456789 abcdefx-:;./\"'_[](){}=<>|", "blk_", "0x", " 10.0.0.7:80 ", "5f6e2a10-1111-4222-8-9",
                     "a1b2c3d4", "tag=\"x\"", "é", "com.apple.x: ", "rhost=a ", "lifetime 3", "\t", " HTTP/1.1"]),
    max_size=30,
).map("".join)  # fmt: skip


MASKS = {template_rules(f, ParseSettings(format=f.name)).masks: f.name for f in FORMATS.values()}
"""Every sequence of masks, and a format that has it."""


@pytest.mark.parametrize("masks", MASKS, ids=MASKS.values())
@given(messages=st.lists(MESSAGES, min_size=1, max_size=5))
def test_compiled_masks_agree_with_re(masks: tuple[Mask, ...], messages: list[str], numbered) -> None:
    assert numbered(masks, messages) == [Masker(masks).mask(message) for message in messages]


STRANGE = (r"(?:ab)+", r"[0-9]{2,3}", r"\bx\w*", r"(?<=[^A-Za-z0-9])-?\d+", r"a|ab|abc", r"x.*?;", r"0x[0-9a-f]+")


@given(messages=st.lists(st.text("ab0123x;-. ", max_size=30), min_size=1, max_size=5), chosen=st.permutations(STRANGE))
def test_masks_of_a_users_own_agree_with_re(messages: list[str], chosen: list[str], numbered) -> None:
    masks = tuple(Mask(pattern=p, name=name) for p, name in zip(chosen, ("Ma", "Mb", "Mc"), strict=False))
    assert numbered(masks, messages) == [Masker(masks).mask(message) for message in messages]
