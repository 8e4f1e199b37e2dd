"""A run that is killed for memory twice ends by itself, as the run that was started with its last settings.

Where a control group of memory can be made, the kernel kills; inside most containers none can, and tests/limited.py stands in.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.invariants.test_runs import assert_same, losses
from tunewright import api
from tunewright.data import demo_data
from tunewright.inspection.memory_monitor import own_groups
from tunewright.launch import start_run
from tunewright.planning.memory_fallback import remedies
from tunewright.reporting import SILENT
from tunewright.rundir.run_dir import RunDir

ROOT = Path(__file__).parent.parent.parent
STEPS, SAVED = 6, 2
ROW_WORDS = 170


@pytest.fixture
def long_rows(tmp_path: Path) -> Path:
    """Forty-eight rows of about 250 tokens, so that a row more or less at once is a third of a GiB."""
    words = " ".join(row.message for row in demo_data.generate("train", 1200, 3)).split()
    texts = [" ".join(words[i * ROW_WORDS : (i + 1) * ROW_WORDS]) for i in range(48)]
    path = tmp_path / "long.jsonl"
    rows = ({"prompt": f"Go on with part {i}.", "completion": text} for i, text in enumerate(texts))
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


def planned(rows: Path, output: Path, at_once: int) -> RunDir:
    """A run of steps of eight rows, ready for a parent; two of its steps lie between two checkpoints."""
    named: dict[str, Any] = {
        "model.name": "smollm2", "data.train": str(rows), "data.holdout": 0, "model.precision": "fp32",
        "train.max_steps": STEPS, "train.eval_steps": SAVED, "run.output_dir": str(output),
        "train.per_device_train_batch_size": at_once, "train.gradient_accumulation_steps": 8 // at_once,
    }  # fmt: skip
    loaded = api.load(named=named)
    return start_run.create(loaded, api.plan(loaded), force=False, reporter=SILENT)


def see_through(run: RunDir, limit: int = 0, later: int = 0) -> int:
    """The run to its end within a limit; the most that its workers held."""
    group = run.path.parent / f"{run.name}-group"
    command = [sys.executable, "-m", "tests.limited", str(run.path), str(group), str(limit), str(later)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stderr}\n{run.info()}\n{run.file('log.txt').read_text()[-2000:]}"
    return int((group / "peak").read_text())


@pytest.mark.slow
def test_a_run_killed_for_memory_twice_is_the_run_started_with_its_last_settings(
    long_rows: Path, tmp_path: Path
) -> None:
    four, two = planned(long_rows, tmp_path / "four", 4), planned(long_rows, tmp_path / "two", 2)
    peak_of_four, peak_of_two = see_through(four), see_through(two)
    more = peak_of_four - peak_of_two
    assert more > 2**28, "the limits below need room between them"

    killed = planned(long_rows, tmp_path / "killed", 8)
    peak = see_through(killed, limit=peak_of_four + more, later=peak_of_two + more // 2)
    alerts = [event.problem.values for event in killed.read_events() if event.kind == "alert"]
    plan = killed.plan()
    print(
        f"held at most: 8 rows at once {peak / 2**30:.2f} GiB (killed), 4 {peak_of_four / 2**30:.2f}, 2 {peak_of_two / 2**30:.2f}"
    )
    assert [(alert["was"], alert["now"], alert["start"], alert["batch"]) for alert in alerts] == [
        ("8 x 1", "4 x 2", 0, 8), ("4 x 2", "2 x 4", SAVED, 8)
    ]  # fmt: skip
    assert all(alert["evidence"] == "the kernel counted a kill for memory" for alert in alerts)
    assert remedies(plan) == {"train.per_device_train_batch_size": 2, "train.gradient_accumulation_steps": 4}
    assert plan.effective_batch == 8
    apart = [abs(a - b) for a, b in zip(losses(killed.path), losses(two.path), strict=True)]
    print(f"losses {losses(killed.path)}, largest difference {max(apart):.2g}")
    assert len(apart) == STEPS
    assert_same(losses(killed.path), losses(two.path))


@pytest.fixture
def own_group() -> Iterator[Path]:
    """A control group below this process's own; skips, and says why, where none can be made."""
    groups = own_groups()
    folder = (groups[0].folder if groups else Path("/sys/fs/cgroup")) / f"tunewright-{os.getpid()}"
    try:
        folder.mkdir()
        limit_of(folder).write_text("-1" if limit_of(folder).name == "memory.limit_in_bytes" else "max")
    except OSError as refusal:
        pytest.skip(f"no control group of memory can be made here: {refusal}")
    yield folder
    folder.rmdir()


def limit_of(group: Path) -> Path:
    """The file of the group's limit, in version 2 or 1."""
    return next(
        (path for path in (group / "memory.max", group / "memory.limit_in_bytes") if path.exists()),
        group / "memory.max",
    )


@pytest.mark.slow
def test_a_run_that_the_kernel_kills_twice_is_the_run_started_with_its_last_settings(
    long_rows: Path, own_group: Path, tmp_path: Path
) -> None:
    four, two = planned(long_rows, tmp_path / "four", 4), planned(long_rows, tmp_path / "two", 2)
    peak_of_four, peak_of_two = see_through(four), see_through(two)
    # Just too little for four: the nearer the limit is to what is held, the longer the kernel reads libraries again and again.
    limit_of(own_group).write_text(str(peak_of_four - (peak_of_four - peak_of_two) // 8))
    killed = planned(long_rows, tmp_path / "killed", 8)
    inside = f"echo $$ > {own_group}/cgroup.procs; exec {sys.executable} -m tunewright.launch.supervisor {killed.path}"
    done = subprocess.run(["bash", "-c", inside], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stderr}\n{killed.info()}\n{killed.file('log.txt').read_text()[-2000:]}"
    alerts = [event.problem.values for event in killed.read_events() if event.kind == "alert"]
    assert [(alert["was"], alert["now"], alert["batch"]) for alert in alerts] == [
        ("8 x 1", "4 x 2", 8), ("4 x 2", "2 x 4", 8)
    ]  # fmt: skip
    assert all(alert["evidence"] == "the kernel counted a kill for memory" for alert in alerts)
    apart = [abs(a - b) for a, b in zip(losses(killed.path), losses(two.path), strict=True)]
    print(f"killed twice by the kernel; losses {losses(killed.path)}, largest difference {max(apart):.2g}")
    assert len(apart) == STEPS
    assert_same(losses(killed.path), losses(two.path))
