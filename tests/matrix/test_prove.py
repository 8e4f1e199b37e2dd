"""`verify --numerics` on tiny models: what must be equal is, and each kind of sabotage is found."""

import io
import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tunewright import api
from tunewright.engine.session_server import SessionServer, serve
from tunewright.extras import session_worker
from tunewright.extras.numerics import parity_checks
from tunewright.extras.session_requests import ProveRequest
from tunewright.kernels.cross_entropy import plain_loss
from tunewright.kernels.packing import packed_loss
from tunewright.planning import fast_paths
from tunewright.rundir.checkpoints import seal
from tunewright.rundir.session_protocol import EvaluateRequest, ProgressReply, Reply, ResultReply

from .test_causal_lm import run_for

Checks = dict[str, dict[str, Any]]
ALWAYS = {"accumulated", "switched_off", "reloaded", "merged"}
FAST = {"answer_loss", "packing", "shared_prefix"}
CELLS: list[tuple[str, str, str, set[str]]] = [
    ("lora", "causal_lm", "llama", ALWAYS | FAST | {"merged_lora"}),
    ("ia3", "causal_lm", "llama", ALWAYS | FAST),
    ("adalora", "causal_lm", "llama", ALWAYS | FAST),
    ("prefix_tuning", "causal_lm", "llama", ALWAYS - {"merged"}),
    ("lora", "seq_cls", "bert", ALWAYS),
    ("ia3", "seq_cls", "llama", ALWAYS),
    ("adalora", "seq_cls", "bert", ALWAYS),
    ("prefix_tuning", "seq_cls", "bert", ALWAYS - {"merged"}),
    ("p_tuning", "seq_cls", "llama", ALWAYS - {"merged"}),
    ("lora", "token_cls", "bert", ALWAYS),
    ("lora", "seq2seq", "t5", ALWAYS | {"merged_lora"}),
]
SMALL: dict[str, dict[str, object]] = {
    "prefix_tuning": {"peft.num_virtual_tokens": 4},
    "p_tuning": {"peft.encoder_hidden_size": 32},
    "adalora": {"train.max_steps": 12},
}


@pytest.fixture
def trained(
    tiny_model: Callable[..., Path], task_rows: dict[str, Path], tmp_path: Path
) -> Callable[..., api.TrainedRun]:
    def train(method: str = "lora", task: str = "causal_lm", family: str = "llama", **settings: object) -> Any:
        requests = {"task": task, "method": method, "train.learning_rate": 2e-2, "eval.max_new_tokens": 3}
        return run_for(
            tiny_model(family), task_rows[task], tmp_path / "run", **requests, **SMALL.get(method, {}), **settings
        )

    return train


def loaded(run: api.TrainedRun) -> SessionServer:
    return SessionServer(run.dir, lambda message: None)


def proven(session: SessionServer) -> Checks:
    result = session_worker.prove(session, ProveRequest())
    json.dumps(result.to_json(), allow_nan=False)
    assert result.rows == parity_checks.ROWS
    return {str(check["name"]): check for check in result.checks}


def outcomes(checks: Checks, outcome: str) -> set[str]:
    return {name for name, check in checks.items() if check["outcome"] == outcome}


@pytest.mark.parametrize(("method", "task", "family", "equal"), CELLS)
def test_what_must_be_equal_is_and_the_rest_says_why_it_does_not_apply(
    method: str, task: str, family: str, equal: set[str], trained: Callable[..., api.TrainedRun]
) -> None:
    checks = proven(loaded(trained(method, task, family)))
    assert outcomes(checks, "failed") == set(), checks
    assert outcomes(checks, "ok") == equal & ({*fast_paths.PATHS} | ALWAYS)
    assert set(checks) == {*fast_paths.PATHS} | ALWAYS
    assert all(checks[name]["reason"] for name in outcomes(checks, "not_applicable"))
    assert {entry["what"] for entry in checks["accumulated"]["compared"]} == {"loss", "gradients"}
    assert checks["reloaded"]["compared"][0] == {"what": "tensors", "difference": 0.0, "tolerance": 0.0}


@pytest.mark.parametrize(
    ("settings", "skipped"),
    [
        ({"peft.bias": "all"}, {"switched_off"}),
        ({"peft.lora_bias": True}, {"merged"}),
        ({"peft.init_lora_weights": "pissa"}, set()),
        ({"model.quantization": "8bit"}, set()),
        ({"model.precision": "bf16"}, set()),
        ({"peft.modules_to_save": ["lm_head"]}, set()),
    ],
)
def test_settings_that_change_what_is_trained_are_proven_too(
    settings: dict[str, object], skipped: set[str], trained: Callable[..., api.TrainedRun]
) -> None:
    checks = proven(loaded(trained(family="qwen2", **settings)))
    assert outcomes(checks, "failed") == set(), checks
    assert outcomes(checks, "not_applicable") & ALWAYS == skipped


@pytest.mark.parametrize("method", ["lora", "ia3", "prefix_tuning", "adalora"])
def test_gradients_reach_every_number_of_the_adapter(method: str, trained: Callable[..., api.TrainedRun]) -> None:
    session = loaded(trained(method))
    parity_checks.let_gradients_in(session.model)
    with_gradients = sum(p.numel() for p in session.model.parameters() if p.requires_grad)
    saved = sum(tensor.numel() for tensor in load_file(session.run.adapter_dir / "adapter_model.safetensors").values())
    assert with_gradients == saved


@pytest.mark.fast_paths
def test_a_fast_path_with_another_loss_is_found(
    trained: Callable[..., api.TrainedRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = loaded(trained())

    def scaled(model: Any, batch: Any) -> torch.Tensor:
        return 1.01 * packed_loss(model, batch)

    monkeypatch.setattr("tunewright.engine.training.loss_backends.packed_loss", scaled)
    checks = proven(session)
    assert outcomes(checks, "failed") == {"packing", "shared_prefix"}
    assert checks["packing"]["compared"][0]["difference"] == pytest.approx(0.01, rel=1e-2)


def test_a_loss_that_is_a_mean_of_each_micro_batch_is_found(
    trained: Callable[..., api.TrainedRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = loaded(trained(**{"fast_paths.answer_loss": False}))

    def mean(model: Any, batch: Any) -> torch.Tensor:
        return plain_loss(model, batch) / (batch["labels"] != -100).sum()

    monkeypatch.setattr("tunewright.engine.tasks.task_registry.plain_loss", mean)
    assert outcomes(proven(session), "failed") == {"accumulated"}


def test_an_adapter_that_is_not_switched_off_is_found(
    trained: Callable[..., api.TrainedRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = loaded(trained())
    monkeypatch.setattr(parity_checks, "without_adapter", nullcontext)
    assert outcomes(proven(session), "failed") == {"switched_off"}


@pytest.mark.parametrize("is_sealed_again", [False, True])
def test_an_adapter_file_that_changed_after_it_was_loaded_is_found(
    is_sealed_again: bool, trained: Callable[..., api.TrainedRun]
) -> None:
    session = loaded(trained())
    folder = session.run.adapter_dir
    tensors = load_file(folder / "adapter_model.safetensors")
    changed = {name: tensor * 1.001 for name, tensor in tensors.items()}
    save_file(changed, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    if is_sealed_again:
        seal(folder, run_id="r", step=0, identity={})
    checks = proven(session)
    assert outcomes(checks, "failed") == {"reloaded"}
    if is_sealed_again:
        assert 0 < checks["reloaded"]["compared"][0]["difference"] < 0.1
    else:
        assert "adapter_model.safetensors is damaged" in checks["reloaded"]["reason"]
        assert checks["merged"]["outcome"] == "not_applicable"


def test_a_merge_that_lost_the_adapter_is_found(
    trained: Callable[..., api.TrainedRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = loaded(trained())
    monkeypatch.setattr(parity_checks, "merged_model", lambda model, plan: model.unload())
    assert outcomes(proven(session), "failed") == {"merged"}


def test_numbers_that_are_none_are_no_agreement() -> None:
    nothing = torch.tensor([float("nan"), 1.0])
    parity = parity_checks.ParityCheck("merged", (parity_checks._same_logits([torch.ones(2)], [nothing], 1.0),))
    assert (parity.outcome, parity.to_json()["compared"][0]["difference"]) == ("failed", None)


def test_a_session_answers_again_after_a_proof(trained: Callable[..., api.TrainedRun]) -> None:
    replies: list[Reply] = []
    requests = [ProveRequest(), EvaluateRequest(1)]
    serve(
        trained().dir,
        io.StringIO("".join(request.to_line() + "\n" for request in requests)),
        replies.append,
        session_worker.operations,
    )
    results = [reply.result for reply in replies if isinstance(reply, ResultReply)]
    assert [set(result) >= keys for result, keys in zip(results, ({"checks"}, {"before", "after"}), strict=True)]
    assert max(reply.done for reply in replies if isinstance(reply, ProgressReply)) > 0
