"""Whether a deployed model answers as the run that it came from: asked, judged, and kept as a proof."""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tunewright.errors import Problem
from tunewright.extras.proof.checks import Compared, all_checks
from tunewright.extras.proof.endpoint import Endpoint
from tunewright.extras.proof.endpoint_client import EndpointClient
from tunewright.extras.proof.exactness import Exactness, exactness_of
from tunewright.extras.proof.observed import observe
from tunewright.extras.proof.reference import Reference, reference_of
from tunewright.launch.session_client import SessionClient
from tunewright.reporting import Reporter
from tunewright.rundir import atomic_io, file_names
from tunewright.rundir.checkpoints import sha256
from tunewright.rundir.records import Proof, ProofsRecord
from tunewright.rundir.run_dir import RunDir

ROWS = 40
VERSIONS = ("tunewright", "transformers", "peft", "torch", "xllamacpp")


@dataclass(frozen=True)
class Deployed:
    """What is known of the deployed files: all of them, and the end tokens that they name; nothing of a far endpoint."""

    what: str
    """The kind of export, or the address."""
    files: Sequence[Path] = ()
    end_ids: Collection[int] | None = None


def check(
    run: RunDir,
    session: SessionClient,
    endpoint: Endpoint,
    deployed: Deployed,
    *,
    rows: int = ROWS,
    exactness: Exactness | None = None,
    reporter: Reporter,
) -> Proof:
    """All checks on up to `rows` rows of the run; `exactness` is that of what the server says of its weights if None.

    Raises: ConfigError E116; ExportError E660, E661, E663; DataError E210; TrainingError E502, E506, E515.
    """
    return compare(
        run, reference_of(session, rows, reporter), endpoint, deployed, exactness=exactness, reporter=reporter
    )


def reach(endpoint: Endpoint) -> None:
    """Whether a server answers there at all, before a model is loaded. Raises: ExportError E660, E661."""
    with EndpointClient(endpoint) as client:
        client.recognise()


def compare(
    run: RunDir, reference: Reference, endpoint: Endpoint, deployed: Deployed, *, exactness: Exactness | None = None,
    reporter: Reporter,
) -> Proof:  # fmt: skip
    """All checks against a reference that is there already. Raises: ExportError E660, E661."""
    started = time.perf_counter()
    with EndpointClient(endpoint) as client:
        client.recognise()
        observed = observe(client, reference, reporter)
        exactness = exactness or exactness_of(client.precision or "f16", reference.precision)
        engine = client.engine or "OpenAI API"
    checks = all_checks(Compared(reference, observed, exactness, deployed.end_ids))
    return Proof(
        schema=file_names.SCHEMA, run=run.info().id, name=run.name, what=deployed.what, created=time.time(), engine=engine,
        precision=exactness.precision, compared_rows=sum(row.answer is not None for row in observed.rows),
        is_held_out=reference.is_held_out, checks=checks, files={path.name: sha256(path) for path in deployed.files},
        versions=_versions(), seconds=round(time.perf_counter() - started, 3),
    )  # fmt: skip


def _versions() -> dict[str, str]:
    known: dict[str, str] = {}
    for name in VERSIONS:
        try:
            known[name] = version(name)
        except PackageNotFoundError:
            continue
    return known


def keep(run: RunDir, proof: Proof, folder: Path | None = None) -> None:
    """Write the proof into the run, beside those of other exports, and as proof.json into a folder."""
    earlier = run.proofs()
    proofs: Mapping[str, Proof] = {**(earlier.proofs if earlier else {}), proof.what: proof}
    record = ProofsRecord(proofs=dict(proofs))
    with run.private():
        if folder:
            atomic_io.write_json(folder / file_names.PROOF, proof.to_stored())
        if atomic_io.refusal(run.path) is None:
            atomic_io.make_folder(run.proofs_path.parent)
            atomic_io.write_json(run.proofs_path, {"schema": file_names.SCHEMA, **record.to_stored()})


def failure(proof: Proof) -> Problem | None:
    """E662 with the checks that do not hold and their rows; None where all hold."""
    if not proof.failed:
        return None
    checks = ", ".join(check.name for check in proof.failed)
    rows = sorted({row for check in proof.failed for row in check.rows})
    values: dict[str, object] = {"what": proof.what, "checks": checks, "name": proof.name, "count": len(proof.failed)}
    return Problem("E662", values=values | ({"rows": ", ".join(map(str, rows[:10]))} if rows else {}))
