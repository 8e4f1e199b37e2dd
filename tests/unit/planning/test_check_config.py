"""What is refused before anything starts: layers, tasks, tied embeddings, experts; and PEFT's rules of matching."""

from collections.abc import Callable
from typing import Any

import pytest

from tunewright.config.resolved_config import ResolvedLaunchConfig
from tunewright.config.run_config import RunConfig
from tunewright.errors import Problem
from tunewright.inspection.builtin_models import BUNDLED
from tunewright.inspection.model_info import ExpertGroup, LinearGroup, ModelInfo, NormGroup
from tunewright.planning.check_config import BUILTIN, check, check_rows, lora_parameters, matching_groups
from tunewright.planning.run_plan import InspectedFacts

from .conftest import smollm2

Build = Callable[..., InspectedFacts]
TIED: dict[str, Any] = {
    "tie_word_embeddings": True,
    "vocabulary": (
        LinearGroup(name="embed_tokens", in_features=576, out_features=49152, count=1, paths=("model.embed_tokens",)),
    ),
}


def layers(pattern: str, *names: str) -> tuple[LinearGroup, ...]:
    """Square layers of two blocks; `pattern` holds {i} and {n}."""
    return tuple(
        LinearGroup(
            name=name.rpartition(".")[2], in_features=64, out_features=64, count=2,
            paths=tuple(pattern.format(i=i, n=name) for i in range(2)),
        )
        for name in names
    )  # fmt: skip


QWEN1 = smollm2(
    model_type="qwen", architecture="QWenLMHeadModel",
    linear=layers("transformer.h.{i}.{n}", "attn.c_attn", "attn.c_proj", "mlp.w1", "mlp.w2", "mlp.c_proj"),
)  # fmt: skip
BERT = smollm2(
    model_type="bert", architecture="BertModel", kind="encoder", tasks=("seq_cls", "token_cls"),
    linear=layers("bert.encoder.layer.{i}.{n}", "attention.self.query", "attention.output.dense", "output.dense"),
)  # fmt: skip
EXPERTS = smollm2(
    model_type="qwen3_moe", architecture="Qwen3MoeForCausalLM",
    linear=layers("model.layers.{i}.self_attn.{n}", "q_proj", "k_proj", "v_proj", "o_proj"),
    experts=(
        ExpertGroup(name="experts.gate_up_proj", num_experts=4, in_features=64, out_features=96, count=2),
        ExpertGroup(name="experts.down_proj", num_experts=4, in_features=48, out_features=64, count=2),
    ),
)  # fmt: skip
MAMBA = smollm2(
    model_type="mamba", architecture="MambaForCausalLM",
    linear=layers("backbone.layers.{i}.mixer.{n}", "in_proj", "x_proj", "out_proj"),
)  # fmt: skip


def ask(task: str = "causal_lm", method: str = "lora", **peft: object) -> RunConfig:
    return RunConfig.model_validate({"model": "m", "data": "rows.jsonl", "task": task, "method": method, "peft": peft})


def only(problems: list[Problem]) -> Problem:
    (problem,) = problems
    return problem


@pytest.mark.parametrize(
    ("targets", "paths"),
    [
        (["query"], 2),
        (["attention.output.dense"], 2),
        (["output.dense"], 4),
        (["bert.encoder.layer.1.attention.self.query"], 1),
        (r".*\.1\..*dense", 2),
        ("dense", 0),
        ("ALL-linear", 6),
        (["ense"], 0),
    ],
)
def test_targets_reach_the_paths_that_peft_reaches(targets: str | list[str], paths: int) -> None:
    assert sum(group.count for group in matching_groups(BERT, targets)) == paths


def test_a_part_of_a_group_counts_only_itself() -> None:
    assert lora_parameters(BERT, ["bert.encoder.layer.1.attention.self.query"], [], 4) == 4 * (64 + 64)


def test_experts_count_each_for_itself() -> None:
    assert lora_parameters(EXPERTS, ["q_proj"], ["experts.down_proj"], 4) == 4 * (2 * 128 + 2 * 4 * (48 + 64))


def test_the_output_may_be_a_target_and_all_linear_leaves_it_out() -> None:
    head = LinearGroup(name="lm_head", in_features=576, out_features=49152, count=1, paths=("lm_head",))
    model = smollm2(vocabulary=(head,))
    assert matching_groups(model, ["lm_head"]) == [head]
    assert head not in matching_groups(model, "all-linear")


def test_the_lessons_qwen_names_work_on_the_first_qwen(facts: Build) -> None:
    assert check(ask(target_modules=["c_attn", "c_proj", "w1", "w2"]), facts(model=QWEN1)) == []


def test_the_lessons_qwen_names_on_todays_qwen_are_answered_with_the_right_ones(facts: Build) -> None:
    model = smollm2(model_type="qwen2", architecture="Qwen2ForCausalLM")
    problem = only(check(ask(target_modules=["c_attn", "c_proj", "w1", "w2"]), facts(model=model)))
    assert problem.code == "E301"
    assert problem.fixes()[0].endswith(
        """--set peft.target_modules='["q_proj","k_proj","v_proj","o_proj","gate_proj","up_proj","down_proj"]'"""
    )


def test_a_typing_error_in_a_name_is_answered_with_the_name(facts: Build) -> None:
    problem = only(check(ask(target_modules=["q_porj", "v_proj"]), facts()))
    assert problem.code == "E301"
    assert 'did you mean "q_proj"?' in problem.fixes()


def test_a_pattern_that_reaches_nothing_is_answered_with_an_example(facts: Build) -> None:
    problem = only(check(ask(target_modules="q_proj"), facts()))
    assert problem.code == "E301"
    assert """--set peft.target_modules='["q_proj","v_proj"]'""" in problem.fixes()


def test_a_broken_pattern_is_one_problem(facts: Build) -> None:
    assert only(check(ask(r=4096, target_modules="q_(proj"), facts())).code == "E103"


@pytest.mark.parametrize(
    ("model", "task", "other"), [(BERT, "causal_lm", "seq_cls"), (smollm2(), "seq2seq", "causal_lm")]
)
def test_a_task_the_model_cannot_do_is_answered_with_those_it_can(
    facts: Build, model: ModelInfo, task: str, other: str
) -> None:
    problem = only([p for p in check(ask(task), facts(model=model)) if p.code == "E306"])
    assert f"--task {other}" in problem.fixes()
    assert BUILTIN[task] in problem.fixes()[1]  # type: ignore[index]


def test_the_models_that_are_offered_exist() -> None:
    assert set(BUILTIN.values()) <= set(BUNDLED)


@pytest.mark.parametrize("targets", [["q_proj", "gate_proj", "up_proj"], ["w1", "w2"], "all-linear", r".*proj"])
def test_names_that_peft_would_hand_to_the_experts_are_refused_with_what_works(facts: Build, targets: object) -> None:
    problem = only(check(ask(target_modules=targets), facts(model=EXPERTS)))
    assert problem.code == "E109"
    assert """peft.target_parameters='["experts.gate_up_proj","experts.down_proj"]'""" in problem.fixes()[0]


def test_other_methods_than_lora_keep_all_linear_on_experts(facts: Build) -> None:
    assert check(ask(method="loha", target_modules="all-linear"), facts(model=EXPERTS)) == []


@pytest.mark.parametrize(
    ("peft", "code"),
    [
        ({}, None),
        ({"lora_dropout": 0.1}, "E109"),
        ({"use_dora": True}, "E109"),
        ({"method": "adalora"}, "E109"),
        ({"target_parameters": ["experts.nonsense"]}, "E301"),
    ],
)
def test_what_peft_cannot_do_beside_experts_is_refused(facts: Build, peft: dict[str, Any], code: str | None) -> None:
    run = ask(**{"target_modules": ["q_proj"], "target_parameters": ["experts.down_proj"], **peft})
    assert [problem.code for problem in check(run, facts(model=EXPERTS))] == ([code] if code else [])


@pytest.mark.parametrize("peft", [{}, {"target_modules": ["in_proj", "out_proj"]}, {"target_modules": "all-linear"}])
def test_mamba_layers_that_peft_rejects_are_refused_with_those_it_takes(facts: Build, peft: dict[str, object]) -> None:
    problem = only(check(ask(**peft), facts(model=MAMBA)))
    assert problem.code == "E109"
    assert problem.fixes() == ["""--set peft.target_modules='["in_proj","x_proj"]'"""]
    assert check(ask(target_modules=["in_proj", "x_proj"]), facts(model=MAMBA)) == []


@pytest.mark.parametrize(
    ("peft", "fix"),
    [
        ({"target_modules": ["q_proj", "lm_head"]}, "ensure_weight_tying=true"),
        ({"target_modules": r".*(q_proj|embed_tokens)"}, "ensure_weight_tying=true"),
        ({"modules_to_save": ["lm_head"]}, "ensure_weight_tying=true"),
        ({"modules_to_save": ["embed_tokens"]}, "ensure_weight_tying=true"),
        ({"method": "ia3", "modules_to_save": ["lm_head"]}, "--method lora"),
    ],
)
def test_one_matrix_at_both_ends_must_be_trained_as_one(facts: Build, peft: dict[str, Any], fix: str) -> None:
    problem = only(check(ask(**peft), facts(model=smollm2(**TIED))))
    assert problem.code == "E109"
    assert fix in problem.fixes()[0]


@pytest.mark.parametrize(
    ("model", "run"),
    [
        (smollm2(**TIED), ask(modules_to_save=["lm_head"], ensure_weight_tying=True)),
        (smollm2(**TIED), ask(modules_to_save=["lm_head"], ensure_weight_tying=False)),
        (smollm2(**TIED), ask(target_modules="all-linear")),
        (smollm2(**TIED, tasks=("causal_lm", "seq_cls")), ask("seq_cls", modules_to_save=["embed_tokens"])),
        (smollm2(vocabulary=TIED["vocabulary"]), ask(modules_to_save=["embed_tokens"])),
    ],
)
def test_tied_embeddings_that_are_left_alone_or_kept_tied_are_no_problem(
    facts: Build, model: ModelInfo, run: RunConfig
) -> None:
    assert check(run, facts(model=model)) == []


def test_an_embedding_that_peft_would_not_tie_must_be_named_by_its_output(facts: Build) -> None:
    wte = LinearGroup(name="wte", in_features=64, out_features=512, count=1, paths=("transformer.wte",))
    model = smollm2(tie_word_embeddings=True, vocabulary=(wte,))
    problem = only(check(ask(modules_to_save=["wte"], ensure_weight_tying=True), facts(model=model)))
    assert """peft.modules_to_save='["lm_head"]'""" in problem.fixes()[0]


def test_an_encoder_decoder_cannot_train_its_tied_embeddings(facts: Build) -> None:
    model = smollm2(**TIED, kind="encoder_decoder", tasks=("seq2seq",))
    problem = only(check(ask("seq2seq", modules_to_save=["lm_head"], ensure_weight_tying=True), facts(model=model)))
    assert problem.code == "E109"


def test_norm_layers_are_checked_by_their_own_names(facts: Build) -> None:
    norm = NormGroup(name="input_layernorm", num_parameters=576, paths=("model.layers.0.input_layernorm",))
    model = smollm2(norms=(norm,))
    assert check(ask(method="ln_tuning", target_modules=["input_layernorm"]), facts(model=model)) == []
    assert only(check(ask(method="ln_tuning", target_modules=["q_proj"]), facts(model=model))).code == "E301"
    assert only(check(ask(method="ln_tuning"), facts())).code == "E109"


def test_feedforward_modules_of_ia3_are_targets(facts: Build) -> None:
    """PEFT says so when the adapter is made, which is after the run has begun."""
    for targets in ("auto", ["k_proj", "v_proj"]):
        run = ask(method="ia3", target_modules=targets, feedforward_modules=["abc"])
        problem = only(check(run, facts()))
        assert problem.code == "E103"
        assert "feedforward_modules must be among the target_modules" in problem.message()
    assert (
        check(ask(method="ia3", target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"]), facts())
        == []
    )


def test_a_rank_above_the_layer_is_refused_and_veras_shared_rank_is_not(facts: Build) -> None:
    assert only(check(ask(r=256, target_modules=["k_proj"]), facts())).code == "E312"
    assert check(ask(method="vera", r=256, target_modules=["k_proj"]), facts()) == []
    assert check(ask(method="prompt_tuning"), facts()) == []


@pytest.mark.parametrize(
    ("nodes", "processes", "most", "fix"),
    [
        (1, 4, 3, "--processes 3"), (2, 2, 2, "--processes 1"), (2, 4, 6, "--processes 3"),
        (4, 1, 2, "--nodes 2 --processes 1"), (4, 1, 3, "--nodes 3 --processes 1"),
    ],
)  # fmt: skip
def test_fewer_processes_are_counted_on_each_machine(
    facts: Build, nodes: int, processes: int, most: int, fix: str
) -> None:
    launch = {"nodes": nodes, "processes": processes, "main": "a:1"}
    config = {"model": "smollm2", "data": "rows.jsonl", "task": "causal_lm", "launch": {**launch, "parts": most}}
    (of_parts,) = check(RunConfig.model_validate(config), facts())
    (of_rows,) = check_rows(ResolvedLaunchConfig.model_validate(launch), most)
    assert (of_parts.fixes(), of_rows.fixes()) == ([fix], [fix])
