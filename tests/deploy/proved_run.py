"""A tiny run that learned something, its files for llama.cpp, and ways to spoil them.

The base says one colour of each thing, the run another. It has a head of its own, so that an adapter may be on it.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from gguf.scripts.gguf_new_metadata import MetadataDetails, copy_with_new_metadata

from tests.deploy.written_gguf import make_model, make_tokenizer, write_adapter, write_model
from tests.matrix.test_causal_lm import run_for
from tunewright import api
from tunewright.engine.session_server import SessionServer
from tunewright.extras.proof.check_deployed import Deployed, compare
from tunewright.extras.proof.deployed_folder import GgufFiles, gguf_files
from tunewright.extras.proof.endpoint import Endpoint, Flavour
from tunewright.extras.proof.exactness import Exactness, exactness_of
from tunewright.extras.proof.reference import Reference
from tunewright.extras.proof.reference_answers import reference
from tunewright.extras.serve.llama_engine import LlamaModel, start_engine
from tunewright.extras.session_requests import ReferenceRequest
from tunewright.reporting import SILENT
from tunewright.rundir.records import Proof
from tunewright.rundir.run_dir import RunDir

THINGS = ("leaf 17", "sky", "snow 2024", "it's coal", "rose 5", "sea", "sand 333", "we're late")
BASE_SAYS = ("red", "gold", "grey", "pink", "blue", "teal", "lime", "rust")
RUN_SAYS = ("green", "azure", "white", "black", "crimson", "navy", "yellow 1024", "never")
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "down_proj", "lm_head"]


@dataclass(frozen=True)
class ProvedRun:
    """A run, its own answers, and files that are right."""

    run: RunDir
    reference: Reference
    merged: Path
    base: Path
    adapter: Path
    other_adapter: Path
    """Of another run on the same base."""


def make_base(folder: Path) -> None:
    """A base that has learned its answers."""
    rows = list(zip(THINGS, BASE_SAYS, strict=True))
    tokenizer = make_tokenizer(folder, [*THINGS, *BASE_SAYS, *RUN_SAYS, "system user assistant You answer briefly."])
    torch.manual_seed(0)
    model = make_model(len(tokenizer))
    asked = [f"<|im_start|>user\n{thing}?<|im_end|>\n<|im_start|>assistant\n" for thing, _said in rows]
    prompts = [tokenizer(text)["input_ids"] for text in asked]
    answers = [tokenizer(f"{said}<|im_end|>")["input_ids"] for _thing, said in rows]
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
    for _step in range(80):
        for prompt, answer in zip(prompts, answers, strict=True):
            labels = torch.tensor([[-100] * len(prompt) + answer])
            (model(input_ids=torch.tensor([prompt + answer]), labels=labels).loss / len(rows)).backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval().save_pretrained(folder)


def train(base: Path, folder: Path, answers: tuple[str, ...] = RUN_SAYS, **settings: object) -> api.TrainedRun:
    """A run on the things with these answers, all rows in the training."""
    rows = folder.parent / f"{folder.name}.jsonl"
    pairs = zip(THINGS, answers, strict=True)
    rows.write_text("".join(json.dumps({"prompt": f"{thing}?", "completion": said}) + "\n" for thing, said in pairs))
    values: dict[str, object] = {
        "data.holdout": 0, "train.max_steps": 120, "train.learning_rate": 5e-3, "train.per_device_train_batch_size": 8,
        "train.eval_steps": 120, "eval.rows": 0, "eval.max_new_tokens": 12, "peft.r": 16, "peft.lora_alpha": 32,
        "peft.target_modules": TARGETS,
    }  # fmt: skip
    return run_for(base, rows, folder, **{**values, **settings})


def prove(folder: Path) -> ProvedRun:
    """The run with its reference and its files, all in `folder`."""
    base = folder / "base"
    make_base(base)
    trained = train(base, folder / "run")
    session = SessionServer(trained.dir, lambda reply: None)
    asked = reference(session, ReferenceRequest(len(THINGS)))
    session.hand_over().merge_and_unload().save_pretrained(folder / "merged")
    shutil.copyfile(base / "tokenizer.json", folder / "merged" / "tokenizer.json")
    answers = tuple(reversed(RUN_SAYS))
    other = train(base, folder / "other", answers, **{"train.max_steps": 60, "train.eval_steps": 60})
    return ProvedRun(
        trained.dir, Reference.model_validate(asked.reference), write_model(folder / "merged", folder / "merged.gguf"),
        write_model(base, folder / "base.gguf"), write_adapter(trained.adapter, folder / "adapter.gguf"),
        write_adapter(other.adapter, folder / "other.gguf"),
    )  # fmt: skip


@contextmanager
def engine(model: Path, *adapters: Path, log: Path) -> Iterator[Endpoint]:
    """llama.cpp with these files."""
    with start_engine(LlamaModel(model, adapters, context=256, slots=1, threads=1), log=log) as running:
        yield Endpoint(running.url, running.key)


def checked(
    proved: ProvedRun, model: Path, *adapters: Path, log: Path, fields: Mapping[str, object] | None = None,
    flavour: Flavour | None = None, exactness: Exactness | None = None,
) -> Proof:  # fmt: skip
    """The proof of these files through llama.cpp; `fields` are in each request."""
    files = GgufFiles(model, adapters, "f32", gguf_files(model, "tiny").end_ids)
    with engine(model, *adapters, log=log) as endpoint:
        asked = Endpoint(endpoint.url, endpoint.key, fields=fields or {}, flavour=flavour)
        return compare(
            proved.run, proved.reference, asked, Deployed("tiny", files.all, files.end_ids),
            exactness=exactness or exactness_of("f32"), reporter=SILENT,
        )  # fmt: skip


def with_values(source: Path, target: Path, **values: str) -> Path:
    """A copy of a GGUF file with other texts in its header; `_` in a name stands for a dot after `tokenizer_`, `ggml_`."""
    reader = gguf.GGUFReader(source)
    architecture = reader.get_field("general.architecture").contents()
    writer = gguf.GGUFWriter(target, arch=architecture)
    new = {name: MetadataDetails(gguf.GGUFValueType.STRING, value) for name, value in values.items()}
    copy_with_new_metadata(reader, writer, new, [])
    return target


def with_number(source: Path, target: Path, key: str, value: float) -> Path:
    """A copy with another number in its header."""
    shutil.copyfile(source, target)
    field = gguf.GGUFReader(target, "r+").get_field(key)
    assert field is not None
    field.parts[field.data[0]][0] = value
    return target


def with_tensors(source: Path, target: Path, change: Any) -> Path:
    """A copy with other numbers in its tensors: `change` gets name and array, and returns the new array."""
    shutil.copyfile(source, target)
    for tensor in gguf.GGUFReader(target, "r+").tensors:
        tensor.data[:] = change(tensor.name, np.array(tensor.data))
    return target
