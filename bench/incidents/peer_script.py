"""Peers of forty lines: Drain3 with three masks and two rules, and plain Drain3 with a rate rule.

They are what an engineer writes in half an hour: cut the header off, let Drain3 group the messages,
and report templates that the past never showed or that come far more often than they did.
"""

import copy
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from drain3 import TemplateMiner  # type: ignore[import-untyped]
from drain3.drain import Drain  # type: ignore[import-untyped]
from drain3.masking import LogMasker, MaskingInstruction  # type: ignore[import-untyped]
from drain3.template_miner_config import TemplateMinerConfig  # type: ignore[import-untyped]

from bench.incidents.base import DetectorAlert

BLOCK, SIGMA = 100, 6.0
NEW_STRENGTH = 50.0
MASKS = ((r"(?<![\w.])\d{1,3}(\.\d{1,3}){3}", "IP"), (r"[0-9a-f]{16,}", "HEX"), (r"\d+", "N"))
# What stands ahead of the message in the formats that people know by heart; other lines stay whole.
_HEADER = re.compile(
    r"^(?:\w{3} [ \d]\d [\d:]{8} \S+ |\[\w{3} \w{3} \d\d [\d:]{8} \d{4}\] "
    r"|\d{4}-\d\d-\d\d[ T][\d:.,]+Z? |\d{6} \d{6} \d+ )"
)
_REQUEST = re.compile(r'"([A-Z]+) (\S+) [^"]*" (\d)\d\d ')


def request(line: str) -> str | None:
    """Method, path and class of status of a line in the combined log format."""
    found = _REQUEST.search(line) if line.endswith('"') else None
    return f"{found[1]} {re.sub('[0-9]+', 'N', found[2])} status{found[3]}xx" if found is not None else None


class LineTemplates:
    """The template of a line: Drain3's for messages, the text itself for requests of an access log."""

    def __init__(self, masked: bool) -> None:
        instructions = [MaskingInstruction(pattern, name) for pattern, name in MASKS] if masked else []
        self._drain: Drain = TemplateMiner(None, TemplateMinerConfig()).drain
        self._masker = LogMasker(instructions, "<", ">")
        # Cases of one background share most of their lines; what a line is grouped by depends on it alone.
        self._known: dict[str, tuple[str, bool]] = {}

    def of(self, line: str) -> int | str:
        """The line's template; Drain3 learns from it."""
        if line not in self._known:
            text = request(line)
            masked = text or self._masker.mask(_HEADER.sub("", line, count=1))
            self._known[line] = (masked, text is not None)
        text, final = self._known[line]
        if final:
            return text
        number: int = self._drain.add_log_message(text)[0].cluster_id
        return number

    def fork(self) -> "LineTemplates":
        """A copy with the templates learnt so far."""
        other = copy.copy(self)
        other._drain = copy.deepcopy(self._drain)
        return other

    def text(self, template: int | str) -> str:
        """The template as a person reads it."""
        found = self._drain.id_to_cluster.get(template)
        return found.get_template() if found is not None else str(template)


@dataclass(frozen=True, slots=True)
class Script:
    """The script to beat: an alert for a template not seen before, and one for a rate 6 sigma over the past's.

    Attributes:
        masked: Whether IP addresses, long hexadecimal words and numbers are masked.
        new: Whether a template not seen before is reported; if not, only its rate can be.
    """

    masked: bool = True
    new: bool = True

    def learn(self, past: Sequence[str]) -> "ScriptWatch":
        """Counts the templates of the past."""
        ids = LineTemplates(self.masked)
        return ScriptWatch(self, ids, Counter(ids.of(line) for line in past), len(past))


@dataclass(frozen=True, slots=True)
class ScriptWatch:
    """The templates and the rates of the past."""

    script: Script
    ids: LineTemplates
    past: Counter[int | str]
    lines: int

    def watch(self, now: Sequence[str]) -> list[DetectorAlert]:
        """New templates at once, rates at the end of every block of 100 lines."""
        ids, block, alerts, seen = self.ids.fork(), Counter[int | str](), list[DetectorAlert](), set(self.past)
        for row, line in enumerate(now):
            template = ids.of(line)
            if self.script.new and template not in seen:
                seen.add(template)
                alerts.append(DetectorAlert((row,), row, NEW_STRENGTH, ids.text(template), "never seen before"))
            block[template] += 1
            if row % BLOCK == BLOCK - 1:
                alerts += self._rates(block, row, ids)
                block.clear()
        return alerts

    def _rates(self, block: Counter[int | str], row: int, ids: LineTemplates) -> list[DetectorAlert]:
        alerts = []
        for template, count in block.items():
            usual = self.past[template] / self.lines * BLOCK
            strength = (count - usual) / math.sqrt(usual + 1)
            if strength > SIGMA and (template in self.past or not self.script.new):
                reason = f"{count} in {BLOCK} lines, usually {usual:.1f}"
                alerts.append(DetectorAlert(range(row - BLOCK + 1, row + 1), row, strength, ids.text(template), reason))
        return alerts


SCRIPT = Script()
DRAIN3_RATE = Script(masked=False, new=False)
