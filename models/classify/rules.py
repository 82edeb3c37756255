"""`rules`: classes from a readable rule file, after the manner of Sigma, https://sigmahq.io.

The rule file that comes with the package is `rules.toml` next to this module, which explains its
format; another one is named by a setting. Rules need no training: they give weak labels to logs that
without labels (`driftline label`), and abstain where no rule matches. Training only replaces each
rule's confidence by how often it was right.
"""

import re
import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from foundation.bounded_pattern import BoundedPattern
from models.base import FitReport, ModelSettingsError, ModelStoreError, Progress
from models.classify.base import CLASSES, NORMAL, Attribution, LineClassifier, Lines, LineTraining

_PRIOR_LINES = 10.0
"""Lines that a rule's written confidence is worth next to those it is measured on."""
_NOTHING = 0.6
"""Probability of normal where no rule holds: most lines are, and nothing speaks against it."""


class Rule(BaseModel):
    """One entry of a rule file; see the head of `rules.toml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, description="Shown as the reason of a class.")
    class_: str = Field(alias="class", description="Class that the rule gives.")
    any: tuple[str, ...] = Field((), description="At least one of these phrases is in the message.")
    all: tuple[str, ...] = Field((), description="All of these phrases are.")
    none: tuple[str, ...] = Field((), description="None of these phrases is.")
    pattern: str = Field("", description="This regular expression is found in the message.")
    levels: tuple[str, ...] = Field((), description="The level is one of these.")
    components: tuple[str, ...] = Field((), description="The component contains one of these.")
    confidence: Annotated[float, Field(gt=0, lt=1)] = Field(description="How often the rule is right.")

    @field_validator("class_")
    @classmethod
    def _is_class(cls, value: str) -> str:
        if value not in CLASSES:
            raise ValueError(f"'{value}' is not a class; classes are {', '.join(CLASSES)}")
        return value

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, value: str) -> str:
        if value:
            BoundedPattern(value)
        return value

    @model_validator(mode="after")
    def _has_condition(self) -> "Rule":
        if not (self.any or self.all or self.pattern or self.levels or self.components):
            raise ValueError("a rule needs one of any, all, pattern, levels and components")
        return self


class RulesSettings(BaseModel):
    """Which rules."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str = Field("", description="Rule file in TOML; the built-in one if empty.")
    min_confidence: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.5, description="Rules with a lower confidence are ignored."
    )


@dataclass(frozen=True, slots=True)
class RuleMatch:
    """What the rules say of a line: `rule` is None where they abstain, `words` are what it found in the message."""

    rule: int | None
    words: tuple[str, ...] = ()


class _Matcher:
    """A rule's conditions, compiled."""

    def __init__(self, rule: Rule) -> None:
        self._needed = [_phrases([phrase]) for phrase in rule.all]
        self._any, self._none = _phrases(rule.any), _phrases(rule.none)
        self._pattern = BoundedPattern(rule.pattern) if rule.pattern else None
        self._levels = frozenset(rule.levels)
        self._components = tuple(c.lower() for c in rule.components)

    def match(self, message: str, level: str, component: str) -> tuple[str, ...] | None:
        """The words found, () for a rule without any; None where it does not hold."""
        if self._levels and level not in self._levels:
            return None
        if self._components and not any(c in component for c in self._components):
            return None
        found = []
        for search in (*self._needed, self._any, self._pattern):
            if search is not None:
                hit = search.search(message)
                if hit is None:
                    return None
                found.append(hit[0].strip())
        if self._none is not None and self._none.search(message):
            return None
        return tuple(found)


def _phrases(phrases: Sequence[str]) -> re.Pattern[str] | None:
    if not phrases:
        return None
    bodies = (r"\s+".join(re.escape(word).replace(r"\*", r"\w*") for word in phrase.split()) for phrase in phrases)
    return re.compile(rf"(?<!\w)(?:{'|'.join(bodies)})(?!\w)", re.IGNORECASE)


class Rules(LineClassifier):
    """The classifier. A line has the class of its most confident rule, or else is normal with low confidence."""

    name = "rules"
    check_settings = ({}, {"min_confidence": 0.0})
    learns = False

    def __init__(self, settings: RulesSettings, *, device: str = "auto", cache: Path | None = None) -> None:
        """Read the rule file. Device and cache are ignored.

        Raises:
            ModelSettingsError: it is not there, or what is wrong in it.
        """
        self.options = settings
        if settings.file:
            try:
                text = Path(settings.file).expanduser().read_text("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise ModelSettingsError(f"the rule file {settings.file} cannot be read: {error}") from error
        else:
            text = files("models.classify").joinpath("rules.toml").read_text("utf-8")
        self._take(text, read_rules(text, settings.file or "rules.toml"))

    def _take(self, text: str, rules: tuple[Rule, ...]) -> None:
        self._text = text
        self.rules = rules
        self._matchers = [_Matcher(rule) for rule in rules]
        self._classes = np.array([CLASSES.index(rule.class_) for rule in rules] + [NORMAL])
        self._confidence = np.array([rule.confidence for rule in rules] + [_NOTHING], np.float32)

    def judge(self, lines: Lines) -> list[RuleMatch]:
        """The rule that decides each line."""
        # Surest first, so that the first that holds decides; sorting is stable, so of equals the first written.
        order = [
            i for i in np.argsort(-self._confidence[:-1], kind="stable").tolist()
            if self._confidence[i] >= self.options.min_confidence
        ]  # fmt: skip
        found = []
        for message, level, component in zip(lines.messages, lines.levels, lines.components, strict=True):
            lower = component.lower()
            hits = ((i, self._matchers[i].match(message, level, lower)) for i in order)
            found.append(next((RuleMatch(i, words) for i, words in hits if words is not None), RuleMatch(None)))
        return found

    def _fit(self, data: LineTraining, progress: Progress | None) -> FitReport:
        """See `LineClassifier.fit`. The rules stay; their confidences become what is measured on these lines."""
        start = time.perf_counter()
        last = len(self.rules)
        decided = np.array([last if j.rule is None else j.rule for j in self.judge(data.lines)])
        total = np.bincount(decided, data.weights, last + 1)
        right = np.bincount(decided, data.weights * (self._classes[decided] == data.labels), last + 1)
        written = np.array([rule.confidence for rule in self.rules] + [_NOTHING])
        # Never below what the classifier abstains at: a rule that is often wrong should be corrected, not disappear.
        floor = np.minimum(written, max(self.options.min_confidence, 1 / len(CLASSES) + 0.01))
        measured = (right + _PRIOR_LINES * written) / (total + _PRIOR_LINES)
        self._confidence = np.clip(measured, floor, 0.999).astype(np.float32)
        if progress:
            progress("train", 1, 1, {})
        return FitReport(time.perf_counter() - start)

    def confidences(self, judged: Sequence[RuleMatch]) -> NDArray[np.float32]:
        """float32 (n,): how sure the deciding rules are; where they abstain, how sure normal is."""
        return self._confidence[[len(self.rules) if j.rule is None else j.rule for j in judged]]

    def probabilities(self, lines: Lines) -> NDArray[np.float32]:
        """See `LineClassifier.probabilities`; what the rule leaves over is shared by the other classes."""
        judged = self.judge(lines)
        if not judged:
            return np.zeros((0, len(CLASSES)), np.float32)
        sure = self.confidences(judged)
        found = np.repeat((1 - sure[:, None]) / (len(CLASSES) - 1), len(CLASSES), axis=1)
        kinds = self._classes[[len(self.rules) if j.rule is None else j.rule for j in judged]]
        found[np.arange(len(lines)), kinds] = sure
        return found.astype(np.float32)

    def explain(self, lines: Lines) -> list[tuple[Attribution, ...]]:
        """See `LineClassifier.explain`: the rule, and the words it found."""
        found: list[tuple[Attribution, ...]] = []
        for judged in self.judge(lines):
            if judged.rule is None:
                found.append((Attribution("no rule holds", 0.0),))
                continue
            name = f"rule '{self.rules[judged.rule].name}'"
            found.append(
                (Attribution(name, 1.0), *(Attribution(f"word '{word}'", 1.0) for word in judged.words if word))
            )
        return found

    def weights(self) -> dict[str, NDArray[Any]]:
        """See `Model.weights`."""
        return {"confidence": self._confidence.copy()}

    def load_weights(self, weights: Mapping[str, NDArray[Any]], extra: Mapping[str, Any]) -> None:
        """See `Model.load_weights`; the rules themselves come from the card."""
        text = str(extra.get("rules", self._text))
        try:
            rules = read_rules(text, "the rules on the card")
        except ModelSettingsError as error:
            raise ModelStoreError(str(error)) from error
        if set(weights) != {"confidence"}:
            raise ModelStoreError(f"{self.name} has the array confidence; given were {', '.join(weights) or 'none'}")
        given = weights["confidence"]
        if given.shape != (len(rules) + 1,) or given.dtype != np.float32 or not ((given > 0) & (given < 1)).all():
            raise ModelStoreError(
                f"'confidence' of {self.name} is {given.dtype}{list(given.shape)}, expected float32[{len(rules) + 1}] "
                "between 0 and 1"
            )
        self._take(text, rules)
        self._confidence = given.copy()

    def settings(self) -> dict[str, Any]:
        """See `Model.settings`; without the file's name, since the rules are on the card."""
        return self.options.model_dump(mode="json") | {"file": ""}

    def extra(self) -> dict[str, Any]:
        """The rule file's text."""
        return {"rules": self._text}


def read_rules(text: str, place: str) -> tuple[Rule, ...]:
    """The rules of a rule file.

    Args:
        text: TOML.
        place: Name of the file, for messages.

    Raises:
        ModelSettingsError: it is not TOML, or a rule in it is wrong; the message names the rule and the fault.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ModelSettingsError(f"{place}: {error}") from error
    entries = document.get("rule")
    if set(document) != {"rule"} or not isinstance(entries, list):
        raise ModelSettingsError(f"{place}: a rule file consists of [[rule]] tables, at least one")
    found = []
    for number, entry in enumerate(entries, start=1):
        try:
            found.append(Rule.model_validate(entry))
        except ValidationError as error:
            what = error.errors()[0]
            where = ".".join(map(str, what["loc"]))
            name = entry.get("name", "") if isinstance(entry, dict) else ""
            said = str(what["msg"]).removeprefix("Value error, ")
            raise ModelSettingsError(
                f"{place}: rule {number} '{name}': {f'{where}: ' if where else ''}{said}"
            ) from error
    return tuple(found)
