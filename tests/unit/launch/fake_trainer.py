"""`fake_trainer.py sweep WORDS...` is the command line, whose runs are trained by `fake_trainer.py --train RUN`.

That stands for a run's parent and worker in one: it holds the run's lock, owns run.json, writes a few held-out losses and an
end, counts its starts in starts.jsonl, goes on behind the last loss that an earlier start wrote, and ends early on request.
"""

import json
import math
import os
import sys
import time
from pathlib import Path
from typing import Any

from tunewright.rundir import atomic_io, file_names, run_dir, run_lock
from tunewright.rundir.run_dir import RunDir, process_record

STEPS = 5
SECONDS_A_STEP = 0.05
PACE_FILE = "TUNEWRIGHT_TEST_PACE"  # seconds a step, for tests that need a run to be long


def loss_of(train: dict[str, Any], peft: dict[str, Any], step: int) -> float:
    """Lowest at a learning rate of 3e-4 and a large rank; it falls with every step."""
    distance = abs(math.log10(float(train["learning_rate"]) / 3e-4))
    return 0.5 + distance + 1 / int(peft.get("r", 1)) + 0.1 * (STEPS - step)


def train(run: RunDir) -> None:
    assert run_lock.own(run.path) is not None, "another process owns the run"
    known = [event.step for event in run.read_events() if event.kind == "eval"]
    atomic_io.append_line(run.file("starts.jsonl"), json.dumps({"from": max(known, default=0)}))
    run.update_info(state="running", parent=process_record(os.getpid()), started=time.time())
    events, plan = run.events, run.plan().run.model_dump(mode="json")
    for step in range(max(known, default=0) + 1, STEPS + 1):
        time.sleep(float(os.environ.get(PACE_FILE, SECONDS_A_STEP)))
        if run.is_asked_to_stop():
            run.forget_requests()
            events.write("failed", problems=[], exit_code=143)
            run.update_info(state="stopped", exit_code=143, ended=time.time())
            return
        events.step = step
        loss = loss_of(plan["train"], plan["peft"], step)
        events.write("eval", held_out_loss=loss, seconds=0.01, is_best=True)
    finish(run, loss_of(plan["train"], plan["peft"], STEPS))


def finish(run: RunDir, loss: float) -> None:
    """The end of a run that was trained as planned, with scores on as many held-out rows as there are."""
    events = run.events
    for which, value in (("before", 4.0), ("after", loss)):
        scores = {"held_out_loss": value, "perplexity": math.exp(value)}
        events.write("score", which=which, scores=scores, rows=0, held_out_rows=4, seconds=0.1)
    result = {
        "seconds": {"train": 1.0}, "tokens": 100, "tokens_per_second": 100.0, "peak_rss_bytes": 2**30, "steps": STEPS,
        "best_step": STEPS, "trainable_parameters": 1000, "adapter_bytes": 4000, "baseline": None,
    }  # fmt: skip
    events.write("done", result=result)
    run.update_info(state="finished", exit_code=0, result=result, problems=[], ended=time.time())


def main() -> None:
    if sys.argv[1] == "--train":
        train(RunDir(Path(sys.argv[2])))
        return
    from tunewright.cli.main import main as command_line
    from tunewright.launch import start_run
    from tunewright.security import spawn

    def start_parent(run: RunDir, lock: int, device: object = None) -> None:
        log = run.file(file_names.LOG).open("ab")
        argv = [sys.executable, __file__, "--train", str(run.path)]
        spawn(argv, stdin=lock, stdout=log, stderr=log, detached=True)

    start_run.start_parent = start_parent
    run_dir.STARTING_SECONDS = 3
    command_line()


if __name__ == "__main__":
    main()
