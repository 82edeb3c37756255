"""Whether a log that a model is judged on is one that it was trained on.

The card of a model that `driftline train` made names the SHA-256 of the files and the time range of the training
sessions, so that this can be asked later.
"""

from engine.offline.datasets import LabelledWindows, session_begins
from engine.offline.inputs import LogSpec, log_files, sha256
from foundation.time_text import iso_time, parse_time
from models.storage.store import Card


def facts_of(spec: LogSpec, data: LabelledWindows) -> dict[str, int | float | str]:
    """What a card keeps of the training data.

    Args:
        spec: The log.
        data: The windows that were learnt from, at least one.
    """
    begin, _ = session_begins(data)
    return {
        "sha256": sha256(log_files(spec.names)),
        "first_time": iso_time(int(begin.min())),
        "last_time": iso_time(int(begin.max())),
    }


def warning(card: Card, title: str, log_sha256: str, data: LabelledWindows) -> str:
    """A sentence if the model was trained on sessions that it is judged on; "" otherwise.

    Args:
        card: Card of the model.
        title: Name of the log, see `LogSpec.title`.
        log_sha256: Of its files.
        data: The windows that it is judged on.
    """
    facts = card.data
    if not {"sha256", "first_time", "last_time"} <= facts.keys():
        return ""
    same = facts["sha256"] == log_sha256
    if not same and facts.get("source") != title:
        return ""
    begins, _ = session_begins(data)
    begin, end = parse_time(str(facts["first_time"])), parse_time(str(facts["last_time"]))
    # Sessions are split by their first line; the last one learnt from may share its second with the next.
    inside = int(((begin <= begins) & (begins < end)).sum())
    if not inside:
        return ""
    what = "this very log" if same else "a log of this name"
    first, last = (str(facts[name])[:19] for name in ("first_time", "last_time"))
    return (
        f"{card.name} v{card.version} was trained on {what}: {inside:,} of {len(begins):,} sessions begin in "
        f"its training time ({first} to {last}), so its figures are too good; judge it on later sessions "
        "(train --first, evaluate --after) or on another log"
    )
