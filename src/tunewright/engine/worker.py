"""The worker's entry: `python -m tunewright.engine.worker RUN` does the steps of a run's plan that are not done yet.

Everything it has to say goes into the run's files; its exit code is that of the catalogue.
"""

import json
import logging
import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from tunewright.accel.loss import LossFunction, plain_loss
from tunewright.data.tokenizer import TextTokenizer, load_tokenizer
from tunewright.engine.evaluate import Evaluation, evaluate
from tunewright.engine.export import save_adapter
from tunewright.engine.load import load_base
from tunewright.engine.prepare import Prepared, prepare
from tunewright.engine.train import Outcome, train
from tunewright.engine.watch import StopFlag, Stopwatch, peak_rss_bytes
from tunewright.errors import TunewrightError, error
from tunewright.plan.plan import Plan, from_json
from tunewright.runs import durable, layout
from tunewright.runs.events import EventLog
from tunewright.runs.store import RunDir

PROGRESS_SECONDS = 1.0


@dataclass
class Worker:
    """One session of work on a run."""

    run: RunDir
    stop: StopFlag
    events: EventLog

    def execute(self) -> dict[str, Any]:
        """All steps in order; the result that the `done` event holds. Raises: TunewrightError."""
        started = time.perf_counter()
        plan = from_json(self.run.plan())
        folder = Path(plan.facts.model.folder)
        tokenizer = load_tokenizer(Path(plan.facts.model.tokenizer_folder), plan.run.model.chat_template)
        with Stopwatch(self.events, "prepare"):
            data = prepare(plan, self.run, tokenizer, self._progress("prepare"))
        with Stopwatch(self.events, "load"):
            base = load_base(plan.run, folder, name=base_name(plan)).to(device())
        before = self._score("before", plan, base, data, tokenizer, plain_loss)
        with Stopwatch(self.events, "train"):
            outcome = train(plan, self.run, base, data, tokenizer, self.stop, self.events)
        after = self._score("after", plan, outcome.model, data, tokenizer, outcome.loss)
        save_adapter(outcome.model, plan, self.run, tokenizer)
        result = self._result(plan, outcome, before, after, time.perf_counter() - started)
        self.events.write("done", result=result)
        return result

    def _score(
        self,
        which: str,
        plan: Plan,
        model: torch.nn.Module,
        data: Prepared,
        tokenizer: TextTokenizer,
        loss: LossFunction,
    ) -> dict[str, Any] | None:
        """Scores of the base or the tuned model; those of an earlier session of this run are kept."""
        if not data.held_out:
            return None
        known = [e for e in self.run.read_events() if e["kind"] == "score" and e["which"] == which]
        if known and which == "before":
            return known[-1]
        spec = plan.run
        assert spec.eval.rows != "auto" and spec.eval.max_new_tokens != "auto" and spec.data.max_length != "auto"
        assert spec.train.per_device_train_batch_size != "auto"
        with Stopwatch(self.events, f"evaluate_{which}") as watch:
            evaluation: Evaluation = evaluate(
                model,
                data.held_out,
                data.held_out_examples,
                tokenizer,
                loss,
                generate_rows=spec.eval.rows,
                max_new_tokens=spec.eval.max_new_tokens,
                max_tokens=max(2048, spec.train.per_device_train_batch_size * spec.data.max_length),
                progress=self._progress(f"evaluate_{which}"),
            )
        self.run.file(layout.EVAL).mkdir(exist_ok=True)
        durable.write_jsonl(self.run.path / layout.EVAL / f"{which}.jsonl", evaluation.samples)
        self.events.write(
            "score", which=which, scores=evaluation.scores, rows=len(evaluation.samples),
            held_out_rows=len(data.held_out), seconds=round(watch.seconds, 3),
        )  # fmt: skip
        return [e for e in self.run.read_events() if e["kind"] == "score"][-1]

    def _progress(self, phase: str) -> Callable[[int, int], None]:
        last = time.monotonic()

        def report(done: int, total: int) -> None:
            nonlocal last
            self.stop.check(self.events.step, self.run.name)
            if time.monotonic() - last >= PROGRESS_SECONDS:
                last = time.monotonic()
                self.events.write("progress", phase=phase, done=done, total=total)

        return report

    def _result(
        self, plan: Plan, outcome: Outcome, before: dict[str, Any] | None, after: dict[str, Any] | None, total: float
    ) -> dict[str, Any]:
        return {
            "before": before["scores"] if before else None,
            "after": after["scores"] if after else None,
            "rows": after["rows"] if after else 0,
            "held_out_rows": after["held_out_rows"] if after else 0,
            "seconds": {
                "train": round(outcome.train_seconds, 3),
                "evaluate_before": before["seconds"] if before else 0.0,
                "evaluate_after": after["seconds"] if after else 0.0,
                "total": round(total, 3),
            },
            "tokens": outcome.tokens,
            "tokens_per_second": outcome.tokens / outcome.train_seconds if outcome.train_seconds else None,
            "peak_rss_bytes": peak_rss_bytes(),
            "peak_device_bytes": torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None,
            "steps": outcome.steps,
            "best_step": outcome.best_step,
            "trainable_parameters": outcome.trainable_parameters,
            "adapter": str(self.run.adapter_dir),
            "adapter_bytes": sum(f.stat().st_size for f in self.run.adapter_dir.glob("adapter_model*")),
        }


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def base_name(plan: Plan) -> str:
    """What adapter_config.json calls the base: the Hub id, or the folder, so that bare PEFT finds it."""
    folder, name = plan.facts.model.folder, plan.facts.model.name
    is_hub_id = name.count("/") == 1 and not Path(name).exists() and not name.startswith((".", "/", "~"))
    return name if is_hub_id else folder


def quiet() -> None:
    """Libraries talk to the log only, and no network is touched once a run works."""
    warnings.simplefilter("default")
    transformers.utils.logging.set_verbosity_warning()
    transformers.utils.logging.disable_progress_bar()
    logging.captureWarnings(True)


def work(run: RunDir, stop: StopFlag) -> int:
    """Do the run's steps; the exit code. Whatever goes wrong is an event, and in the log."""
    events = run.events
    try:
        Worker(run, stop, events).execute()
        return 0
    except TunewrightError as fault:
        return _failed(run, events, fault, stop)
    except MemoryError as fault:
        traceback.print_exc()
        return _failed(run, events, error("E404", step=events.step, reason=str(fault), name=run.name), stop)
    except torch.OutOfMemoryError as fault:
        traceback.print_exc()
        return _failed(run, events, error("E404", step=events.step, reason=str(fault), name=run.name), stop)
    except Exception as fault:
        traceback.print_exc()
        return _failed(run, events, error("E802", reason=f"{type(fault).__name__}: {fault}"), stop)


def _failed(run: RunDir, events: EventLog, fault: TunewrightError, stop: StopFlag) -> int:
    code = 128 + stop.signal if stop.signal and fault.problems[0].code == "E507" else fault.exit_code
    print(fault, file=sys.stderr)
    events.write("failed", problems=[problem.to_record() for problem in fault.problems], exit_code=code)
    return code


def main() -> None:
    """Entry of the process; standard output and error are the run's log."""
    run = RunDir(Path(sys.argv[1]))
    stop = StopFlag()
    stop.install()
    quiet()
    print(json.dumps({"pid": os.getpid(), "torch_threads": torch.get_num_threads()}))
    sys.exit(work(run, stop))


if __name__ == "__main__":
    main()
