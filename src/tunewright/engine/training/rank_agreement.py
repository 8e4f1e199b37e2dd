"""Whether the processes of a run are about to compute the same, and still do."""

import hashlib
import logging
import socket
from collections import deque
from collections.abc import Mapping, Sequence
from statistics import median_low
from typing import Any

import torch
from peft import PeftModel
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tunewright.engine.models.finite import trained_tensors
from tunewright.engine.system.ranks import Ranks
from tunewright.engine.training.step_parts import StepParts
from tunewright.errors import Problem, TrainingError
from tunewright.inspection.machine_info import versions
from tunewright.planning.run_plan import Plan
from tunewright.rundir.event_log import EventLog

logger = logging.getLogger(__name__)

COMPARED_EVERY = 100  # steps
STRAGGLER_STEPS, STRAGGLER_TIMES = 50, 1.4


def agree_on_start(ranks: Ranks, plan: Plan, model: PeftModel, paths: Sequence[str], rows_key: str) -> None:
    """Trained parameters are those of the first process; everything else must be the same. Raises: TrainingError E526; PeerLost."""
    if ranks.world == 1:
        return
    ranks.take_from_first(parameter.data for parameter in model.parameters() if parameter.requires_grad)
    facts = {
        "plan": _digest(plan.run.model_dump_json(exclude={"launch", "run"}).encode()),
        "model": plan.facts.model.digest,
        "data": plan.facts.data.fingerprint,
        "rows": rows_key,
        "fast paths": ", ".join(paths),
        "weights": weights_digest(model),
        **versions(),
    }
    compare(ranks, facts, step=0)


def compare(ranks: Ranks, facts: Mapping[str, object], step: int) -> None:
    """Raises: TrainingError E526 in every process, for each thing in which one differs from the first; PeerLost."""
    hosts = ranks.gather(socket.gethostname())
    facts_of_all = ranks.gather({name: str(value) for name, value in facts.items()})
    problems = [
        Problem("E526", values={
            "what": name, "step": step, "rank": rank, "host": hosts[rank], "value": other.get(name, ""),
            "first_host": hosts[0], "first": value,
        })
        for rank, other in enumerate(facts_of_all[1:], 1)
        for name, value in facts_of_all[0].items()
        if other.get(name) != value
    ]  # fmt: skip
    if problems:
        raise TrainingError(problems)


def weights_digest(model: PeftModel) -> str:
    """A digest of everything that is trained, bit by bit."""
    digest = hashlib.sha256()
    for _name, tensor in trained_tensors(model):
        digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:16]


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def watching_others(parts: StepParts, events: EventLog) -> list[TrainerCallback]:
    """The callback that watches the other processes; none alone."""
    return [OthersCallback(parts, events)] if parts.ranks.world > 1 else []


class OthersCallback(TrainerCallback):
    """Compares the weights of all processes now and then, and names one that is slow, once."""

    def __init__(self, parts: StepParts, events: EventLog) -> None:
        self.parts = parts
        self.events = events
        self.last: deque[list[float]] = deque(maxlen=STRAGGLER_STEPS)
        self.has_warned = False

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, *, model: PeftModel, **_: Any
    ) -> None:
        if state.global_step % COMPARED_EVERY == 0:
            compare(self.parts.ranks, {"weights": weights_digest(model)}, state.global_step)
        self.last.append(self.parts.seconds)
        if self.parts.ranks.is_first and not self.has_warned and len(self.last) == STRAGGLER_STEPS:
            self._warn(state.global_step)

    def _warn(self, step: int) -> None:
        sums = [sum(of_rank) for of_rank in zip(*self.last, strict=True)]
        usual, slowest = median_low(sums), max(sums)
        if usual > 0 and slowest >= STRAGGLER_TIMES * usual:
            values = {"rank": sums.index(slowest), "times": f"{slowest / usual:.1f}", "steps": STRAGGLER_STEPS}
            self.events.alert(Problem("W509", values=values))
            self.has_warned = True
