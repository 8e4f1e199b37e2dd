"""An export from plan to published folder: written beside its place, compared with the run, and only then given its name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from tunewright.errors import Problem, errors_of
from tunewright.extras.export import hub
from tunewright.extras.export.export_job import ExportJob
from tunewright.extras.export.export_plan import ExportPlan, make_export_plan
from tunewright.extras.export.export_record import EXPORT_JSON, SCHEMA, ExportRecord, files_in
from tunewright.extras.export.formats import FormatName
from tunewright.extras.export.start_scripts import start_command
from tunewright.extras.export.tool_wheels import LLAMA_CPP, fetch_tool
from tunewright.extras.export.write_folders import (
    write_ct2,
    write_hub,
    write_mlx,
    write_ollama,
    write_peft,
    write_vllm,
)
from tunewright.extras.export.write_gguf import write_gguf
from tunewright.extras.export.write_onnx import write_onnx
from tunewright.extras.proof import check_deployed
from tunewright.extras.proof.check_deployed import ROWS
from tunewright.extras.proof.deployed_folder import check_folder
from tunewright.extras.proof.exactness import ORIGINAL
from tunewright.extras.serve.llama_engine import refuse_without_engine
from tunewright.i18n import _
from tunewright.launch.session_client import SessionClient
from tunewright.reporting import SILENT, Reporter
from tunewright.rundir import atomic_io, output_targets
from tunewright.rundir.base_model import BaseReference, base_of
from tunewright.rundir.records import Proof
from tunewright.rundir.run_dir import RunDir
from tunewright.rundir.staging_folder import making
from tunewright.security import home

WRITERS: Mapping[FormatName, Callable[[ExportJob], Proof | None]] = {
    "gguf": write_gguf,
    "ollama": write_ollama,
    "vllm": write_vllm,
    "mlx": write_mlx,
    "hub": write_hub,
    "peft": write_peft,
    "onnx": write_onnx,
    "openvino": write_onnx,
    "ct2": write_ct2,
}


@dataclass(frozen=True)
class ExportResult:
    """What was written, and what was seen when it was compared with the run."""

    plan: ExportPlan
    place: str
    """The folder, or the address on the Hub."""
    record: ExportRecord
    proof: Proof | None
    """The comparison with the run; None where nothing here can load it, or it was not asked for."""
    seconds: float
    """Of writing it, without the comparison."""

    @property
    def base(self) -> BaseReference:
        """The base, as others have it."""
        return base_of(self.plan.plan)

    def start_command(self) -> str:
        """What starts an engine on it, or hands it to one; empty where that is a program of the user's own."""
        return start_command(self.plan, Path(self.place))

    def to_json(self) -> dict[str, object]:
        """For `export --json`: stable names, English."""
        files = {name: file.bytes for name, file in self.record.files.items()}
        return {
            "schema": 1, "run": str(self.plan.run.path), "name": self.plan.run.name, "to": self.plan.row.name,
            "as": self.plan.way, "quant": self.plan.quant or None, "base": self.base.to_json(), "path": self.place, "files": files,
            "bytes": sum(files.values()), "seconds": round(self.seconds, 1), "start": self.start_command() or None,
            "proof": self.proof.to_stored() if self.proof else None, "notes": [str(note) for note in self.plan.notes],
        }  # fmt: skip


def export(
    run: RunDir, session: SessionClient, to: str, target: str | Path, *, as_: str | None = None, quant: str | None = None,
    rows: int = ROWS, check: bool = True, reporter: Reporter = SILENT,
) -> ExportResult:  # fmt: skip
    """The run's adapter in another engine's format, in the new folder `target`.

    Raises: ConfigError E115, E116; ResourceError E403; ExportError E601 to E603, E620 to E622; HubError E704, E706;
    ModelError E308; TrainingError E515, E520, E524.
    """
    plan = make_export_plan(run, to, Path(target), as_=as_, quant=quant)
    if not plan.problems and plan.row.is_gguf:
        fetch_tool(LLAMA_CPP, reporter)  # with it the plan sees what the converter would refuse
        plan = make_export_plan(run, to, Path(target), as_=as_, quant=quant)
    if plan.problems:
        raise errors_of(plan.problems)
    if check and plan.row.is_gguf:
        refuse_without_engine()
    if plan.row.name == "hub":
        return _to_hub(plan, session, str(target), reporter)
    return _to_folder(plan, session, rows if check and plan.row.engine else 0, reporter)


def check_target(plan: ExportPlan, target: str) -> None:
    """Raises: HubError E707 for what cannot be a repository; ConfigError E115, ResourceError E403, TrainingError E520, E524."""
    if plan.row.name == "hub":
        hub.repository(target)
    else:
        output_targets.output_folder(plan.target, num_bytes=plan.bytes + plan.scratch_bytes)


def _to_folder(plan: ExportPlan, session: SessionClient, rows: int, reporter: Reporter) -> ExportResult:
    """The export under its name, compared with the run on up to `rows` rows; not at all if 0."""
    started = perf_counter()
    folder = output_targets.output_folder(plan.target, num_bytes=plan.bytes + plan.scratch_bytes)
    with plan.run.private(), making(folder) as staged:  # what a killed export left here is swept by the next one
        compares = bool(rows) and plan.row.is_gguf
        record, proof = _write(ExportJob(plan, staged, session, reporter, answers_compared_later=compares))
        written_seconds = perf_counter() - started
        if compares:
            proof = _proof(plan, staged, session, rows, reporter)
        if proof:
            check_deployed.keep(plan.run, proof, staged)
        if proof and (failure := check_deployed.failure(proof)):
            place = failed_place(folder)
            atomic_io.publish_folder(staged, place)
            raise errors_of([Problem(failure.code, values={**failure.values, "folder": str(place)})])
    return ExportResult(plan, str(folder), record, proof, written_seconds)


def _to_hub(plan: ExportPlan, session: SessionClient, name: str, reporter: Reporter) -> ExportResult:
    """The export as a private repository. Raises: HubError E701, E702, E707."""
    started = perf_counter()
    target = hub.repository(name)
    hub.refuse_unready(target)
    (home() / "downloads").mkdir(parents=True, exist_ok=True)
    with plan.run.private(), TemporaryDirectory(dir=home() / "downloads") as scratch:
        folder = Path(scratch) / target.name.rpartition("/")[2]
        folder.mkdir()
        record, _no_proof = _write(ExportJob(plan, folder, session, reporter))
        url = hub.upload(folder, target, reporter)
    return ExportResult(plan, url, record, None, perf_counter() - started)


def _write(job: ExportJob) -> tuple[ExportRecord, Proof | None]:
    """Fill the folder; its record, and the proof of a writer that compares what it writes by itself."""
    proof = WRITERS[job.plan.row.name](job)
    record = _record(job.plan, job.folder)
    if not job.plan.row.is_plain:
        atomic_io.write_json(job.folder / EXPORT_JSON, record.to_stored())
    return record, proof


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
