"""How far the references are, and which detectors cannot see: for health, metrics and the log."""

from collections.abc import Mapping
from dataclasses import dataclass

from engine.drift.base import ReferenceProgress


@dataclass(frozen=True, slots=True)
class MonitorStatus:
    """The state of a monitor for an operator.

    Attributes:
        references: Windows so far and windows needed for a first verdict, by detector.
        windows_per_s: Complete windows in a second of event time; 0 while unknown.
        blind: Detectors whose stream is so restless that nothing could exceed their threshold.
        raised: Detectors that report drift now.
    """

    references: Mapping[str, ReferenceProgress]
    windows_per_s: float
    blind: tuple[str, ...]
    raised: tuple[str, ...]

    @property
    def ready(self) -> bool:
        """Whether every detector has verdicts."""
        return all(progress.ready for progress in self.references.values())

    @property
    def seeing(self) -> bool:
        """Whether a detector is in use and not disabled, or no detector is in use."""
        return not self.references or len(self.blind) < len(self.references)

    def sentence(self) -> str:
        """One line, such as "watching novelty; kswin: reference 1,272 of 4,000 windows, ready in about 7 minutes"."""
        waiting: dict[ReferenceProgress, list[str]] = {}
        for name, progress in self.references.items():
            if not progress.ready:
                waiting.setdefault(progress, []).append(name)
        parts = [f"{', '.join(names)}: {self._remaining(progress)}" for progress, names in waiting.items()]
        watching = [name for name, progress in self.references.items() if progress.ready and name not in self.blind]
        if watching:
            parts.insert(0, f"watching {', '.join(watching)}")
        if self.blind:
            parts.append(f"disabled, because this stream varies as much without drift: {', '.join(self.blind)}")
        if self.raised:
            parts.append(f"drift reported by {', '.join(self.raised)}")
        return "; ".join(parts) or "no detector is in use"

    def _remaining(self, progress: ReferenceProgress) -> str:
        sentence = f"reference {progress.blocks:,} of {progress.needed:,} windows"
        if not self.windows_per_s:
            return sentence
        return f"{sentence}, ready in about {_duration((progress.needed - progress.blocks) / self.windows_per_s)}"


def _duration(seconds: float) -> str:
    """Seconds in the unit that a person would use."""
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= 1.5 * length:
            return f"{round(seconds / length)} {unit}s"
    return f"{max(1, round(seconds))} seconds" if seconds > 1 else "a second"
