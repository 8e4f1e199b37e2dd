"""What cannot work, found before anything starts: all problems at once."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches

from tunewright.config.methods import (
    ALL_LINEAR,
    IA3,
    LnTuning,
    Lora,
    PeftSection,
    Targeted,
    Vera,
    is_full,
    virtual_tokens,
)
from tunewright.config.resolved_config import ResolvedLaunchConfig
from tunewright.config.run_config import RunConfig
from tunewright.config.section import AUTO
from tunewright.config.tasks import Task
from tunewright.errors import Problem
from tunewright.i18n import N_, Phrase
from tunewright.inspection.architectures import (
    EXPERT_NAMES,
    FAMILIES,
    MAMBA_INPUTS,
    UNKNOWN,
    expert_parameters,
    ia3_modules,
    matches,
    names_of,
    roles_of,
    same_roles,
)
from tunewright.inspection.model_info import LinearGroup, ModelInfo
from tunewright.planning.run_plan import InspectedFacts

Targets = str | Sequence[str]
BUILTIN: Mapping[Task, str] = {
    "causal_lm": "smollm2",
    "seq2seq": "bert2bert",
    "seq_cls": "minilm",
    "token_cls": "minilm",
}
# The names under which PEFT looks for tied layers (EMBEDDING_LAYER_NAMES in peft/utils/constants.py).
TIED_NAMES = ("embed_tokens", "lm_head")
TIED = N_("tied embeddings")
KEEP_TIED = """--set peft.modules_to_save='["lm_head"]' --set peft.ensure_weight_tying=true"""
# What needs a layer's inputs, and how it is switched off.
WITHOUT_INPUTS = {"lora_dropout": "0", "use_dora": "false", "lora_bias": "false"}


def check(run: RunConfig, facts: InspectedFacts) -> list[Problem]:
    """Sense problems of a run on these facts; an empty list means that it can be planned."""
    model, problems = facts.model, []
    if run.task != AUTO and run.task not in model.tasks:
        problems.append(cannot_do(model, run.task))
    wrong = _check_targets(run.peft, model, run.preset) if isinstance(run.peft, Targeted) else []
    problems += wrong or _check_tied(run, model) + _check_experts(run, model) + _check_rank(run.peft, model)
    problems += [] if wrong else _check_feedforward(run.peft, model)
    problems += check_length(run, model)
    if run.model.precision == "fp16" and facts.is_on_cpu:
        reason = N_("fp16 needs a loss scaler, which works on a GPU only")
        problems.append(conflict("model.precision=fp16", "CPU", reason, "--set model.precision=auto"))
    return problems + _check_device_index(run, facts) + _check_processes(run, facts)


def _check_processes(run: RunConfig, facts: InspectedFacts) -> list[Problem]:
    """E109 for more processes than there are GPUs, or parts."""
    count, parts, nodes = run.launch.processes, run.launch.parts, run.launch.nodes
    if nodes != AUTO and nodes > 1 and not run.launch.main:
        reason = N_("the machines meet at an address of the first one")
        return [conflict(f"launch.nodes={nodes}", "launch.main", reason, "--main HOST:29500")]
    if nodes != AUTO and run.launch.node_rank >= nodes:
        reason = N_("machines are counted from 0")
        return [conflict(f"launch.node_rank={run.launch.node_rank}", f"launch.nodes={nodes}", reason, "--node-rank 0")]
    if run.launch.strategy not in (AUTO, "ddp") and count == 1:
        reason = N_("the base is shared out among the processes of a machine, and this is the only one")
        return [
            conflict(
                f"launch.strategy={run.launch.strategy}", "launch.processes=1", reason, "--set launch.strategy=ddp"
            )
        ]
    if count == AUTO or nodes == AUTO or count * nodes == 1:
        return []
    there = facts.machine.num_devices
    if not facts.is_on_cpu and run.run.device_index + count > there:
        reason = Phrase(N_("{there} GPUs are visible here"), there=there)
        return [
            conflict(f"launch.processes={count}", "GPUs", reason, f"--device-index 0 --processes {min(count, there)}")
        ]
    if parts != AUTO and count * nodes > parts:
        reason = N_("a step was dealt into fewer parts when the run started, so that its result stays the same")
        return [_too_many_processes(count, nodes, parts, f"launch.parts={parts}", reason)]
    return []


def check_rows(launch: ResolvedLaunchConfig, effective_batch: int) -> list[Problem]:
    """E109 for more processes than a step has rows."""
    if launch.world <= effective_batch:
        return []
    reason = N_("a step has fewer rows than that, and a process without rows has nothing to do")
    second = f"effective batch {effective_batch}"
    return [_too_many_processes(launch.processes, launch.nodes, effective_batch, second, reason)]


def _too_many_processes(processes: int, nodes: int, most: int, second: str, reason: str) -> Problem:
    """E109 for more processes on all machines than `most`; fewer on each, or fewer machines."""
    first = f"launch.processes={processes}" + (f", launch.nodes={nodes}" if nodes > 1 else "")
    fix = f"--processes {most // nodes}" if nodes <= most else f"--nodes {most} --processes 1"
    return conflict(first, second, reason, fix)


def _check_device_index(run: RunConfig, facts: InspectedFacts) -> list[Problem]:
    """E109 for the number of a GPU that is not there: the probe, which saw only that one, found none."""
    index, probe = run.run.device_index, facts.machine.probe
    if index and probe and (facts.is_on_cpu or facts.is_on_mps):
        reason = N_("torch sees no GPU of this number")
        return [conflict(f"run.device_index={index}", probe.device_name, reason, "--set run.device_index=0")]
    return []


def check_length(run: RunConfig, model: ModelInfo) -> list[Problem]:
    """E109 for a length that was asked for and that the model does not have."""
    limit = positions(run, model)
    if run.data.max_length == AUTO or run.data.max_length <= limit:
        return []
    reason = Phrase(N_("the model has {limit} positions"), limit=limit)
    return [conflict("data.max_length", str(run.data.max_length), reason, f"--set data.max_length={limit}")]


def positions(run: RunConfig, model: ModelInfo) -> int:
    """Positions that are left for a row."""
    return model.max_position_embeddings - virtual_tokens(run.peft)


def conflict(first: str, second: str, reason: str, fix: str) -> Problem:
    """E109: two settings that do not go together."""
    return Problem("E109", values={"first": first, "second": second, "reason": reason, "fix": fix})


def cannot_do(model: ModelInfo, task: Task) -> Problem:
    """E306: the model's tasks, and a built-in model for the one asked for."""
    values = {
        "architecture": model.architecture,
        "task": task,
        "builtin": BUILTIN[task],
        "tasks": ", ".join(model.tasks) or N_("none"),
    }
    return Problem("E306", values=values | ({"other": model.tasks[0]} if model.tasks else {}))


def lacks_output(task: Task, model: ModelInfo) -> list[Problem]:
    """E316 for a decoder that should generate text, says that its output is a matrix of its own, and has none in its file."""
    is_writing = task == "causal_lm" and model.kind == "decoder" and model.model_type in FAMILIES
    if not is_writing or model.tie_word_embeddings or len(model.vocabulary) != 1:
        return []
    return [Problem("E316", values={"folder": model.folder, "count": 1, "names": "lm_head.weight"})]


def matching_groups(model: ModelInfo, targets: Targets) -> list[LinearGroup]:
    """The linear layers that `target_modules` means, by PEFT's rules on paths; counts are those of the matched ones.

    A list holds ends of paths, a text is a pattern for the whole path, `all-linear` is all but the output.
    """
    groups = []
    is_all = isinstance(targets, str) and targets.lower() == ALL_LINEAR
    for group in model.linear if is_all else (*model.linear, *model.vocabulary):
        paths = group.paths or (group.name,)
        targeted = tuple(path for path in paths if is_all or _is_target(targets, path))
        if targeted == paths:
            groups.append(group)
        elif targeted:
            groups.append(group.model_copy(update={"count": len(targeted), "paths": targeted}))
    return groups


def _is_target(targets: Targets, path: str) -> bool:
    if isinstance(targets, str):
        return bool(re.fullmatch(targets, path))
    return any(matches(name, path) for name in targets)


def matching(model: ModelInfo, targets: Targets) -> list[str]:
    """Names of the linear layers that `target_modules` means."""
    return [group.name for group in matching_groups(model, targets)]


def lora_parameters(model: ModelInfo, targets: Targets, parameters: Iterable[str], r: int) -> int:
    """Parameters of a LoRA of rank r: r x (in + out) for each layer, and for each expert of `target_parameters`."""
    layers = sum((g.in_features + g.out_features) * g.count for g in matching_groups(model, targets))
    experts = [group for group in model.experts if any(matches(name, group.name) for name in parameters)]
    return r * (layers + sum(g.num_experts * (g.in_features + g.out_features) * g.count for g in experts))


def _check_targets(peft: Targeted, model: ModelInfo, preset: str) -> list[Problem]:
    targets, family = peft.target_modules, FAMILIES.get(model.model_type, UNKNOWN)
    if isinstance(peft, LnTuning) and not is_full(peft):
        return _check_norms(targets, model)
    if not model.linear:
        return []
    if targets == AUTO:
        return [no_preset(f"preset={preset}", model)] if family.refused and not family.roles else []
    try:
        groups = matching_groups(model, targets)
    except re.error as fault:
        reason = N_("is not a regular expression")
        return [
            Problem("E103", values={"key": "peft.target_modules", "reason": reason, "value": f"{targets} ({fault})"})
        ]
    rejected = [path for group in groups for path in group.paths if any(matches(name, path) for name in family.refused)]
    if rejected:
        return [no_preset(f"peft.target_modules={_listed(targets)}", model)]
    if isinstance(peft, Lora) and family.is_rewritten and _reaches_experts(targets):
        return [_takes_experts(targets, model)]
    missing = [
        name for name in _names(targets) if not matching_groups(model, [name]) and not _is_tied_head(name, model)
    ]
    return [] if groups and not missing else [_unknown(missing or targets, model)]


def _names(targets: Targets) -> list[str]:
    return [] if isinstance(targets, str) else list(targets)


def _listed(names: Targets) -> str:
    return names if isinstance(names, str) else json.dumps(list(names), separators=(",", ":"))


def _check_norms(targets: Targets, model: ModelInfo) -> list[Problem]:
    norms = [group.name for group in model.norms]
    if not norms:
        reason = N_("its norm layers have no parameters that could be trained")
        return [conflict("method=ln_tuning", model.model_type, reason, "--method lora")]
    missing = [name for name in _names(targets) if name.rpartition(".")[2] not in norms]
    if not missing:
        return []
    available = " ".join(f"{group.name} ({len(group.paths)})" for group in model.norms)
    values = {"targets": str(missing), "architecture": model.architecture, "available": available}
    return [Problem("E301", values=values | {"example": _listed(norms[:2])})]


def no_preset(setting: str, model: ModelInfo) -> Problem:
    """E109 for a family in which PEFT rejects layers that were asked for, with those it takes."""
    roles, _is_known = roles_of(model)
    ends = {group.name for group in model.linear}
    names = names_of(roles, roles) or [name for name in MAMBA_INPUTS if name in ends]
    reason = N_("its mixer takes the weights of out_proj and conv1d without calling them, so PEFT rejects both")
    return conflict(setting, model.model_type, reason, f"--set peft.target_modules='{_listed(names)}'")


def _reaches_experts(targets: Targets) -> bool:
    return isinstance(targets, str) or any(name.rpartition(".")[2] in EXPERT_NAMES for name in targets)


def _takes_experts(targets: Targets, model: ModelInfo) -> Problem:
    roles, _is_known = roles_of(model)
    reason = N_("PEFT treats such names and patterns as those of experts, at another rank, and leaves dense layers out")
    modules, parameters = _listed(names_of(roles, roles)), _listed(expert_parameters(model))
    fix = f"--set peft.target_modules='{modules}' --set peft.target_parameters='{parameters}'"
    return conflict(f"peft.target_modules={_listed(targets)}", model.model_type, reason, fix)


def _check_experts(run: RunConfig, model: ModelInfo) -> list[Problem]:
    """Parameters that are not layers: PEFT ignores unknown ones, and fails late on what cannot be done beside them."""
    fields = run.peft.model_dump()
    named = fields.get("target_parameters") or []
    if not named:
        return []
    if run.method != "lora":
        reason = N_("only LoRA can adapt parameters that are not layers")
        return [conflict("peft.target_parameters", f"method={run.method}", reason, "--method lora")]
    ends = {group.name.rpartition(".")[2] for group in model.experts} | {"weight"}
    unknown = [name for name in named if name.rpartition(".")[2] not in ends]
    if unknown:
        available = " ".join(f"{group.name} ({group.count})" for group in model.experts)
        values = {"targets": _listed(unknown), "architecture": model.architecture, "available": available}
        return [Problem("E301", values=values)]
    reason = N_("an adapter of a parameter sees no inputs, so it has neither dropout nor magnitudes nor a bias")
    return [
        conflict(f"peft.{name}={fields[name]}", "peft.target_parameters", reason, f"--set peft.{name}={off}")
        for name, off in WITHOUT_INPUTS.items()
        if fields.get(name) not in (None, AUTO, 0, False)
    ]


def _unknown(targets: Targets, model: ModelInfo) -> Problem:
    """E301: what there is, and the likely intention."""
    counts: Counter[str] = Counter()
    for group in model.linear:
        counts[group.name] += group.count
    values = {
        "targets": _listed(targets),
        "architecture": model.architecture,
        "available": " ".join(f"{name} ({count})" for name, count in counts.items()),
    }
    alike = [close for name in _names(targets) for close in get_close_matches(name, counts, 1)]
    if same := same_roles(_names(targets), model):
        values["same_roles"] = _listed(same)
    elif alike:
        values["suggestion"] = alike[0]
    else:
        roles, _is_known = roles_of(model)
        values["example"] = _listed(names_of(roles, ("q", "v")) or list(counts)[:2])
    return Problem("E301", values=values)


def _check_tied(run: RunConfig, model: ModelInfo) -> list[Problem]:
    """Embedding and output of a writing model are often one matrix; an adapter on it must know that."""
    if not model.tie_word_embeddings or run.task not in ("causal_lm", "seq2seq"):
        return []
    fields = run.peft.model_dump()
    shared = (*(path for group in model.vocabulary for path in group.paths), "lm_head")
    in_targets = _naming(fields.get("target_modules") or (), shared)
    if in_targets:
        reason = N_("embedding and output are one matrix here, and merging would change it at both ends")
        return [conflict(f"peft.target_modules={_listed(in_targets)}", TIED, reason, KEEP_TIED)]
    saved = _naming(fields.get("modules_to_save") or (), shared)
    if not saved:
        return []
    setting = f"peft.modules_to_save={_listed(saved)}"
    if model.is_encoder_decoder:
        reason = N_("PEFT cannot keep encoder, decoder and output of such a model tied to one matrix")
        return [conflict(setting, TIED, reason, N_("leave it out of peft.modules_to_save"))]
    if "ensure_weight_tying" not in type(run.peft).upstream_fields():
        reason = N_("this method would train one copy of the matrix and leave the other; only LoRA keeps them tied")
        return [conflict(setting, TIED, reason, f"--method lora {KEEP_TIED}")]
    if "ensure_weight_tying" not in fields:
        reason = N_("PEFT trains one copy of the matrix and leaves the other, unless it is set to keep them tied")
        return [conflict(setting, TIED, reason, KEEP_TIED)]
    if fields["ensure_weight_tying"] and not _naming(saved, TIED_NAMES):
        reason = N_("PEFT keeps them tied only under the names embed_tokens and lm_head")
        return [conflict(setting, "peft.ensure_weight_tying", reason, KEEP_TIED)]
    return []


def _is_tied_head(name: str, model: ModelInfo) -> bool:
    """True for an output that has no tensor of its own in the checkpoint."""
    return model.tie_word_embeddings and matches(name, "lm_head")


def _naming(names: Targets, paths: Iterable[str]) -> list[str]:
    """Those of the names, or the pattern, that reach one of the paths."""
    if isinstance(names, str):
        is_pattern = names.lower() not in (AUTO, ALL_LINEAR)
        return [names] if is_pattern and any(re.fullmatch(names, path) for path in paths) else []
    return [name for name in names if any(matches(name, path) for path in paths)]


def _check_rank(peft: PeftSection, model: ModelInfo) -> list[Problem]:
    # VeRA's rank is that of matrices all layers share, and may be larger than a layer.
    if not isinstance(peft, Targeted) or "r" not in type(peft).model_fields or isinstance(peft, Vera):
        return []
    r, targets = dict(peft)["r"], peft.target_modules
    if AUTO in (r, targets):
        return []
    small = min(matching_groups(model, targets), key=_smaller_side, default=None)
    if small is None or r <= _smaller_side(small):
        return []
    shape = f"{small.in_features} x {small.out_features}"
    values = {"r": r, "name": small.name, "shape": shape, "largest": _smaller_side(small)}
    return [Problem("E312", values=values)]


def _check_feedforward(peft: PeftSection, model: ModelInfo) -> list[Problem]:
    """E103 for feed-forward layers of (IA)3 that are no targets; PEFT compares lists alone."""
    if not isinstance(peft, IA3) or isinstance(peft.feedforward_modules, str):
        return []
    targets = ia3_modules(model)[0] if peft.target_modules == AUTO else peft.target_modules
    missing = [] if isinstance(targets, str) else [n for n in peft.feedforward_modules if n not in targets]
    if not missing:
        return []
    reason = Phrase(N_("must be among the target_modules {targets}"), targets=_listed(targets))
    values = {"key": "peft.feedforward_modules", "reason": reason, "value": _listed(missing)}
    return [Problem("E103", values=values)]


def _smaller_side(group: LinearGroup) -> int:
    return min(group.in_features, group.out_features)
