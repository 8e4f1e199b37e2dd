"""The run's model under lm-evaluation-harness, in a process of its own, beside its base; kept in the run's folder."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from tunewright.config.tasks import TASKS
from tunewright.errors import error
from tunewright.extras.session_requests import BenchmarkRequest, BenchmarkResult
from tunewright.launch.session_client import SessionClient
from tunewright.reporting import Reporter
from tunewright.rundir import atomic_io, file_names
from tunewright.rundir.run_dir import RunDir
from tunewright.security import gate_task_folder

HARNESS = "lm_eval"
# Metric scripts are never downloaded; the data of tasks only with `online`, and without a token.
OFFLINE = {"HF_EVALUATE_OFFLINE": "1"}
ONLINE = {**OFFLINE, "HF_HUB_OFFLINE": "0", "HF_DATASETS_OFFLINE": "0"}


def benchmark(
    run: RunDir, tasks: Sequence[str], *, rows: int | None, include_path: Path | None, online: bool, reporter: Reporter
) -> dict[str, object]:
    """What the tasks give for base and tuned model; earlier results of other tasks are kept beside them.

    Raises: ConfigError E116; ExportError E601 without the harness, E608 for a folder of tasks that names code, E609 for a
    run that labels, E610, E611; TrainingError E506.
    """
    if find_spec(HARNESS) is None:
        raise error("E601", what="--benchmark", extra="bench")
    task = run.plan().run.task
    if not TASKS[task].writes:
        raise error("E609", task=task, name=run.name)
    if include_path:
        gate_task_folder(include_path)
    environment = ONLINE if online else OFFLINE
    with SessionClient(run, module="tunewright.extras.lm_eval.harness_worker", environment=environment) as session:
        folder = str(include_path.resolve()) if include_path else None
        request = BenchmarkRequest(tasks=list(tasks), rows=rows, include_path=folder)
        result = session.request(request, BenchmarkResult, reporter)
    earlier = run.benchmark()
    tasks_before = earlier.model_dump(mode="json")["tasks"] if earlier else {}
    stored = {"schema": file_names.SCHEMA, **result.to_json(), "tasks": {**tasks_before, **result.tasks}}
    with run.private():
        atomic_io.make_folder(run.benchmark_path.parent)
        atomic_io.write_json(run.benchmark_path, stored)
    return result.to_json()
