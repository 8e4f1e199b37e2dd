"""Runs behind an endpoint that speaks OpenAI's API."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tunewright.api.run_handle import TrainedRun
from tunewright.extras.deploy import check_served, serve_runs
from tunewright.extras.deploy.served import Served
from tunewright.extras.serve.serve_options import ServeOptions
from tunewright.reporting import SILENT, Reporter
from tunewright.rundir.records import Proof


@contextmanager
def serve(
    runs: TrainedRun | Sequence[TrainedRun], *, engine: str | None = None, quant: str | None = None,
    port: int = 0, api_key_file: str | Path | None = None, with_system: bool = False, reporter: Reporter = SILENT,
) -> Iterator[Served]:  # fmt: skip
    """An endpoint for these runs on this machine while the block lasts: `with tw.serve(run) as served: served.url`.

    Each run is a model by its name for any client of OpenAI's API, with the base URL `served.url + "/v1"`.
    Raises: as `open_server`; ExportError E641, E649; TrainingError E506.
    """
    options = ServeOptions(
        port=port, api_key_file=Path(api_key_file) if api_key_file else None, with_system=with_system
    )
    listed = [runs] if isinstance(runs, TrainedRun) else list(runs)
    opened = open_server(listed, options, engine=engine, quant=quant, reporter=reporter)
    with opened as served, served.front.in_background():
        yield served


def open_server(
    runs: Sequence[TrainedRun], options: ServeOptions, *, engine: str | None = None, quant: str | None = None,
    reporter: Reporter = SILENT,
) -> AbstractContextManager[Served]:  # fmt: skip
    """The runs loaded behind a bound port, to be served by `run`. GGUF files are made once and kept.

    Raises: ConfigError E116; ExportError E601, E620 to E622, E640 to E648; ModelError E324; TrainingError E515; HubError E706.
    """
    for run in runs:
        run.close()  # what holds its model now; whoever uses the run beside the server has it loaded again
    return serve_runs.open_server([run.dir for run in runs], options, engine=engine, quant=quant, reporter=reporter)


def serve_checked(
    runs: Sequence[TrainedRun], served: Served, on_proof: Callable[[Sequence[Proof]], None], reporter: Reporter = SILENT
) -> None:
    """Serve until SIGINT or SIGTERM, as `Served.run`; `on_proof` is called once all runs answer through the front as trained.

    The runs keep their proofs. Raises: as `Served.run`; ExportError E662 where a check does not hold, E663; DataError E210.
    """
    folders = [run.dir for run in runs]
    expected = check_served.references(folders, reporter)
    served.run(lambda: on_proof(check_served.check_served(folders, expected, served)))
