"""`driftline ask`: the windows whose label teaches most, answered by one key each."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli.options import Json

if TYPE_CHECKING:
    from engine.offline.ask import LabelQuestion, Pool
    from engine.settings import RegionSettings
    from federation.storage.answers import AnswerStore

_KEYS = "a anomalous, n normal, s skip, u undo, q quit"
_SHOWN = 12
"""Templates shown of a window, the rarest ones."""


def ask(
    region: Annotated[Path, typer.Argument(help="The region's TOML file.", show_default=False)],
    alerts: Annotated[bool, typer.Option("--alerts", help="Ask about alerts only.")] = False,
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data", help="Log file, folder or glob to score and to add to the training store first. May be repeated."
        ),
    ] = None,
    budget: Annotated[int, typer.Option(min=1, help="Maximum number of questions.")] = 20,
    json: Json = False,
) -> None:
    """Ask about the windows whose label would help most; an answer is one key and goes to the training store.

    With --json the questions are listed and nothing is asked.

    Example: driftline ask eu-west.toml --budget 50
    """
    import time

    from engine.offline.alert_archive import AlertArchiveError
    from engine.offline.ask import threshold_in_service
    from engine.settings import load
    from federation.storage.answers import AnswerStore

    settings = load(region)
    if settings.training is None:
        raise AlertArchiveError(f"{region}: answers go to the training store; add a section [training] with a path")
    if alerts and data:
        raise typer.BadParameter("--alerts and --data cannot be combined")
    if "-" in (data or []):
        raise typer.BadParameter("--data -: the answers are read from standard input; name a file")
    with AnswerStore(settings.training.path, settings.training, now_ns=time.time_ns) as store:
        pool = _pool(region, settings, store, alerts=alerts, data=data or [])
        questions = pool.questions(budget, threshold_in_service(settings))
        if json:
            _list(questions)
        elif not questions:
            print("nothing to ask: every window in the training store is answered, or it holds none")
        else:
            _ask(questions, store)


def _pool(region: Path, settings: "RegionSettings", store: "AnswerStore", *, alerts: bool, data: list[str]) -> "Pool":
    from engine.offline.alert_archive import archive_of
    from engine.offline.ask import keep_scored, pool_of_alerts, pool_of_store

    if alerts:
        return pool_of_alerts(list(archive_of(str(region)).read()), store)
    if not data:
        return pool_of_store(store)
    from engine.offline.detect import as_trained, load_units, region_preprocessing, score_windows
    from engine.offline.inputs import LogSpec
    from models.storage.store import ModelStore
    from models.text.embeddings import embedding_cache

    preprocessing, url, name, device = region_preprocessing(region)
    spec = LogSpec(tuple(data), supervised=False)
    stored = ModelStore(url).load(name, device=device, cache=embedding_cache())
    scored = score_windows(load_units(spec, as_trained(preprocessing, stored.card)), stored)
    keep_scored(scored, settings.region, store)
    return pool_of_store(store, {key for key in scored.data.keys if key})


def _list(questions: "tuple[LabelQuestion, ...]") -> None:
    import json

    for question in questions:
        print(json.dumps(question.document()), flush=True)


def _ask(questions: "tuple[LabelQuestion, ...]", store: "AnswerStore") -> None:
    """Show one question after the other; an answer is stored at once, so nothing is lost by quitting."""
    import time

    answers: dict[int, bool] = {}
    number = 0
    while number < len(questions):
        _show(questions[number], f"{number + 1}/{len(questions)}")
        key = _key()
        if key in ("a", "n"):
            answers[number] = key == "a"
            store.answer(questions[number].keys, anomalous=answers[number], time_ns=time.time_ns())
            print("anomalous" if answers[number] else "normal")
        elif key == "u":
            number = max(number - 1, 0)
            if answers.pop(number, None) is not None:
                store.withdraw(questions[number].keys)
            print("taken back")
            continue
        elif key == "q":
            break
        number += 1
    anomalous = sum(answers.values())
    windows = sum(len(questions[i].keys) for i in answers)
    print(
        f"{len(answers)} answered: {anomalous} anomalous, {len(answers) - anomalous} normal; they label "
        f"{windows} sessions in the training store"
    )


def _show(question: "LabelQuestion", place: str) -> None:
    from rich.console import Console
    from rich.text import Text

    screen = Console()
    where = f"session {question.session}" if question.session else f"window {question.id[:12]}"
    screen.print(
        Text(f"\n{place}  {question.time[:19].replace('T', ' ')} UTC  {where}  score {question.score:.4g}  "),
        Text(f"{question.alike} windows like it"),
    )
    for text, count in question.templates[:_SHOWN]:
        screen.print(Text(f"  {count:>5} x {text}"))
    if len(question.templates) > _SHOWN:
        screen.print(f"  and {len(question.templates) - _SHOWN} more templates")
    screen.print(f"[{_KEYS}] ", end="", markup=False)


def _key() -> str:
    """The next answer key; from a pipe, characters that are not keys are ignored and its end quits."""
    while True:
        if sys.stdin.isatty():
            character = typer.getchar()
        else:
            character = sys.stdin.read(1) or "q"
        if character in ("\x03", "\x04"):
            return "q"
        if character.lower() in "ansuq":
            return character.lower()
