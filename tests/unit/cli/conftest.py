"""The command line in this process, a model folder of a few kilobytes, and runs that were never trained."""

import json
import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from typer.testing import CliRunner

from tunewright import api
from tunewright.cli.main import app
from tunewright.errors import Problem
from tunewright.extras.session_requests import ReplyRequest, ReplyResult
from tunewright.inspection import builtin_models, machine_info
from tunewright.inspection.machine_info import SpeedProbe
from tunewright.launch import start_run
from tunewright.reporting import SILENT, Reporter
from tunewright.rundir import atomic_io, file_names
from tunewright.rundir.run_dir import RunDir
from tunewright.rundir.session_protocol import (
    AnswerRequest,
    AnswerResult,
    EvaluateRequest,
    EvaluateResult,
    MergeRequest,
    MergeResult,
    Sampling,
    SessionRequest,
    SessionResult,
)

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
HIDDEN, LAYERS = 64, 2
Event = dict[str, Any]


@dataclass(frozen=True)
class Ended:
    """What a command left: exit code, both streams."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Ended]


@pytest.fixture
def tw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`tw("runs", "list")` in an empty folder, as in a pipe; `input` is stdin."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str, input: str | None = None) -> Ended:
        result = CliRunner().invoke(app, list(words), input=input)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return Ended(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def model(tmp_path: Path, home: Path) -> Path:
    """A Llama of two layers with a tokenizer of bytes; its weights are zeros, and the machine counts as measured."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={char: i for i, char in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    backend.save(str(folder / "tokenizer.json"))
    config = {
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": HIDDEN, "num_hidden_layers": LAYERS,
        "intermediate_size": 2 * HIDDEN, "num_attention_heads": 4, "num_key_value_heads": 4, "vocab_size": 258,
        "max_position_embeddings": 2048,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|im_end|>", "chat_template": TEMPLATE}))
    _write_weights(folder / "model.safetensors")
    probe = SpeedProbe(device="cpu", device_name="cpu", memory_bytes=2**34, flops={"fp32": 1e11, "bf16": 4e10})
    atomic_io.write_text(machine_info.probe_path(), probe.model_dump_json())
    return folder


def _write_weights(path: Path) -> None:
    shapes = {"model.embed_tokens.weight": [258, HIDDEN], "model.norm.weight": [HIDDEN]}
    for layer in range(LAYERS):
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            shapes[f"model.layers.{layer}.self_attn.{name}.weight"] = [HIDDEN, HIDDEN]
        for name, shape in (
            ("gate_proj", [2 * HIDDEN, HIDDEN]),
            ("up_proj", [2 * HIDDEN, HIDDEN]),
            ("down_proj", [HIDDEN, 2 * HIDDEN]),
        ):
            shapes[f"model.layers.{layer}.mlp.{name}.weight"] = shape
    header, offset = {}, 0
    for name, shape in shapes.items():
        size = 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(offset))


@pytest.fixture
def built_in(model: Path, home: Path) -> Path:
    """The same small model under the built-in name smollm2."""
    bundle = builtin_models.BUNDLED["smollm2"]
    (home / "models").mkdir()
    folder = home / "models" / f"smollm2-{bundle.weights_sha256[:12]}"
    folder.symlink_to(model)
    return folder


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """40 sound rows of questions and answers."""
    path = tmp_path / "my.jsonl"
    lines = [json.dumps({"question": f"How much is {i} and {i}?", "answer": f"It is {2 * i}."}) for i in range(40)]
    path.write_text("\n".join(lines) + "\n")
    return path


SCORES = {"held_out_loss": 2.0, "perplexity": 7.389, "exact_match": 0.0}
AFTER = {"held_out_loss": 0.5, "perplexity": 1.6487, "exact_match": 0.75}
END_STATES = {"finished": 0, "stopped": 143, "failed": 10}


def story(*, steps: int = 4, state: str = "finished", problem: Problem | None = None) -> list[Event]:
    """Events of a run from its beginning to its end, without their heads."""
    events: list[Event] = [
        {"kind": "phase", "phase": "prepare", "state": "begin"},
        {"kind": "phase", "phase": "prepare", "state": "end", "seconds": 0.4},
        {"kind": "phase", "phase": "evaluate_before", "state": "begin"},
        {"kind": "progress", "phase": "evaluate_before", "done": 1, "total": 4},
        {"kind": "phase", "phase": "evaluate_before", "state": "end", "seconds": 2.5},
        {"kind": "score", "which": "before", "scores": SCORES, "rows": 4, "held_out_rows": 4, "seconds": 2.5},
        {"kind": "phase", "phase": "train", "state": "begin"},
    ]
    for step in range(1, steps + 1):
        events.append({
            "kind": "log", "step": step, "loss": 2.0 / step, "learning_rate": 1.8e-4, "grad_norm": 0.8, "epoch": step / steps,
            "tokens": 100 * step, "train_seconds": 1.0 * step, "tokens_per_second": 412.3, "eta_seconds": 190.0 - step,
            "rss_bytes": 2_254_857_830, "max_steps": steps,
        })  # fmt: skip
    events += [
        {"kind": "eval", "step": steps, "held_out_loss": 0.5, "seconds": 0.3, "is_best": True},
        {"kind": "checkpoint", "step": steps, "path": f"checkpoints/checkpoint-{steps}", "bytes": 1000},
        {"kind": "note", "step": steps, "text": "answer_loss: the model's head is adapted"},
        {"kind": "alert", "step": steps, "problem": Problem("D301", values={"count": 2, "best": 1}).to_record()},
        {"kind": "phase", "step": steps, "phase": "train", "state": "end", "seconds": 4.0},
    ]
    if state == "finished":
        score = {"which": "after", "scores": AFTER, "rows": 4, "held_out_rows": 4, "seconds": 2.5}
        return [*events, {"kind": "score", "step": steps, **score}, {"kind": "done", "step": steps, "result": RESULT}]
    problems = [problem.to_record()] if problem else []
    return [*events, {"kind": "failed", "step": steps, "problems": problems, "exit_code": END_STATES[state]}]


RESULT = {
    "before": SCORES, "after": AFTER, "rows": 4, "held_out_rows": 4, "tokens": 400, "tokens_per_second": 412.3,
    "seconds": {"train": 4.0, "evaluate_before": 2.5, "evaluate_after": 2.5, "total": 12.0},
    "peak_rss_bytes": 2_254_857_830, "peak_device_bytes": None, "steps": 4, "best_step": 4, "trainable_parameters": 1000,
    "adapter": "adapter", "adapter_bytes": 4000,
}  # fmt: skip


def tell(run: RunDir, events: Sequence[Event], *, seq: int = 0) -> None:
    """Write events into a run as its worker would."""
    for number, event in enumerate(events):
        head = {"schema": 1, "seq": seq + number, "t": 1_790_000_000.0 + number, "step": 0}
        atomic_io.append_line(run.file(file_names.EVENTS), json.dumps({**head, **event}))


def conclude(run: RunDir, state: str = "finished", problem: Problem | None = None) -> None:
    """What the parent writes at the end."""
    run.update_info(
        state=state, worker=None, exit_code=END_STATES[state], result=RESULT if state == "finished" else None,
        problems=[problem.to_record()] if problem else [], started=1_790_000_000.0, ended=1_790_000_012.0,
    )  # fmt: skip


@pytest.fixture
def make_run(tw: Run, model: Path, rows: Path) -> Callable[..., api.TrainedRun]:
    """A run under runs/ of the current folder, planned for real, with events made up."""

    def make(
        name: str = "mita",
        *,
        state: str = "finished",
        problem: Problem | None = None,
        events: Sequence[Event] | None = None,
    ) -> api.TrainedRun:
        loaded = api.load(named={"model.name": str(model), "data.train": str(rows), "run.name": name})
        run = start_run.create(loaded, api.plan(loaded), force=False, reporter=SILENT)
        tell(run, story(state=state, problem=problem) if events is None else events)
        run.file(file_names.LOG).write_text("transformers says \x1b[31mhello\x1b[0m\n")
        run.adapter_dir.mkdir()
        (run.adapter_dir / "adapter_config.json").write_text("{}")
        conclude(run, state, problem)
        return api.TrainedRun(run)

    return make


@pytest.fixture
def worked(monkeypatch: pytest.MonkeyPatch) -> list[RunDir]:
    """Instead of starting processes, a launched run is over at once; the runs that were launched."""
    launched: list[RunDir] = []

    def start_parent(run: RunDir, lock: int, device: object = None) -> None:
        launched.append(run)
        tell(run, story())
        conclude(run)

    monkeypatch.setattr(start_run, "start_parent", start_parent)
    return launched


class FakeSession:
    """Answers as a loaded model would."""

    def __init__(self) -> None:
        self.prompts: list[Any] = []
        self.samplings: list[Sampling] = []

    def request(
        self,
        request: SessionRequest,
        result: type[SessionResult],
        reporter: Reporter = SILENT,
        on_text: Callable[[str], None] = lambda _piece: None,
    ) -> SessionResult:
        if isinstance(request, ReplyRequest):
            self.prompts.append(list(request.turns))
            self.samplings.append(request.sampling)
            question = request.turns[-1]["content"]
            pieces = ["", "ba", f"se: {question}"] if request.of_base else ["", "tuned", f": {question}", "\nend"]
            for piece in pieces:
                on_text(piece)
            return ReplyResult("".join(pieces), 5, 3, is_cut=False)
        if isinstance(request, EvaluateRequest):
            sample = {"row": 3, "prompt": "How much?", "reference": "6", "answer": "6\x1b[31m", "base": "well"}
            return EvaluateResult(SCORES, AFTER, rows=4, held_out_rows=4, samples=[sample], baseline=None)
        if isinstance(request, MergeRequest):
            return MergeResult("/somewhere/merged", bytes=2**20, prompts=8, equal=8, max_logit_difference=2e-5)
        assert isinstance(request, AnswerRequest)
        prompts: list[Any] = list(request.prompts)
        self.prompts += prompts
        if isinstance(self.prompts[-1], dict):
            return AnswerResult(["refund"] * len(prompts), [0.973] * len(prompts))
        tuned = [f"tuned: {turns[-1]['content']}\nend" for turns in prompts]
        base = [f"base: {turns[-1]['content']}" for turns in prompts]
        return AnswerResult(tuned, base=base if request.with_base else None)

    def close(self) -> None:
        """Nothing to end."""


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> FakeSession:
    """No model is loaded; what was asked is kept."""
    fake = FakeSession()
    monkeypatch.setattr(api.TrainedRun, "session", lambda self: fake)
    return fake
