"""Whether what was deployed of a run answers as the run."""

from pathlib import Path

from tunewright.api.run_handle import TrainedRun
from tunewright.errors import Problem, TunewrightError, error, system_faults
from tunewright.extras.export.export_record import EXPORT_JSON, ExportRecord
from tunewright.extras.proof import check_deployed
from tunewright.extras.proof.check_deployed import ROWS, Deployed
from tunewright.extras.proof.deployed_folder import check_folder
from tunewright.extras.proof.endpoint import Endpoint
from tunewright.extras.proof.exactness import exactness_of
from tunewright.extras.serve.api_key import key_of_server
from tunewright.i18n import N_
from tunewright.report import proof_table
from tunewright.reporting import SILENT, Reporter
from tunewright.rundir import atomic_io
from tunewright.rundir.record_reader import read_optional
from tunewright.rundir.records import Proof

SCHEMES = ("http://", "https://")


def check_export(
    run: TrainedRun,
    where: str | Path,
    *,
    model: str = "",
    api_key_file: str | Path | None = None,
    quant: str | None = None,
    rows: int = ROWS,
    reporter: Reporter = SILENT,
) -> Proof:
    """The checks of an export folder, or of whatever answers at an address by OpenAI's API; the run keeps the result.

    `model` is the name that the server knows it by, `api_key_file` holds its key, `quant` says what its weights are in where
    the server does not tell; 16 bits are expected then.
    Raises: ConfigError E116; ModelError E308; ExportError E601, E640, E644, E660, E661, E663, E664; DataError E210; TrainingError
    E502, E506, E515.
    """
    word = str(where)
    if word.lower().startswith(SCHEMES):
        key = _key(Path(api_key_file).expanduser()) if api_key_file else ""
        if "@" in word.split("/")[2]:
            reason = N_("a key in the address would be kept; --api-key-file reads it")
            raise error("E660", url=word.rpartition("@")[2], reason=reason)
        endpoint = Endpoint(word.rstrip("/").removesuffix("/v1"), key, model)
        check_deployed.reach(endpoint)
        exactness = exactness_of(quant, run.plan.run.model.precision) if quant else None
        what = Deployed(f"{endpoint.url} {model}".strip())
        proof = check_deployed.check(
            run.dir, run.session(), endpoint, what, rows=rows, exactness=exactness, reporter=reporter
        )
        check_deployed.keep(run.dir, proof)
        return proof
    folder = Path(where).expanduser().resolve()
    record = _record(folder)
    what_it_is = f"{record.to} {record.quant}, {record.way}" if record else folder.name
    proof = check_folder(
        run.dir, run.session(), folder, what=what_it_is, rows=rows, precision=quant or (record.quant if record else None) or None,
        reporter=reporter,
    )  # fmt: skip
    is_writable = folder.is_dir() and atomic_io.refusal(folder) is None
    check_deployed.keep(run.dir, proof, folder if is_writable else None)
    return proof


def proof_lines(proof: Proof) -> tuple[str, list[tuple[str, str, str, str]]]:
    """The proof for people, in this process's language: a title, and of each check name, outcome, number and what was seen."""
    return proof_table.title(proof), [proof_table.cells(check) for check in proof.checks]


def proof_failure(proof: Proof) -> Problem | None:
    """E662 where a check does not hold."""
    return check_deployed.failure(proof)


def _key(path: Path) -> str:
    with system_faults(path):
        return key_of_server(path)


def _record(folder: Path) -> ExportRecord | None:
    """What an export says of itself; nothing of a folder that is none of ours, or no whole one."""
    try:
        return read_optional(folder / EXPORT_JSON, ExportRecord)
    except TunewrightError:
        return None
