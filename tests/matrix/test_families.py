"""Presets on real modules: every family of the zoo, each level, against PEFT's own tables and counts.

Tolerance: a reloaded adapter gives the same logits to the bit; merged weights are rounded, so their logits may differ
by a few units of the last place of numbers near 1 (1e-5 leaves room for ten such sums).
"""

import re
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import IA3Config, LNTuningConfig, LoraConfig, PeftModel, get_peft_model
from peft.utils import constants as peft_tables
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedModel,
)

from tests.matrix.families import CLASSES, EXPERTS, MAMBAS, RELABELLED, ZOO, Tiny, relabelled, saved
from tests.real_model import model_home
from tunewright.config.preset_table import PRESETS, Level
from tunewright.config.tasks import TASKS, Task
from tunewright.config.upstream import model_tasks
from tunewright.inspection.architectures import FAMILIES, ia3_modules, matches, names_of, norm_modules, roles_of
from tunewright.inspection.model_info import ModelInfo, read_model
from tunewright.planning.check_config import matching_groups
from tunewright.planning.parameter_count import head_parameters
from tunewright.planning.preset_targets import PresetRow, rows_of

__all__ = ["model_home"]
MERGED = 1e-5
RANK = 4
Read = Callable[[str], ModelInfo]
PEFT_LORA = peft_tables.TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
PEFT_IA3 = peft_tables.TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING
PEFT_FEEDFORWARD = peft_tables.TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING
PEFT_NORMS = peft_tables.TRANSFORMERS_MODELS_TO_LNTUNING_TARGET_MODULES_MAPPING
LEVELS: tuple[Level, ...] = ("simple", "medium", "complex")


@pytest.fixture(autouse=True)
def _quiet() -> None:
    warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")


@pytest.fixture(scope="session")
def read(tmp_path_factory: pytest.TempPathFactory) -> Read:
    """Facts of an animal, read from the headers of its folder; written once."""
    infos: dict[str, ModelInfo] = {}

    def of(name: str) -> ModelInfo:
        if name not in infos:
            infos[name] = read_model(saved(_tiny(name).build(), tmp_path_factory.mktemp(name)), name)
        return infos[name]

    return of


def _tiny(name: str) -> Tiny:
    return {**ZOO, **MAMBAS}[name]


def _row(model: ModelInfo, level: Level) -> PresetRow:
    return next(row for row in rows_of(model) if row.preset.level == level)


def lora(row: PresetRow, task_type: str | None) -> LoraConfig:
    return LoraConfig(
        r=RANK, lora_alpha=2 * RANK, target_modules=row.target_modules, target_parameters=row.target_parameters or None,
        task_type=task_type,
    )  # fmt: skip


def trained(model: PeftModel) -> int:
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def inputs(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    ids = torch.randint(5, 500, (2, 12), generator=torch.Generator().manual_seed(1))
    return {"input_ids": ids, **({"decoder_input_ids": ids} if model.config.is_encoder_decoder else {})}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", ZOO)
def test_the_planned_layers_exist_take_an_adapter_and_count_as_promised(name: str, level: Level, read: Read) -> None:
    facts, model = read(name), ZOO[name].build()
    row = _row(facts, level)
    paths = {path for path, _module in model.named_modules()}
    assert row.target_modules
    for group in matching_groups(facts, row.target_modules):
        assert set(group.paths) <= paths
    # Without a task type PEFT adds no head of its own to what is trained.
    adapted = get_peft_model(model, lora(row, None)).train()
    estimated = (row.trainable_parameters or 0) * RANK // PRESETS[level].r
    assert trained(adapted) == estimated
    if level == "complex":
        adapted(**inputs(model)).logits.float().square().mean().backward()
        unreached = [path for path, p in adapted.named_parameters() if p.requires_grad and p.grad is None]
        assert not unreached


@pytest.mark.parametrize("name", [name for name, tiny in ZOO.items() if tiny.model_type in PEFT_LORA])
def test_query_and_value_are_those_of_peft(name: str, read: Read) -> None:
    facts = read(name)
    roles, is_known = roles_of(facts)
    ours = {path for group in matching_groups(facts, names_of(roles, ("q", "v"))) for path in group.paths}
    theirs = {path for group in matching_groups(facts, PEFT_LORA[facts.model_type]) for path in group.paths}
    assert is_known
    assert ours <= theirs
    beyond = {path.rpartition(".")[2] for path in theirs - ours}
    assert beyond <= {"fc1", "fc2", "key", "output"}, beyond  # PEFT takes phi's MLP and all of rwkv too


def test_every_family_of_pefts_tables_has_a_row() -> None:
    assert set(PEFT_LORA) <= set(FAMILIES)


@pytest.mark.parametrize("family", sorted(PEFT_LORA))
def test_names_of_families_that_cannot_be_built_are_those_of_peft(family: str) -> None:
    ours, theirs = names_of(FAMILIES[family].roles, ("q", "v")), PEFT_LORA[family]
    known = (
        (lambda name: re.fullmatch(theirs, f"language_model.x.{name}"))
        if isinstance(theirs, str)
        else theirs.__contains__
    )
    assert [name for name in ours if known(name)]
    assert all(known(name) for name in ours)


@pytest.mark.parametrize("name", [name for name, tiny in ZOO.items() if tiny.model_type in PEFT_IA3])
def test_ia3_scales_the_layers_that_peft_scales(name: str, read: Read) -> None:
    facts, model = read(name), ZOO[name].build()
    targets, feedforward = ia3_modules(facts)
    adapted = get_peft_model(model, IA3Config(target_modules=targets, feedforward_modules=feedforward))
    ours = {
        path: m.is_feedforward
        for path, m in adapted.named_modules()
        if type(m).__name__ == "Linear" and hasattr(m, "ia3_l")
    }
    theirs_config = IA3Config(
        target_modules=PEFT_IA3[facts.model_type], feedforward_modules=PEFT_FEEDFORWARD[facts.model_type]
    )
    stock = get_peft_model(ZOO[name].build(), theirs_config)
    theirs = {
        path: m.is_feedforward
        for path, m in stock.named_modules()
        if type(m).__name__ == "Linear" and hasattr(m, "ia3_l")
    }
    assert ours == theirs


@pytest.mark.parametrize("name", [name for name, tiny in ZOO.items() if tiny.model_type not in PEFT_IA3])
def test_ia3_takes_the_planned_modules_of_other_families(name: str, read: Read) -> None:
    targets, feedforward = ia3_modules(read(name))
    adapted = get_peft_model(ZOO[name].build(), IA3Config(target_modules=targets, feedforward_modules=feedforward))
    assert trained(adapted) > 0


@pytest.mark.parametrize("name", [name for name in ZOO if name != "olmo"])
def test_the_norm_layers_are_all_found_and_counted(name: str, read: Read) -> None:
    facts = read(name)
    norms = norm_modules(facts)
    theirs = PEFT_NORMS.get(facts.model_type, [])
    present = {path.rpartition(".")[2] for path, _module in ZOO[name].build().named_modules()}
    assert {name for name in theirs if name in present} <= set(norms)
    adapted = get_peft_model(ZOO[name].build(), LNTuningConfig(target_modules=norms))
    assert trained(adapted) == facts.num_norm_parameters


def test_norm_layers_without_numbers_are_not_listed(read: Read) -> None:
    assert norm_modules(read("olmo")) == []


LABELS = {"seq_cls": AutoModelForSequenceClassification, "token_cls": AutoModelForTokenClassification}
HEADED = [
    (name, task)
    for name, tiny in ZOO.items()
    for task in LABELS
    if tiny.task != "causal_lm" and task in model_tasks()[tiny.model_type]
]


@pytest.mark.parametrize(("name", "task"), HEADED)
def test_no_part_of_a_fresh_head_stays_frozen(name: str, task: Task, tmp_path: Path) -> None:
    bare = AutoModel.from_config(ZOO[name].config())
    facts = read_model(saved(bare, tmp_path / "bare"), name)
    model, loading = LABELS[task].from_pretrained(tmp_path / "bare", output_loading_info=True)
    config = LoraConfig(
        r=RANK, target_modules=_row(facts, "simple").target_modules, task_type=TASKS[task].task_type,
        modules_to_save=list(facts.fresh_heads.get(task, ())) or None,
    )  # fmt: skip
    adapted = get_peft_model(model, config)
    if task == "seq_cls" or facts.kind != "encoder_decoder":  # for tokens transformers keeps T5's encoder alone
        adapter = (_row(facts, "simple").trainable_parameters or 0) * RANK // PRESETS["simple"].r
        head = head_parameters({"modules_to_save": config.modules_to_save}, facts, task, model.config.num_labels)
        assert trained(adapted) == adapter + head
    learns = {path for path, parameter in adapted.named_parameters() if parameter.requires_grad}
    plain = {path.replace(".modules_to_save.default", "").removeprefix("base_model.model.") for path in learns}
    assert loading["missing_keys"]
    assert set(loading["missing_keys"]) <= plain


@pytest.mark.parametrize("name", EXPERTS)
def test_experts_train_reload_in_bare_peft_and_merge(name: str, read: Read, tmp_path: Path) -> None:
    facts, model = read(name), EXPERTS[name].build()
    adapted = get_peft_model(model, lora(_row(facts, "complex"), "CAUSAL_LM"))
    optimizer = torch.optim.SGD([p for p in adapted.parameters() if p.requires_grad], lr=1.0)
    batch = inputs(model)
    losses = []
    for _step in range(3):
        loss = adapted(**batch, labels=batch["input_ids"]).loss
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert losses[-1] < losses[0]
    adapted.eval().save_pretrained(tmp_path / "adapter")
    base = AutoModelForCausalLM.from_pretrained(facts.folder)
    again = PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    with torch.no_grad():
        expected = adapted(**batch).logits
        assert torch.equal(again(**batch).logits, expected)
        again.merge_and_unload().save_pretrained(tmp_path / "merged")
        merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged").eval()
        assert (merged(**batch).logits - expected).abs().max() < MERGED


@pytest.mark.parametrize("name", MAMBAS)
def test_mamba_has_no_preset_and_takes_its_input_projection(name: str, read: Read) -> None:
    facts, model = read(name), MAMBAS[name].build()
    assert roles_of(facts) == ({}, True)
    with pytest.raises(ValueError, match="incompatible"):
        get_peft_model(MAMBAS[name].build(), LoraConfig(r=RANK, target_modules=["out_proj"], task_type="CAUSAL_LM"))
    adapted = get_peft_model(model, LoraConfig(r=RANK, target_modules=["in_proj"], task_type="CAUSAL_LM"))
    adapted(**inputs(model)).logits.mean().backward()
    assert all(p.grad is not None for p in adapted.parameters() if p.requires_grad)


def test_peft_hands_mlp_names_of_these_families_to_the_experts(read: Read) -> None:
    """When this fails, PEFT has changed, and the rows marked `is_rewritten` can have MLP names again."""
    for name, tiny in EXPERTS.items():
        if not FAMILIES[tiny.model_type].is_rewritten:
            continue
        config = LoraConfig(r=RANK, target_modules=["q_a_proj", "q_proj", "gate_proj", "up_proj", "w1", "w3"])
        get_peft_model(tiny.build(), config)
        assert config.target_parameters, name


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_lora_on_tied_embeddings_still_merges_wrongly(name: str) -> None:
    """When this fails, PEFT has changed, and `_check_tied` can let target_modules through."""
    config = ZOO[name].config()
    config.tie_word_embeddings = True
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    targets = ["c_attn" if name == "gpt2" else "q_proj", "lm_head"]
    adapted = get_peft_model(model, LoraConfig(r=RANK, target_modules=targets, init_lora_weights=False)).eval()
    batch = inputs(model)
    with torch.no_grad():
        expected = adapted(**batch).logits
        assert (adapted.merge_and_unload()(**batch).logits - expected).abs().max() > MERGED


@pytest.mark.parametrize("name", ["llama", "gpt2", "opt", "bloom"])
def test_a_tied_output_is_saved_and_merged_if_told_to_stay_tied(name: str, tmp_path: Path) -> None:
    config = ZOO[name].config()
    config.tie_word_embeddings = True
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    model.save_pretrained(tmp_path / "base")
    targets = names_of(FAMILIES[name].roles, ("q",))
    lora_config = LoraConfig(
        r=RANK, target_modules=targets, modules_to_save=["lm_head"], ensure_weight_tying=True, task_type="CAUSAL_LM"
    )
    adapted, batch = get_peft_model(model, lora_config), inputs(model)
    adapted(**batch, labels=batch["input_ids"]).loss.backward()
    torch.optim.SGD([p for p in adapted.parameters() if p.requires_grad], lr=1.0).step()
    embedding = adapted.get_base_model().get_input_embeddings().weight
    assert embedding.data_ptr() == adapted.get_base_model().get_output_embeddings().weight.data_ptr()
    adapted.eval().save_pretrained(tmp_path / "adapter")
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    with torch.no_grad():
        expected = adapted(**batch).logits
        again = PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
        assert torch.equal(again(**batch).logits, expected)
        assert (again.merge_and_unload()(**batch).logits - expected).abs().max() < MERGED


@pytest.mark.parametrize("name", ZOO)
def test_kind_and_sizes_are_those_of_the_loaded_config(name: str, read: Read) -> None:
    facts, tiny = read(name), ZOO[name]
    config = tiny.config()
    assert tiny.task in facts.tasks
    assert facts.is_encoder_decoder == config.is_encoder_decoder
    if tiny.model_type != "encoder-decoder":
        assert facts.tie_word_embeddings == config.tie_word_embeddings
        assert facts.num_layers == config.num_hidden_layers == 2
        assert facts.hidden_size == config.hidden_size == 64
        assert facts.vocab_size == 512
    assert facts.num_decoder_layers == (
        0 if not facts.is_encoder_decoder else 2 if tiny.model_type == "encoder-decoder" else 3
    )


# rwkv and falcon_h1 keep states, the first GPT keeps nothing, deepseek one compressed vector a token.
WITHOUT_HEADS = ("rwkv", "falcon_h1", "openai-gpt", "deepseek_v2", "deepseek_v3", "deepseek_v3-full")


@pytest.mark.parametrize("name", [n for n, t in ZOO.items() if t.task == "causal_lm" and n not in WITHOUT_HEADS])
def test_heads_are_those_of_the_cache(name: str, read: Read) -> None:
    """What prefix tuning writes into: layers, key-value heads and head width as the model itself fills them."""
    facts, model = read(name), ZOO[name].build()
    with torch.no_grad():
        cache = model(**inputs(model), use_cache=True).past_key_values
    keys = cache.layers[0].keys
    assert (len(cache.layers), keys.shape[1], keys.shape[-1]) == (
        facts.num_layers, facts.num_key_value_heads, facts.head_dim,
    )  # fmt: skip


@pytest.fixture(scope="session")
def smollm2(model_home: Path) -> PreTrainedModel:
    folder = next((model_home / "models").glob("smollm2-*"))
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model.eval()


@pytest.mark.slow
@pytest.mark.parametrize("family", RELABELLED)
def test_presets_of_a_family_work_on_a_model_that_gives_sense(
    family: str, smollm2: PreTrainedModel, tmp_path: Path
) -> None:
    """SmolLM2 under another family's name: the same logits, that family's layers, and a merge that keeps the answers."""
    model = relabelled(smollm2, family)
    batch = {"input_ids": torch.tensor([[1, 4093, 198, 19556, 905]])}
    with torch.no_grad():
        expected = smollm2(**batch).logits
        assert torch.equal(model(**batch).logits, expected)
    facts = read_model(saved(model, tmp_path / family), family)
    assert facts.model_type == family
    for row in rows_of(facts):
        adapted = get_peft_model(model, lora(row, TASKS["causal_lm"].task_type))
        assert trained(adapted) == (row.trainable_parameters or 0) * RANK // row.preset.r
        for path, parameter in adapted.named_parameters():
            if "lora_B" in path:
                torch.nn.init.normal_(parameter, std=0.01, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            tuned = adapted(**batch).logits
            assert not torch.equal(tuned, expected)
            with adapted.disable_adapter():
                assert torch.equal(adapted(**batch).logits, expected)
            model = adapted.merge_and_unload()
            assert (model(**batch).logits - tuned).abs().max() < 1e-3  # logits near 20, weights rounded in 30 layers
        model = relabelled(smollm2, family)


def test_names_match_as_peft_matches_them() -> None:
    assert matches("output.dense", "bert.encoder.layer.0.attention.output.dense")
    assert not matches("attention.output.dense", "bert.encoder.layer.0.crossattention.output.dense")
    assert matches("q_proj", "q_proj")
    assert not matches("query_proj", "x.pos_query_proj")


def test_the_classes_of_the_zoo_are_those_of_the_tasks() -> None:
    assert {task: auto.__name__ for task, auto in CLASSES.items()} == {task: TASKS[task].auto_class for task in CLASSES}
