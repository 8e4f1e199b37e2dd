"""The runs on disk: opening, listing, reporting, checking and removing them."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from tunewright.api.run_handle import TrainedRun
from tunewright.diagnose import rules
from tunewright.diagnose.rules import Diagnosis
from tunewright.errors import ConfigError, ModelError, error, system_faults
from tunewright.launch import start_run
from tunewright.report import benchmark_table, loss_charts, run_record, run_report
from tunewright.rundir import atomic_io, file_names, log_end, output_targets, run_dir, run_overview, run_tags
from tunewright.rundir.checkpoints import MANIFEST
from tunewright.rundir.integrity import IntegrityReport, check_folder, check_run
from tunewright.rundir.log_end import LogEnd
from tunewright.rundir.records import BenchmarkRecord
from tunewright.rundir.run_dir import RunDir
from tunewright.rundir.run_history import RunHistory
from tunewright.rundir.run_overview import RunOverview


def open_run(word: str) -> TrainedRun:
    """A run by path, name, beginning of its name, or `last`. Raises: ConfigError E113, E114."""
    return TrainedRun(run_dir.open_run(word))


def open_exactly(word: str) -> TrainedRun:
    """A run by path or whole name, for what cannot be undone. Raises: ConfigError E113, E114, E130."""
    return TrainedRun(run_dir.open_exactly(word))


def runs(root: str | Path | None = None) -> list[TrainedRun]:
    """The runs of a folder (runs/ here), oldest first. Raises: TrainingError E522 for a folder that does not exist."""
    with system_faults(root or "."):
        os.scandir(root or ".").close()
    return [TrainedRun(run) for run in run_dir.list_runs(Path(root) if root else None)]


def names_that_are_no_text(root: str | Path) -> list[bytes]:
    """The names of folders among the runs of a folder that are not UTF-8; a page can show them, but not lead to them."""
    return run_dir.names_that_are_no_text(Path(root))


def overview(run: TrainedRun) -> RunOverview:
    """A run for a list of runs: a damaged folder is not an error here."""
    return run_overview.overview(run.dir)


def change_tags(run: RunDir, *, add: Iterable[str] = (), remove: Iterable[str] = ()) -> tuple[str, ...]:
    """Give tags to a run, live or ended, and take others from it; those that it has then.

    Raises: ConfigError E133 for what is no tag; TrainingError E525 for a damaged file, E520, E524 where it cannot be written.
    """
    return run_tags.change(run, add=add, remove=remove)


def replace_tags(run: RunDir, tags: Iterable[str]) -> tuple[str, ...]:
    """Give a run these tags alone. Raises: as `change_tags`."""
    return run_tags.replace(run, tags)


def remove(run: RunDir) -> None:
    """Delete a run's folder. Raises: TrainingError E505 while it is live."""
    run_dir.remove(run)


def run_bytes(run: RunDir) -> int:
    """Size of a run on disk in bytes."""
    return run_dir.folder_bytes(run.path)


def account(run: RunDir, history: RunHistory | None = None) -> run_record.RunRecord:
    """Everything that a run's files hold: curves, scores, verdict; `history` is what its events told who followed them."""
    return run_record.read(run, history)


def curves(record: run_record.RunRecord) -> dict[str, object]:
    """The curves of a run for a plot, at most 2,000 points of each, as plain JSON with the words beside them.

    Their numbers have five digits, which is more than a plot shows.
    """
    return {name: _short(part) for name, part in loss_charts.curves(record).items()}


def _short(value: object) -> object:
    """A value of JSON with its numbers rounded, at any depth: by that it is half as long."""
    if isinstance(value, dict):
        return {name: _short(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_short(part) for part in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def read_log(run: TrainedRun, word: str = "") -> LogEnd:
    """The last lines that the libraries printed, or of those that hold a word. Raises: TrainingError E525."""
    return log_end.read_end(run.dir.file(file_names.LOG), word)


def log_blocks(run: TrainedRun) -> Iterator[bytes]:
    """All that the libraries printed, in blocks. Raises: TrainingError E525."""
    return log_end.blocks(run.dir.file(file_names.LOG))


def report_text(run: TrainedRun) -> str:
    """The report of a run as it is now, in the reader's language; nothing is written."""
    return run_report.render(run_record.read(run.dir), diagnose(run.dir).findings)


def summary(run: RunDir) -> dict[str, object]:
    """Verdict and figures of a run's report, for scripts."""
    return run_report.summary(run, rules.diagnose(run).findings)


def diagnose(run: RunDir) -> Diagnosis:
    """What is wrong with a run, with evidence, cause and remedies; nothing for a healthy one."""
    return rules.diagnose(run)


def benchmark_lines(result: dict[str, object]) -> list[benchmark_table.BenchmarkRow]:
    """The result of `TrainedRun.benchmark`, base and tuned model side by side, and whether they differ."""
    return benchmark_table.lines(BenchmarkRecord.model_validate(result))


def verify(word: str | Path) -> list[IntegrityReport]:
    """The files of a run, or of a folder that was copied from one, against their checksums: nothing is loaded.

    Raises: ConfigError E113, E114 for a run that does not exist; ExportError E607 for a folder without a manifest.
    """
    folder = Path(word).expanduser()
    is_run = (folder / file_names.RUN_JSON).is_file()
    if not is_run and (folder / MANIFEST).is_file():
        return [check_folder(folder)]
    try:
        return check_run(open_run(str(word)).dir)
    except (ConfigError, ModelError):
        if folder.is_dir():
            raise error("E607", path=str(folder)) from None
        raise


def copy_adapter(run: TrainedRun, target: str | Path) -> Path:
    """The run's adapter as a folder of its own. Raises: ConfigError E115, E116."""
    return start_run.copy_adapter(run.dir, Path(target))


def output_file(path: str | Path, *, force: bool = False) -> Path:
    """The file that a result may be written to, links followed. Raises: ConfigError E115; TrainingError E520, E524."""
    return output_targets.output_file(path, force=force, can_force=True)


def write_file(path: Path, text: str) -> None:
    """A text as a file, whole or not at all."""
    atomic_io.write_text(path, text)
