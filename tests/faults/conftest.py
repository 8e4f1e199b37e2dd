"""Whole runs of a tiny model in a second, and the fork server that saves each of them ten seconds of imports."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from tests.faults.client import Forked
from tests.faults.fingerprint import Fingerprint, fingerprint
from tests.matrix.conftest import CHATML, _measured, tiny_tokenizer
from tunewright import api
from tunewright.launch import start_run
from tunewright.launch.worker_environment import WORKER_ENVIRONMENT
from tunewright.reporting import SILENT
from tunewright.rundir.run_dir import RunDir

__all__ = ["_measured"]
ROOT = Path(__file__).parent.parent.parent
CLIENT = Path(__file__).with_name("client.py")
SIZE = {
    "vocab_size": 512, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 48,
}  # fmt: skip
TRAINED, HELD_OUT, STEPS = 64, 8, 32
BASE: dict[str, Any] = {
    "method": "lora", "peft.r": 4, "peft.lora_dropout": 0.1, "train.per_device_train_batch_size": 2, "train.optim": "adamw_torch",
    "train.gradient_accumulation_steps": 2, "train.num_train_epochs": 2, "train.learning_rate": 1e-3, "train.eval_steps": 4,
    "train.early_stopping_patience": 0, "eval.rows": 1, "eval.max_new_tokens": 2, "eval.loss_rows": HELD_OUT,
    "model.precision": "fp32",
}  # fmt: skip
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "every tenth step logged": {"train.logging_steps": 10},
    "no evaluation": {"data.holdout": 0},
    "early stopping": {"train.early_stopping_patience": 2, "train.learning_rate": 0.3, "train.eval_steps": 2},
    "no fast paths": {f"fast_paths.{name}": False for name in ("packing", "shared_prefix", "onednn_matmul", "answer_loss")},
    "two loading processes": {"train.dataloader_num_workers": 2},
    "adalora": {"method": "adalora", "peft.init_r": 6, "peft.target_r": 4, "peft.lora_dropout": 0.1, "peft.r": None},
    "one micro-batch": {"train.per_device_train_batch_size": 4, "train.gradient_accumulation_steps": 1},
}  # fmt: skip


@dataclass
class Toys:
    """Runs of the tiny model: planned once for each variant, copied for each case."""

    folder: Path
    address: str

    def planned(self, variant: str = "plain") -> Path:
        folder = self.folder / "planned" / variant.replace(" ", "-")
        if not folder.exists():
            settings = {name: value for name, value in (BASE | VARIANTS[variant]).items() if value is not None}
            holdout = str(self.folder / "held_out.jsonl")
            named = {"data.holdout": holdout, **settings, "model.name": str(self.folder / "model")}
            loaded = api.load(
                named={**named, "data.train": str(self.folder / "train.jsonl"), "run.output_dir": str(folder)}
            )
            start_run.create(loaded, api.plan(loaded), force=True, reporter=SILENT)
        return folder

    def new(self, name: str | Path, variant: str = "plain") -> RunDir:
        """A run that nothing was done of yet."""
        return RunDir(Path(shutil.copytree(self.planned(variant), name)))

    def begin(self, run: RunDir, **fault: Any) -> Forked:
        """A worker on a run."""
        return Forked(self.address, str(self.folder / "home"), str(run.path), fault)

    def work(self, run: RunDir, **fault: Any) -> int:
        """A worker on a run, to its end; the exit code."""
        return self.begin(run, **fault).wait()

    def unbroken(self, variant: str = "plain") -> Fingerprint:
        """What a run comes to that nobody disturbs."""
        return fingerprint(self.finished(variant))

    def finished(self, variant: str = "plain") -> RunDir:
        folder = self.folder / "unbroken" / variant.replace(" ", "-")
        if not folder.exists():
            assert self.work(self.new(folder, variant), file=0) == 0, (folder / "log.txt").read_text()[-3000:]
        return RunDir(folder)

    def argv(self, run: RunDir) -> list[str]:
        """How a real parent starts a worker of the fork server."""
        return [sys.executable, "-S", "-E", str(CLIENT), self.address, str(self.folder / "home"), str(run.path)]


@pytest.fixture(scope="session")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toys]:
    folder = tmp_path_factory.mktemp("toys")
    (folder / "home").mkdir()
    torch.manual_seed(0)
    config = AutoConfig.for_model("llama", **SIZE)
    config.eos_token_id, config.bos_token_id = 2, 1
    AutoModelForCausalLM.from_config(config).save_pretrained(folder / "model")
    tiny_tokenizer(folder / "model", CHATML)
    for name, first, count in (("train", 0, TRAINED), ("held_out", TRAINED, HELD_OUT)):
        numbers = range(first, first + count)
        rows = ({"prompt": f"What is {n} + {n % 7}?", "completion": f"It is {n + n % 7}."} for n in numbers)
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    address = str(folder / "socket")
    environment = {
        **os.environ, **WORKER_ENVIRONMENT, "OMP_NUM_THREADS": "1", "TUNEWRIGHT_LANG": "en",
        "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
    }  # fmt: skip
    command = [sys.executable, "-m", "tests.faults.server", address]
    server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"
    yield Toys(folder, address)
    server.terminate()
    server.wait()
