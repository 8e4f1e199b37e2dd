"""Base and tuned model under lm-evaluation-harness: `python -m tunewright.extras.lm_eval.harness_worker RUN`, like a session.

A module of its own, as the harness is an optional part and is imported here alone. No code comes with a task: metrics that
are scripts are not searched for, templates are rendered in jinja2's sandbox, tasks marked as unsafe are refused.
"""

import math
import sys
import traceback
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import lm_eval
from jinja2.sandbox import ImmutableSandboxedEnvironment
from lm_eval import utils
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from tunewright.engine.models.load_model import load_hf_tokenizer
from tunewright.engine.session_server import Operation, Operations, SessionServer, by_name, main
from tunewright.engine.system.device import is_on_cpu
from tunewright.errors import error
from tunewright.extras.session_requests import BenchmarkRequest, BenchmarkResult
from tunewright.rundir.run_dir import RunDir
from tunewright.rundir.session_protocol import Send

ROWS_AT_ONCE_ON_GPU = 8  # a CPU is busy with one row, and padding only costs; not measured on a GPU
RESAMPLES = 1000  # for metrics whose standard error has no formula


def benchmark(session: SessionServer, request: BenchmarkRequest) -> BenchmarkResult:
    """The results of each task for base and tuned model, measured on the same rows.

    Raises: ExportError E610 for tasks that the harness does not know, E611 if it cannot run them.
    """
    _without_code()
    manager = TaskManager(include_path=request.include_path)
    tasks = list(request.tasks)
    unknown = [name for name in tasks if name not in manager.all_tasks]
    if unknown:
        raise error("E610", names=", ".join(unknown))

    def measure(model: Any, number: int) -> dict[str, object]:
        session.reporter.progress(number, 2)
        try:
            return _measured(session, model, tasks, manager, request.rows)
        except Exception as fault:  # a task may fail in any library that it uses
            traceback.print_exc()
            reason = f"{type(fault).__name__}: {str(fault).strip()}".split("\n", 1)[0]
            raise error("E611", names=", ".join(tasks), reason=reason[:300]) from fault

    with session.base() as base:
        before = measure(base, 0)
    after = measure(session.model, 1)
    session.reporter.progress(2, 2)
    return BenchmarkResult(lm_eval.__version__, _side_by_side(before, after))


def _without_code() -> None:
    """Block the code that a task could name: `evaluate` runs scripts by name, and the harness' own jinja2 has no sandbox."""
    sys.modules["evaluate"] = None  # type: ignore[assignment]  # importing it now fails
    open_ended = utils.env
    sandbox = ImmutableSandboxedEnvironment(
        loader=open_ended.loader, undefined=open_ended.undefined, keep_trailing_newline=True
    )
    sandbox.filters.update(open_ended.filters)
    utils.env = sandbox


def _measured(
    session: SessionServer, model: Any, tasks: list[str], manager: TaskManager, rows: int | None
) -> dict[str, object]:
    plan = session.plan
    lm = HFLM(
        pretrained=model,
        tokenizer=load_hf_tokenizer(Path(plan.facts.model.tokenizer_folder), session.tokenizer),
        backend="seq2seq" if plan.run.task == "seq2seq" else "causal",
        max_length=session.positions(),
        batch_size=1 if is_on_cpu() else ROWS_AT_ONCE_ON_GPU,
    )
    results = lm_eval.simple_evaluate(
        model=lm, tasks=tasks, task_manager=manager, limit=rows, bootstrap_iters=RESAMPLES, log_samples=False
    )
    assert results is not None  # that is the answer of other processes than the first
    return results


def _side_by_side(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, object]:
    return {
        name: {
            "version": after["versions"].get(name),
            "num_fewshot": after["n-shot"].get(name),
            "rows": after["n-samples"].get(name, {}).get("effective"),
            "metrics": [
                {
                    "metric": key.partition(",")[0],
                    "filter": key.partition(",")[2],
                    "is_higher_better": after["higher_is_better"].get(name, {}).get(key.partition(",")[0]),
                    "before": _value(before["results"][name], key),
                    "after": _value(results, key),
                }
                for key in results
                if "," in key and not key.partition(",")[0].endswith("_stderr")
            ],
        }
        for name, results in after["results"].items()
    }


def _value(results: Mapping[str, object], key: str) -> dict[str, float | None]:
    metric, _comma, filtered = key.partition(",")
    return {"value": _number(results[key]), "stderr": _number(results.get(f"{metric}_stderr,{filtered}"))}


def _number(value: Any) -> float | None:
    """A finite number; None for what the harness calls N/A."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def operations(run: RunDir, send: Send) -> Operations:
    """The operations of this process."""
    return by_name(Operation(BenchmarkRequest, partial(benchmark, SessionServer(run, send))))


if __name__ == "__main__":
    main(operations)
