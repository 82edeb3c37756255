"""Thresholds of single regions, for a candidate that they take.

One threshold is fitted for all regions, and a region whose log differs may be served better by one of its own. It gets
one only if its own labels prove it:

1. The region's calibration windows have labels that support a threshold, and the rule of the round is fitted to them
   alone.
2. The candidate makes enough mistakes on the region's holdout that a correction of all would prove something. Without
   them nobody is asked, so that a good candidate costs no further exchange.
3. The region judges its holdout by the candidate with both thresholds, and the gate's paired test decides. Calibration
   windows and holdout are different sessions, so the threshold is not judged by what it was fitted to.

The weights stay those of all regions: there is one version, whose card records these thresholds.
"""

from collections.abc import Mapping, Sequence

from federation.protocol.calibration import MIN_ANOMALIES, shared_threshold
from federation.protocol.records import HoldoutFigures, Pairs, ScoreSketch
from federation.round.evidence import evidence_of
from federation.round.paired_test import chance
from federation.round.settings import RoundSettings

MOST_REGIONS = 10
"""Regions that are asked in one round, those with the most mistakes first: each costs an exchange of its own."""


def proposals(
    sketches: Sequence[ScoreSketch], shared: float, figures: Mapping[str, HoldoutFigures], settings: RoundSettings
) -> dict[str, float]:
    """Steps 1 and 2: the threshold of each region that may do better with one of its own.

    Args:
        sketches: Calibration scores of the regions that take the candidate.
        shared: Threshold of the candidate for all regions.
        figures: Holdout figures by region, with the candidate at the shared threshold.
        settings: Threshold rule, and level of the test.
    """
    level = settings.level / max(1, len(figures))
    promising = [s for s in sketches if s.region in figures and _promises(s, figures[s.region], level)]
    promising.sort(key=lambda s: -_mistakes(figures[s.region]))
    fitted = {s.region: shared_threshold([s], settings.threshold).value for s in promising[:MOST_REGIONS]}
    return {region: own for region, own in fitted.items() if own != shared}


def proven(figures: HoldoutFigures, settings: RoundSettings, regions: int) -> bool:
    """Step 3: whether a region's holdout proves its own threshold, at the level divided by the number of regions.

    Args:
        figures: Of the candidate with the shared threshold (`current`) and with the region's own (`candidate`).
        settings: Level of the test.
        regions: Number of regions that judged the candidate.
    """
    own = evidence_of(figures).labelled()
    return own.gain > 0 and own.luck <= settings.level / max(1, regions)


def sentence(region: str, own: float, shared: float, figures: HoldoutFigures) -> str:
    """What the verdict states about a region with its own threshold."""
    found = evidence_of(figures).labelled()
    return (
        f"{region} takes it with its own threshold, {own:.4g} instead of {shared:.4g}: {found.before:.4f} becomes "
        f"{found.after:.4f} there ({found.pairs.better} sessions judged better and {found.pairs.worse} worse)"
    )


def _promises(sketch: ScoreSketch, figures: HoldoutFigures, level: float) -> bool:
    if not sketch.labelled or sketch.anomalous_count < MIN_ANOMALIES or not sketch.normal_count:
        return False
    _, raised, missed, _ = figures.candidate
    corrected = Pairs(found=missed, cleared=raised)
    return chance(corrected, (evidence_of(figures).after + 1) / 2) <= level


def _mistakes(figures: HoldoutFigures) -> int:
    _, raised, missed, _ = figures.candidate
    return raised + missed
