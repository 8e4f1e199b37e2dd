"""What a run's session answers to a server. Runs in the session's process."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import cast

from tunewright.engine.evaluation.evaluator import pad_tags
from tunewright.engine.session_server import SessionServer
from tunewright.errors import error
from tunewright.extras.session_requests import LabelRequest, LabelResult, ReplyRequest, ReplyResult
from tunewright.rundir.session_protocol import ChatPrompt, WordsInput


def reply(session: SessionServer, request: ReplyRequest) -> ReplyResult:
    """The answer to a conversation, sent while it is generated. Raises: DataError E219; ExportError E647."""
    ids = session.prompt_ids(ChatPrompt(turns=request.turns))
    has_own_positions = session.plan.run.task == "seq2seq"  # its decoder begins at the first
    room = session.positions() - (0 if has_own_positions else len(ids))
    if room < 1:
        raise error("E647", tokens=len(ids), context=session.positions())
    limit = min(room, request.max_new_tokens or room)
    with session.base() if request.of_base else nullcontext(session.model) as model:
        answer = session.streamed(model, ids, limit, request.sampling)
    return ReplyResult(answer.text, len(ids), len(answer.ids), answer.is_cut)


def label(session: SessionServer, request: LabelRequest) -> LabelResult:
    """The labels of texts or rows of words."""
    rows = session.encoded(request.inputs)
    predictions = session.predictions(session.model, rows)
    data = session.plan.facts.data
    is_number = data.problem_type == "regression"
    assigned = [list(prediction.labels) for prediction in predictions]
    if session.plan.run.task == "token_cls":  # words that were cut off have the tag of no entity
        lengths = [len(row["words"]) for row in cast(Sequence[WordsInput], request.inputs)]
        assigned = [list(pad_tags(p.labels, length)) for p, length in zip(predictions, lengths, strict=True)]
    return LabelResult(
        labels=[] if is_number else list(data.labels),
        assigned=[] if is_number else assigned,
        probabilities=[list(prediction.probabilities) for prediction in predictions],
        numbers=[prediction.number for prediction in predictions] if is_number else [],
        tokens=sum(len(row.input_ids) for row in rows),
    )
