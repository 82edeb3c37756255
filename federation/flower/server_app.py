"""The Flower ServerApp of a round: reads the plan, runs the round, writes the result.

Flower does not return the outcome of a run, so the result is written to the round's folder, where
`federation.flower.superlink` waits for it.
"""

import functools
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp
from flwr.supercore.inflatable.inflatable_utils import pull_objects
from flwr.superlink.grid import http_grid

from federation.errors import FederationError, RoundFailedError
from federation.flower.network import FlowerNetwork
from federation.flower.supernode import FIRST_POLL_S, MAX_POLL_S
from federation.round import round_files
from federation.round.round import run_round

# The grid fetches a reply as soon as its head is there, and then waits a second for the rest of it.
vars(http_grid)["pull_objects"] = functools.partial(pull_objects, initial_backoff=FIRST_POLL_S, backoff_cap=MAX_POLL_S)

app = ServerApp()


@app.main()
def run(grid: Grid, context: Context) -> None:
    """Run the round whose folder the run's configuration names."""
    main(grid, Path(str(context.run_config["folder"])))


def main(grid: Grid, folder: Path) -> None:
    """Run the round in `folder`; a failure is written as its result, too."""
    try:
        plan, weights = round_files.read_plan(folder)
        result = run_round(
            FlowerNetwork(grid), plan.settings, plan.spec, weights, plan.threshold, round_id=plan.round_id,
            made_with=plan.made_with, kept=round_files.read_kept(folder, plan),
            report=functools.partial(round_files.add_step, folder), traceparent=plan.traceparent,
        )  # fmt: skip
    except RoundFailedError as error:
        round_files.write_failure(folder, str(error), error.present)
    except FederationError as error:
        round_files.write_failure(folder, str(error))
    except Exception as error:
        round_files.write_failure(folder, f"the round failed with {type(error).__name__}: {error}")
        raise
    else:
        round_files.write_result(folder, result)
