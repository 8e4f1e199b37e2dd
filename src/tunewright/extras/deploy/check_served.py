"""Whether what is served answers as its runs, asked through the front as any client asks."""

from collections.abc import Mapping, Sequence

from tunewright.errors import errors_of
from tunewright.extras.deploy.served import Served
from tunewright.extras.deploy.session_runs import SESSION
from tunewright.extras.proof.check_deployed import ROWS, Deployed, compare, failure, keep
from tunewright.extras.proof.endpoint import Endpoint
from tunewright.extras.proof.exactness import exactness_of
from tunewright.extras.proof.reference import Reference, reference_of
from tunewright.extras.serve.api_key import read_key
from tunewright.launch.session_client import SessionClient
from tunewright.reporting import SILENT, PartReporter, Reporter
from tunewright.rundir.records import Proof
from tunewright.rundir.run_dir import RunDir


def references(runs: Sequence[RunDir], reporter: Reporter) -> dict[str, Reference]:
    """The own answers of each run, by its name. Raises: as `extras.proof.reference.reference_of`."""
    by_name = {}
    for number, run in enumerate(runs):
        with SessionClient(run, module=SESSION) as session:
            by_name[run.name] = reference_of(session, ROWS, PartReporter(reporter, number * 100, 100, len(runs) * 100))
    return by_name


def check_served(runs: Sequence[RunDir], expected: Mapping[str, Reference], served: Served) -> list[Proof]:
    """The proof of each run, which keeps it. Raises: ExportError E660, E661; E662 where a check does not hold."""
    key = read_key(served.key_file) if served.key_file else ""
    proofs = []
    for run in runs:
        exactness = exactness_of(served.precision, expected[run.name].precision)
        what = Deployed(f"serve --engine {served.engine}, {served.precision}")
        endpoint = Endpoint(served.url, key, run.name, flavour="openai")
        proof = compare(run, expected[run.name], endpoint, what, exactness=exactness, reporter=SILENT)
        keep(run, proof)
        proofs.append(proof)
    if problems := [problem for proof in proofs if (problem := failure(proof))]:
        raise errors_of(problems)
    return proofs
