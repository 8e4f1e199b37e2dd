"""The base model of a run with training rows in its prompt; its scores are stored in the run's folder."""

from tunewright.errors import error
from tunewright.extras.session_requests import PromptedRequest, PromptedResult
from tunewright.i18n import N_
from tunewright.launch.session_client import SessionClient
from tunewright.metrics.evaluated_rows import ExampleLoss, Sample
from tunewright.reporting import Reporter
from tunewright.rundir import atomic_io, file_names
from tunewright.rundir.run_dir import RunDir


def prompted(run: RunDir, shots: int, session: SessionClient, reporter: Reporter) -> dict[str, object]:
    """Scores of the base model on the run's held-out rows with `shots` training rows before each question.

    Raises: ConfigError E116; DataError E210, E230.
    """
    if run.plan().run.task != "causal_lm":
        raise error("E230", reason=N_("its task does not generate answers in turns"))
    result = session.request(PromptedRequest(shots), PromptedResult, reporter)
    samples = [Sample.model_validate(sample) for sample in result.samples]
    losses = [ExampleLoss.model_validate(loss) for loss in result.losses]
    run.write_test(file_names.PROMPTED, samples, losses)
    record = {name: value for name, value in result.to_json().items() if name not in ("samples", "losses")}
    atomic_io.write_json(
        run.path / file_names.EVAL / f"{file_names.PROMPTED}.json",
        {"schema": file_names.SCHEMA, "asked": shots, **record},
    )
    return record
