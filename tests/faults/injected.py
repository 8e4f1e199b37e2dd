"""Faults that a test puts into a worker: a signal, or a number that is none, at a named moment of the training.

{"at": "step_end", "step": 7, "do": "kill"}; {"file": 130} dies at the 130th change of a file in the run's folder, and with
{"file": 0} the changes are only counted, into RUN.changes. {"means_of": 2} divides losses by the label tokens of this one of
two processes; {"packages": "/folder"} has other packages installed, those of a folder.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import nn
from transformers import TrainerCallback, TrainerState

from tunewright.data.tokenized.dealing import deal
from tunewright.data.tokenized.tokenization import TokenizedExample
from tunewright.engine.tasks.collator import StepCollator

CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree")
WAIT_SECONDS = 10
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class At(TrainerCallback):
    """Does something at a moment of a step; `step` counts finished steps."""

    def __init__(self, moment: str, step: int, do: Callable[[nn.Module], None]) -> None:
        self.moment, self.step, self.do = moment, step, do

    def _is(self, moment: str, state: TrainerState, model: nn.Module) -> None:
        if moment == self.moment and state.global_step == self.step:
            self.do(model)

    def on_train_begin(self, args: Any, state: Any, control: Any, **others_of_callback: Any) -> None:
        self._is("train_begin", state, others_of_callback["model"])

    def on_step_begin(self, args: Any, state: Any, control: Any, **others_of_callback: Any) -> None:
        self._is("step_begin", state, others_of_callback["model"])

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **others_of_callback: Any) -> None:
        self._is("gradients", state, others_of_callback["model"])

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **others_of_callback: Any) -> None:
        self._is("applied", state, others_of_callback["model"])

    def on_step_end(self, args: Any, state: Any, control: Any, **others_of_callback: Any) -> None:
        self._is("step_end", state, others_of_callback["model"])

    def on_log(self, args: Any, state: Any, control: Any, **others_of_callback: Any) -> None:
        self._is("log", state, others_of_callback["model"])

    def on_evaluate(self, args: Any, state: Any, control: Any, **others_of_callback: Any) -> None:
        self._is("evaluate", state, others_of_callback["model"])

    def on_save(self, args: Any, state: Any, control: Any, **others_of_callback: Any) -> None:
        self._is("save", state, others_of_callback["model"])

    def on_train_end(self, args: Any, state: Any, control: Any, **others_of_callback: Any) -> None:
        self._is("train_end", state, others_of_callback["model"])


def _signal(number: int, model: nn.Module) -> None:
    os.kill(os.getpid(), number)


def _kill_a_loader(model: nn.Module) -> None:
    """Signal 9 to a process that loads rows; what watches them says so at any moment from then on."""
    psutil.Process().children()[0].kill()
    time.sleep(WAIT_SECONDS)


def _trained(model: nn.Module) -> torch.Tensor:
    return next(p for p in model.parameters() if p.requires_grad)


def _nan_weight(model: nn.Module) -> None:
    with torch.no_grad():
        _trained(model).view(-1)[0] = torch.nan


def _nan_gradient(model: nn.Module) -> None:
    hook = _trained(model).register_hook(lambda gradient: (hook.remove(), gradient * torch.nan)[1])


def _nan_forward(model: nn.Module, *, training: bool, once: bool) -> None:
    def spoil(module: nn.Module, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
        if module.training != training:
            return output
        if once:
            hook.remove()
        return output * torch.nan

    hook = model.get_input_embeddings().register_forward_hook(spoil)


def _stop(model: nn.Module) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def _hang(model: nn.Module) -> None:
    """In Python, computing."""
    while True:
        pass


def _sleep(model: nn.Module) -> None:
    """In a call that never returns."""
    threading.Event().wait()


def _slow(model: nn.Module) -> None:
    """From now on, each pass forward."""
    model.get_input_embeddings().register_forward_hook(lambda *_: time.sleep(0.05))


def _raise(model: nn.Module) -> None:
    raise RuntimeError("invented fault")


def _no_memory(model: nn.Module) -> None:
    raise MemoryError("invented")


def _other_weights(model: nn.Module) -> None:
    with torch.no_grad():
        _trained(model).view(-1)[0] += 0.5


def _one_pass_more(model: nn.Module) -> None:
    """A pass through the model that nobody else makes."""
    with torch.no_grad():
        model(input_ids=torch.ones((1, 4), dtype=torch.long))


def _divide_by_own_label_tokens(world: int) -> None:
    """The mean of the processes' means in the place of the step's."""
    collate = StepCollator.__call__

    def collated(self: StepCollator, rows: Sequence[TokenizedExample]) -> dict[str, object]:
        dealt = deal([self.size(row) for row in rows], self.parts)
        own = self.units([rows[i] for part in self.own for i in dealt[part]])
        return collate(self, rows) | {"num_label_tokens": torch.tensor(world * max(1, own))}

    StepCollator.__call__ = collated  # type: ignore[method-assign]


DEEDS: Mapping[str, Callable[[nn.Module], None]] = {
    "kill a loader": _kill_a_loader,
    "stop": _stop,
    "hang": _hang,
    "sleep": _sleep,
    "slow": _slow,
    "raise": _raise,
    "no memory": _no_memory,
    "other weights": _other_weights,
    "one pass more": _one_pass_more,
    "kill": partial(_signal, signal.SIGKILL),
    "segfault": partial(_signal, signal.SIGSEGV),
    "term": partial(_signal, signal.SIGTERM),
    "int": partial(_signal, signal.SIGINT),
    "hup": partial(_signal, signal.SIGHUP),
    "nan weight": _nan_weight,
    "nan gradient": _nan_gradient,
    "nan loss once": partial(_nan_forward, training=True, once=True),
    "nan loss from now on": partial(_nan_forward, training=True, once=False),
    "nan evaluation": partial(_nan_forward, training=False, once=False),
}


class _Changes:
    """Counts changes of files under a folder, by the interpreter's audit events; at a given one the process dies."""

    def __init__(self, folder: Path, last: int) -> None:
        self.folder, self.last, self.count = f"{folder}/", last, 0

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        is_change = event in CHANGES or (event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES)
        if not is_change or not str(arguments[0]).startswith(self.folder):
            return
        self.count += 1
        if self.count == self.last:
            os.kill(os.getpid(), signal.SIGKILL)
        if not self.last:
            Path(f"{self.folder[:-1]}.changes").write_text(str(self.count))


def installed(fault: Mapping[str, Any], folder: Path) -> Sequence[TrainerCallback]:
    """The callbacks of a fault, or none where it is one of files."""
    if "file" in fault:
        sys.addaudithook(_Changes(folder, fault["file"]))
        return []
    if "means_of" in fault:
        _divide_by_own_label_tokens(fault["means_of"])
        return []
    if "packages" in fault:
        sys.path.insert(0, fault["packages"])
        return []
    return [At(fault["at"], fault["step"], DEEDS[fault["do"]])] if fault else []
