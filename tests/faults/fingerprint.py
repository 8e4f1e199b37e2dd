"""What two equal runs share: every bit of the adapter, of the last checkpoint's state, of the log but for its times."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from tunewright.rundir.checkpoints import CheckpointStore, damage
from tunewright.rundir.events import DoneEvent
from tunewright.rundir.run_dir import RunDir

TOLD = {"log": ("loss", "learning_rate", "grad_norm", "epoch", "tokens"), "eval": ("held_out_loss", "is_best")}
RESULT = ("before", "after", "steps", "best_step", "tokens", "rows", "held_out_rows", "trainable_parameters")
Fingerprint = dict[str, Any]


def digest(value: Any) -> str:
    """sha256 of nested values with tensors and arrays in them, by what they hold."""
    digest = hashlib.sha256()
    _feed(digest, value)
    return digest.hexdigest()[:16]


def _feed(digest: Any, value: Any) -> None:
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().contiguous().numpy() if value.dtype != torch.bfloat16 else value.float().numpy()
    if isinstance(value, np.ndarray):
        digest.update(f"{value.dtype}{value.shape}".encode() + value.tobytes())
    elif isinstance(value, Mapping):
        for key in sorted(value, key=str):
            digest.update(str(key).encode())
            _feed(digest, value[key])
    elif isinstance(value, list | tuple):
        for item in value:
            _feed(digest, item)
    else:
        digest.update(repr(value).encode())


def curves_of(run: RunDir) -> dict[str, list[Any]]:
    """The log and the measurements by step; of a step made twice, the later one."""
    lines = {
        (event.kind, event.step): [getattr(event, name) for name in TOLD[event.kind]]
        for event in run.read_events()
        if event.kind in TOLD
    }
    return {f"{kind} {step}": line for (kind, step), line in sorted(lines.items(), key=str)}


def last_state(run: RunDir) -> dict[str, str]:
    """Digests of what the newest checkpoint holds to go on with."""
    step, folder = CheckpointStore(run.checkpoints_dir, run.info().id).own()[-1]
    assert not damage(folder)
    states = {
        name: torch.load(folder / name, weights_only=False)
        for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth")
    }
    trainer = json.loads((folder / "trainer_state.json").read_text())
    kept_state = {
        name: trainer[name] for name in ("best_metric", "best_global_step", "global_step", "stateful_callbacks")
    }
    return {"step": str(step), **{name: digest(state) for name, state in states.items()}, "trainer": digest(kept_state)}


def adapter(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "adapter_model.safetensors")


def fingerprint(run: RunDir) -> Fingerprint:
    """Of a finished run, as a dictionary, so that a difference shows where it lies. Older checkpoints do not count: a run that
    is killed while it removes one keeps it.
    """
    done = run.read_events()[-1]
    assert isinstance(done, DoneEvent), (done, run.file("log.txt").read_text()[-3000:])
    assert not damage(run.adapter_dir)
    return {
        "adapter": digest(adapter(run.adapter_dir)),
        "result": {name: getattr(done.result, name) for name in RESULT},
        "told": curves_of(run),
        "state": last_state(run),
    }
