"""The base model of a run with training rows in its prompt; what it reaches is kept in the run's folder."""

from typing import Any

from tunewright.errors import error
from tunewright.flow.session import Progress, Session
from tunewright.i18n import N_
from tunewright.planning.plan import from_json
from tunewright.rundir import durable, layout
from tunewright.rundir.store import RunDir


def prompted(run: RunDir, shots: int, session: Session, progress: Progress) -> dict[str, Any]:
    """Scores of the base model on the run's held-out rows with `shots` training rows before each question.

    Raises: SpecError E116; DataError E210, E230.
    """
    if from_json(run.plan()).run.task != "causal_lm":
        raise error("E230", reason=N_("its task writes no answers in turns"))
    found = session.request("prompted", progress, shots=shots)
    run.write_test(layout.PROMPTED, found.pop("samples"), found.pop("losses"))
    durable.write_json(
        run.path / layout.EVAL / f"{layout.PROMPTED}.json", {"schema": layout.SCHEMA, "asked": shots, **found}
    )
    return found
