"""Whether the processes of a run are about to compute the same, and still do."""

import hashlib
import json
import logging
import socket
from collections import deque
from collections.abc import Mapping, Sequence
from statistics import median_low
from types import MappingProxyType
from typing import Any

import torch
from peft import PeftModel
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tunewright.config.dotted_paths import options_of
from tunewright.config.run_config import RunConfig
from tunewright.data.tokenized.mapped_rows import file_digests
from tunewright.engine.models.finite import trained_tensors
from tunewright.engine.system.ranks import Ranks
from tunewright.engine.training.dataset import TokenizedDataset
from tunewright.engine.training.step_parts import StepParts
from tunewright.errors import Problem, TrainingError
from tunewright.inspection.machine_info import versions
from tunewright.planning.run_plan import Plan
from tunewright.rundir.base_fingerprint import PARTS
from tunewright.rundir.event_log import EventLog

logger = logging.getLogger(__name__)

COMPARED_EVERY = 100  # steps
STRAGGLER_STEPS, STRAGGLER_TIMES = 50, 1.4
OF_THE_MACHINE = ("launch.", "run.")
NAMES = ("data.train", "data.holdout", "model.name", "model.chat_template")
UNSET = "-"


def agree_on_start(ranks: Ranks, plan: Plan, model: PeftModel, paths: Sequence[str], data: TokenizedDataset) -> None:
    """Trained parameters are those of the first process; everything else must be the same. Raises: TrainingError E526; PeerLost."""
    if ranks.world == 1:
        return
    ranks.take_from_first(parameter.data for parameter in model.parameters() if parameter.requires_grad)
    base = plan.facts.model
    facts = {
        "model": base.digest,
        **{what: base.contents.model_dump()[part][:12] for part, what in PARTS.items()},
        "data": plan.facts.data.fingerprint,
        "rows": _digest("".join(file_digests(data.train) + file_digests(data.held_out)).encode()),
        "fast paths": ", ".join(paths),
        "weights": weights_digest(model),
        **versions(),
    }
    compare(ranks, facts, step=0, settings=_settings(plan.run))


def _settings(run: RunConfig) -> dict[str, object]:
    """The options that shape what is computed. Model and data may have other names on each machine: their contents count."""
    return {
        path: value
        for path, value in options_of(run)
        if not path.startswith(OF_THE_MACHINE) and not (path in NAMES and isinstance(value, str | list))
    }


def compare(
    ranks: Ranks, facts: Mapping[str, object], step: int, settings: Mapping[str, object] = MappingProxyType({})
) -> None:
    """Raises: TrainingError E526 in every process, for each thing in which one differs from the first; PeerLost."""
    hosts = ranks.gather(socket.gethostname())
    texts = {name: str(value) for name, value in facts.items()} | {
        path: json.dumps(value, ensure_ascii=False) for path, value in settings.items()
    }
    first, *others = ranks.gather(texts)
    problems = [
        Problem("E526", values={
            "what": name, "step": step, "rank": rank, "host": hosts[rank], "value": other.get(name, UNSET),
            "first_host": hosts[0], "first": first.get(name, UNSET),
            **({"key": f"{name}={first[name]}"} if name in settings and name in first else {}),
        })
        for rank, other in enumerate(others, 1)
        for name in {**first, **other}
        if other.get(name) != first.get(name)
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
