"""The checks of a deployed model: good files are green, and every way to spoil them turns a check red.

All of it runs through llama.cpp itself. Answers alone are not enough: several of these leave all answers equal.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch

from tests.deploy.proved_run import (
    RUN_SAYS,
    ProvedRun,
    checked,
    prove,
    with_number,
    with_tensors,
    with_values,
)
from tests.deploy.written_gguf import in_torch_order
from tunewright.errors import ExportError
from tunewright.extras.proof.check_deployed import failure, keep
from tunewright.extras.proof.exactness import exactness_of
from tunewright.inspection.machine_info import SpeedProbe, probe_path
from tunewright.reporting import SILENT
from tunewright.rundir import atomic_io
from tunewright.rundir.records import Proof, ProofCheck

pytestmark = pytest.mark.processes
NAMES = ["template", "ids", "end", "answers", "logits", "tuned", "score"]
ENDS_ELSEWHERE = "<|endoftext|>"
SYSTEM = "{{ '<|im_start|>system\nBe brief.<|im_end|>\n' }}"


@pytest.fixture(scope="module")
def proved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProvedRun]:
    """A tiny run and its files, made once."""
    folder = tmp_path_factory.mktemp("proved")
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        (folder / "home").mkdir()
        patch.setenv("TUNEWRIGHT_HOME", str(folder / "home"))
        probe = SpeedProbe(device="cpu", device_name="CPU", memory_bytes=0, flops={"fp32": 2e11, "bf16": 1e11})
        atomic_io.write_text(probe_path(), probe.model_dump_json())
        yield prove(folder)


def of(proof: Proof, name: str) -> ProofCheck:
    return next(check for check in proof.checks if check.name == name)


def outcomes(proof: Proof) -> dict[str, str]:
    return {check.name: check.outcome for check in proof.checks}


def red(proof: Proof) -> set[str]:
    return {check.name for check in proof.failed}


def test_the_run_learned_something_to_be_proved(proved: ProvedRun) -> None:
    rows = proved.reference.rows
    assert [row.answer for row in rows] == list(RUN_SAYS)
    assert all(row.end_id == 2 and row.answer != row.base for row in rows)
    assert set(proved.reference.prompts) == {"system", "plain", "turns"}


def test_a_merged_file_is_green_in_all_checks(proved: ProvedRun, tmp_path: Path) -> None:
    proof = checked(proved, proved.merged, log=tmp_path / "log")
    assert outcomes(proof) == dict.fromkeys(NAMES, "ok"), proof.failed
    assert failure(proof) is None
    assert of(proof, "answers").held == of(proof, "end").held == len(RUN_SAYS)
    assert of(proof, "template").held == of(proof, "ids").held == len(RUN_SAYS) + 3
    assert proof.files.keys() == {"merged.gguf"} and proof.engine.startswith("llama.cpp")


def test_an_adapter_on_its_base_is_green_in_all_checks(proved: ProvedRun, tmp_path: Path) -> None:
    proof = checked(proved, proved.base, proved.adapter, log=tmp_path / "log")
    assert outcomes(proof) == dict.fromkeys(NAMES, "ok"), proof.failed


def test_a_server_that_tells_only_what_openai_tells_is_checked_by_counting_tokens(
    proved: ProvedRun, tmp_path: Path
) -> None:
    proof = checked(proved, proved.merged, log=tmp_path / "log", flavour="openai")
    assert outcomes(proof) == dict.fromkeys(NAMES, "ok"), proof.failed
    assert of(proof, "ids").reason == of(proof, "template").reason == "only the number of tokens is known here"


def test_weights_in_four_bits_are_judged_by_their_score(proved: ProvedRun, tmp_path: Path) -> None:
    proof = checked(proved, proved.merged, log=tmp_path / "log", exactness=exactness_of("q4_0"))
    expected = {**dict.fromkeys(NAMES, "ok"), "answers": "measured", "logits": "measured"}
    assert outcomes(proof) == expected


def test_a_proof_is_kept_in_run_and_folder_without_a_text_of_the_rows(proved: ProvedRun, tmp_path: Path) -> None:
    proof = checked(proved, proved.merged, log=tmp_path / "log")
    folder = tmp_path / "export"
    folder.mkdir()
    keep(proved.run, proof, folder)
    stored = Proof.model_validate_json((folder / "proof.json").read_text())
    assert stored == proof
    record = proved.run.proofs()
    assert record is not None and record.proofs["tiny"] == proof
    text = (folder / "proof.json").read_text()
    assert not any(answer in text for answer in RUN_SAYS)


# Files.


def test_another_chat_template_is_seen_by_its_text(proved: ProvedRun, tmp_path: Path) -> None:
    template = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}{{ 'assistant: ' }}"
    spoiled = with_values(proved.merged, tmp_path / "m.gguf", **{gguf.Keys.Tokenizer.CHAT_TEMPLATE: template})
    proof = checked(proved, spoiled, log=tmp_path / "log")
    assert {"template", "ids"} <= red(proof)
    assert of(proof, "template").prompts == ["system", "plain", "turns"]


def test_a_template_that_brings_a_system_turn_is_seen_by_the_prompts_without_one(
    proved: ProvedRun, tmp_path: Path
) -> None:
    reader = gguf.GGUFReader(proved.merged)
    field = reader.get_field(gguf.Keys.Tokenizer.CHAT_TEMPLATE)
    assert field is not None
    template = SYSTEM + field.contents()
    spoiled = with_values(proved.merged, tmp_path / "m.gguf", **{gguf.Keys.Tokenizer.CHAT_TEMPLATE: template})
    assert {"template", "ids"} <= red(checked(proved, spoiled, log=tmp_path / "log"))


def test_another_pre_tokenizer_is_seen_by_the_tokens_while_the_texts_are_equal(
    proved: ProvedRun, tmp_path: Path
) -> None:
    spoiled = with_values(proved.merged, tmp_path / "m.gguf", **{gguf.Keys.Tokenizer.PRE: "default"})
    proof = checked(proved, spoiled, log=tmp_path / "log")
    assert of(proof, "ids").outcome == "failed" and of(proof, "template").outcome == "ok"


def test_another_end_token_is_seen_though_llama_cpp_ends_all_the_same(proved: ProvedRun, tmp_path: Path) -> None:
    spoiled = with_number(proved.merged, tmp_path / "m.gguf", gguf.Keys.Tokenizer.EOS_ID, 0)
    proof = checked(proved, spoiled, log=tmp_path / "log")
    assert red(proof) == {"end"}
    assert of(proof, "end").held == len(RUN_SAYS) and of(proof, "end").figures == {"missing_end_id": 2.0}


def test_queries_and_keys_without_the_permutation_of_rope_are_seen(proved: ProvedRun, tmp_path: Path) -> None:
    def as_in_torch(name: str, data: np.ndarray) -> np.ndarray:
        return in_torch_order(data) if "attn_q.weight" in name or "attn_k.weight" in name else data

    proof = checked(proved, with_tensors(proved.merged, tmp_path / "m.gguf", as_in_torch), log=tmp_path / "log")
    assert "logits" in red(proof)


def test_a_beginning_token_that_training_never_saw_is_seen(proved: ProvedRun, tmp_path: Path) -> None:
    with_bos = with_number(proved.merged, tmp_path / "b.gguf", gguf.Keys.Tokenizer.BOS_ID, 0)
    spoiled = with_number(with_bos, tmp_path / "m.gguf", gguf.Keys.Tokenizer.ADD_BOS, 1)
    proof = checked(proved, spoiled, log=tmp_path / "log")
    assert "ids" in red(proof) and "template" not in red(proof)


def test_a_merge_on_another_rounding_of_the_base_is_seen(proved: ProvedRun, tmp_path: Path) -> None:
    def rounded(name: str, data: np.ndarray) -> np.ndarray:
        if data.ndim < 2:
            return data
        kind = gguf.GGMLQuantizationType.Q4_0
        return gguf.quants.dequantize(gguf.quants.quantize(data, kind), kind)

    proof = checked(proved, with_tensors(proved.merged, tmp_path / "m.gguf", rounded), log=tmp_path / "log")
    assert "logits" in red(proof)


def test_an_export_of_another_run_is_seen(proved: ProvedRun, tmp_path: Path) -> None:
    proof = checked(proved, proved.base, proved.other_adapter, log=tmp_path / "log")
    assert {"answers", "logits"} <= red(proof)


# Adapters.


def with_scale(scale: float, number: int = 0) -> Mapping[str, Any]:
    return {"lora": [{"id": number, "scale": scale}]}


def test_the_base_alone_is_seen(proved: ProvedRun, tmp_path: Path) -> None:
    proof = checked(proved, proved.base, log=tmp_path / "log")
    assert {"answers", "logits", "tuned", "score"} <= red(proof)


@pytest.mark.parametrize("fields", [with_scale(0.0), with_scale(1.0, number=7)], ids=["at scale 0", "another id"])
def test_an_adapter_that_is_not_applied_is_seen(proved: ProvedRun, tmp_path: Path, fields: Mapping[str, Any]) -> None:
    proof = checked(proved, proved.base, proved.adapter, log=tmp_path / "log", fields=fields)
    assert {"answers", "logits", "tuned", "score"} <= red(proof)
    assert not {"template", "ids", "end"} & red(proof)


def test_an_adapter_that_is_not_applied_is_seen_in_four_bits_too(proved: ProvedRun, tmp_path: Path) -> None:
    files = (proved.base, proved.adapter)
    proof = checked(
        proved, *files, log=tmp_path / "log", fields=with_scale(0.0), exactness=exactness_of("q4_0")
    )  # fmt: skip
    assert red(proof) == {"tuned", "score"}


def test_an_adapter_at_half_its_scale_is_seen_by_its_probabilities(proved: ProvedRun, tmp_path: Path) -> None:
    proof = checked(proved, proved.base, proved.adapter, log=tmp_path / "log", fields=with_scale(0.5))
    assert "logits" in red(proof)


def test_the_alpha_of_a_rank_stabilised_adapter_is_seen_if_it_was_not_converted(
    proved: ProvedRun, tmp_path: Path
) -> None:
    # rsLoRA scales by alpha / sqrt(r); who reads alpha / r is too weak by sqrt(r).
    spoiled = with_number(proved.adapter, tmp_path / "a.gguf", gguf.Keys.Adapter.LORA_ALPHA, 32 / math.sqrt(16))
    proof = checked(proved, proved.base, spoiled, log=tmp_path / "log")
    assert "logits" in red(proof)


def test_an_adapter_on_the_head_that_was_left_out_is_seen(proved: ProvedRun, tmp_path: Path) -> None:
    def without_head(name: str, data: np.ndarray) -> np.ndarray:
        return np.zeros_like(data) if name == "output.weight.lora_b" else data

    names = {tensor.name for tensor in gguf.GGUFReader(proved.adapter).tensors}
    assert "output.weight.lora_b" in names
    spoiled = with_tensors(proved.adapter, tmp_path / "a.gguf", without_head)
    assert "logits" in red(checked(proved, proved.base, spoiled, log=tmp_path / "log"))


# Servers.


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({"max_tokens": 1}, {"end", "answers"}, id="answers cut"),
        pytest.param({"ignore_eos": True}, {"end", "answers"}, id="end tokens ignored"),
        pytest.param({"temperature": 30.0, "min_p": 0, "top_k": 0, "top_p": 1.0, "seed": 1}, {"answers"}, id="sampled"),
        pytest.param({"logit_bias": [[2, -100]]}, {"end", "answers"}, id="end token banned"),
        pytest.param({"grammar": 'root ::= "no"'}, {"answers", "score"}, id="another grammar"),
    ],
)
def test_a_server_that_answers_in_its_own_way_is_seen(
    proved: ProvedRun, tmp_path: Path, fields: Mapping[str, Any], expected: set[str]
) -> None:
    proof = checked(proved, proved.merged, log=tmp_path / "log", fields=fields)
    assert expected <= red(proof), proof.checks
    assert not {"template", "ids"} & red(proof)


def test_a_front_that_brings_a_system_turn_is_seen_by_the_number_of_tokens(proved: ProvedRun, tmp_path: Path) -> None:
    template = (
        SYSTEM
        + "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    )
    template += "{{ '<|im_start|>assistant\n' }}"
    spoiled = with_values(proved.merged, tmp_path / "m.gguf", **{gguf.Keys.Tokenizer.CHAT_TEMPLATE: template})
    proof = checked(proved, spoiled, log=tmp_path / "log", flavour="openai")
    assert {"template", "ids"} <= red(proof)


def test_a_failed_proof_names_its_checks_and_its_rows(proved: ProvedRun, tmp_path: Path) -> None:
    problem = failure(checked(proved, proved.base, log=tmp_path / "log"))
    assert problem is not None and problem.code == "E662" and problem.entry.exit_code == 8
    assert "answers" in problem.message() and problem.fixes()


def test_an_endpoint_that_is_not_there_says_so(proved: ProvedRun, tmp_path: Path) -> None:
    from tunewright.extras.proof.check_deployed import Deployed, compare
    from tunewright.extras.proof.endpoint import Endpoint

    with pytest.raises(ExportError) as refused:
        compare(proved.run, proved.reference, Endpoint("http://127.0.0.1:9"), Deployed("far"), reporter=SILENT)
    assert refused.value.problems[0].code == "E660"
