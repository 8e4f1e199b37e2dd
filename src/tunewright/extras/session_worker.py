"""A session that knows the extras too: `python -m tunewright.extras.session_worker RUN`, spoken to like `engine.session_server`."""

import time
from dataclasses import replace
from functools import partial

from tunewright.engine import session_server
from tunewright.engine.session_server import Operation, Operations, SessionServer
from tunewright.engine.system.oom import BatchSizeBackoff
from tunewright.engine.training.build_trainer import make_evaluator
from tunewright.engine.training.loss_backends import known_backend
from tunewright.errors import error
from tunewright.extras.few_shot.few_shot_prompts import with_examples
from tunewright.extras.numerics import parity_checks
from tunewright.extras.proof.reference_answers import reference
from tunewright.extras.session_answers import label, reply
from tunewright.extras.session_requests import (
    LabelRequest,
    PromptedRequest,
    PromptedResult,
    ProveRequest,
    ProveResult,
    ReferenceRequest,
    ReplyRequest,
)
from tunewright.rundir.run_dir import RunDir
from tunewright.rundir.session_protocol import Send


def few_shot(session: SessionServer, request: PromptedRequest) -> PromptedResult:
    """The base model's evaluation with training rows before each question. Raises: DataError E210, E230."""
    data = session.data()
    started = time.perf_counter()
    if not data.held_out:
        raise error("E210", path=f"{session.plan.run.data.name} (held out)")
    rows, num_shown = with_examples(session.plan, data, session.tokenizer, request.shots)
    longest = max(len(row.input_ids) for row in rows)
    with session.base() as base:
        backend = known_backend(session.plan, base, data.train, longest)
        test = make_evaluator(session.plan, data, session.tokenizer, backend, BatchSizeBackoff())
        result = replace(test, rows=rows).evaluate(base, session.reporter)
    return PromptedResult(
        shots=num_shown,
        scores=result.scores,
        rows=len(result.samples),
        held_out_rows=len(result.losses),
        seconds=round(time.perf_counter() - started, 3),
        samples=[sample.to_stored() for sample in result.samples],
        losses=[loss.to_stored() for loss in result.losses],
    )


def prove(session: SessionServer, request: ProveRequest) -> ProveResult:
    """The numerical equalities that the run relies on, measured on a few of its rows."""
    rows = session.data().train
    return parity_checks.prove(
        session.hand_over(), session.plan, session.run.adapter_dir, session.tokenizer, rows, session.reporter
    )


def operations(run: RunDir, send: Send) -> Operations:
    """The operations of this session."""
    session = SessionServer(run, send)
    extras = session_server.by_name(
        Operation(PromptedRequest, partial(few_shot, session)),
        Operation(ProveRequest, partial(prove, session), uses_up_model=True),
        Operation(ReferenceRequest, partial(reference, session)),
        Operation(ReplyRequest, partial(reply, session)),
        Operation(LabelRequest, partial(label, session)),
    )
    return {**session_server.session_operations(session), **extras}


if __name__ == "__main__":
    session_server.main(operations)
