"""An export from plan to published folder: written beside its place, compared with the run, and only then given its name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from time import perf_counter

from tunewright.errors import Problem, errors_of
from tunewright.extras.export.export_job import ExportJob
from tunewright.extras.export.export_plan import ExportPlan, make_export_plan
from tunewright.extras.export.export_record import EXPORT_JSON, SCHEMA, ExportRecord, files_in
from tunewright.extras.export.formats import FormatName
from tunewright.extras.export.start_scripts import start_command
from tunewright.extras.export.tool_wheels import LLAMA_CPP, fetch_tool
from tunewright.extras.export.write_folders import write_mlx, write_ollama, write_vllm
from tunewright.extras.export.write_gguf import write_gguf
from tunewright.extras.proof import check_deployed
from tunewright.extras.proof.check_deployed import ROWS
from tunewright.extras.proof.deployed_folder import check_folder
from tunewright.extras.proof.exactness import ORIGINAL
from tunewright.i18n import _
from tunewright.launch.session_client import SessionClient
from tunewright.reporting import SILENT, Reporter
from tunewright.rundir import atomic_io, output_targets
from tunewright.rundir.base_model import base_of
from tunewright.rundir.records import Proof
from tunewright.rundir.run_dir import RunDir

WRITERS: Mapping[FormatName, Callable[[ExportJob], None]] = {
    "gguf": write_gguf,
    "ollama": write_ollama,
    "vllm": write_vllm,
    "mlx": write_mlx,
}


@dataclass(frozen=True)
class ExportResult:
    """Where the export is."""

    plan: ExportPlan
    folder: Path
    record: ExportRecord
    proof: Proof | None
    """The comparison with the run; None where nothing here can load it, or it was not asked for."""
    seconds: float
    """Of writing it, without the comparison."""

    def start_command(self) -> str:
        """What starts an engine on it, or hands it to one; empty where that is a program of the user's own."""
        return start_command(self.plan, self.folder)

    def to_json(self) -> dict[str, object]:
        """For `export --json`: stable names, English."""
        files = {name: file.bytes for name, file in self.record.files.items()}
        return {
            "schema": 1, "run": str(self.plan.run.path), "name": self.plan.run.name, "to": self.plan.row.name,
            "as": self.plan.way, "quant": self.plan.quant or None, "path": str(self.folder), "files": files,
            "bytes": sum(files.values()), "seconds": round(self.seconds, 1), "start": self.start_command() or None,
            "proof": self.proof.to_stored() if self.proof else None, "notes": [str(note) for note in self.plan.notes],
        }  # fmt: skip


def export(
    run: RunDir, session: SessionClient, to: str, target: str | Path, *, as_: str | None = None, quant: str | None = None,
    rows: int = ROWS, check: bool = True, reporter: Reporter = SILENT,
) -> ExportResult:  # fmt: skip
    """The run's adapter in another engine's format, in the new folder `target`.

    Raises: SpecError E115, E116; ResourceError E403; ExportError E601 to E603, E620 to E622; HubError E704, E706;
    ModelError E308; TrainingError E515, E520, E524.
    """
    started = perf_counter()
    plan = make_export_plan(run, to, Path(target), as_=as_, quant=quant)
    if not plan.problems and plan.row.is_gguf:
        fetch_tool(LLAMA_CPP, reporter)  # with it the plan sees what the converter would refuse
        plan = make_export_plan(run, to, Path(target), as_=as_, quant=quant)
    if plan.problems:
        raise errors_of(plan.problems)
    folder = output_targets.output_folder(target, num_bytes=plan.bytes + plan.scratch_bytes)
    with run.private(), atomic_io.staging(folder.parent) as staged:
        WRITERS[plan.row.name](ExportJob(plan, staged, session, reporter))
        record = _record(plan, staged)
        atomic_io.write_json(staged / EXPORT_JSON, record.to_stored())
        written_seconds = perf_counter() - started
        proof = _proof(plan, staged, session, rows, reporter) if check and plan.row.engine else None
        if proof:
            check_deployed.keep(run, proof, staged)
        failure = check_deployed.failure(proof) if proof else None
        place = folder if failure is None else failed_place(folder)
        atomic_io.publish_folder(staged, place)
    if failure is not None:
        raise errors_of([Problem(failure.code, values={**failure.values, "folder": str(place)})])
    return ExportResult(plan, folder, record, proof, written_seconds)


def failed_place(folder: Path) -> Path:
    """Where an export stays that does not answer as its run: beside its place, so that nobody takes it for one that does."""
    return folder.with_name(f"{folder.name}.failed")


def _proof(plan: ExportPlan, folder: Path, session: SessionClient, rows: int, reporter: Reporter) -> Proof:
    """The checks of an export in the engine that is here for it. Raises: as `extras.proof.deployed_folder.check_folder`."""
    reporter.note(_("Comparing it with the run"))
    what = f"{plan.row.name} {plan.quant}, {plan.way}"
    precision = ORIGINAL if plan.uses_original else plan.quant
    return check_folder(plan.run, session, folder, what=what, rows=rows, precision=precision, reporter=reporter)


def _record(plan: ExportPlan, folder: Path) -> ExportRecord:
    model = plan.plan.facts.model
    versions = {"tunewright": version("tunewright")}
    if plan.row.is_gguf:
        versions[LLAMA_CPP.package] = LLAMA_CPP.version
    return ExportRecord(
        schema=SCHEMA, run=plan.run.info().id, name=plan.run.name, to=plan.row.name, quant=plan.quant, files=files_in(folder),
        base=base_of(plan.plan).name, base_digest=model.digest, base_weights=model.contents.weights,
        context=model.max_position_embeddings, versions=versions, **{"as": plan.way},
    )  # fmt: skip
