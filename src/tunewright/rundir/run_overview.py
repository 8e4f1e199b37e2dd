"""A run in one row: its state, its scores, its curves; or what is wrong with its folder."""

from dataclasses import dataclass

from tunewright.errors import Problem, TrainingError
from tunewright.rundir.records import RunInfo, RunResult
from tunewright.rundir.run_dir import DAMAGED, RunDir
from tunewright.rundir.run_history import read_history

POINTS = 512  # of a curve, for a few bars


@dataclass(frozen=True)
class RunOverview:
    """What a list shows of a run. `result` as in run.json; losses by step; `damage` is what cannot be read."""

    run: RunDir
    state: str
    info: RunInfo | None = None
    result: RunResult | None = None
    losses: tuple[float, ...] = ()
    held_out: tuple[float, ...] = ()
    damage: Problem | None = None
    tags: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """For `runs list --json`."""
        return {
            "name": self.run.name,
            "path": str(self.run.path),
            "created": self.info.created if self.info else None,
            "model": self.info.model if self.info else None,
            "state": self.state,
            "exit_code": self.info.exit_code if self.info else None,
            "before": self.result.before if self.result else None,
            "after": self.result.after if self.result else None,
            "adapter": self.result.adapter if self.result else None,
            "tags": list(self.tags),
            "damage": self.damage.to_json() if self.damage else None,
        }


def overview(run: RunDir) -> RunOverview:
    """A run for a list; of a damaged one what is known of it, with the first file that cannot be read."""
    try:
        info = run.info()
    except TrainingError as fault:
        return RunOverview(run, DAMAGED, damage=fault.problems[0])
    try:
        run.plan()
        history, tags = read_history(run, POINTS), run.tags()
    except TrainingError as fault:
        return RunOverview(run, DAMAGED, info, info.result, damage=fault.problems[0])
    return RunOverview(
        run,
        run.state(),
        info,
        info.result or history.result,
        tuple(event.loss for event in history.curves.logs.events if event.loss is not None),
        tuple(event.held_out_loss for event in history.curves.evals.events if event.held_out_loss is not None),
        tags=tags,
    )
