"""A model from its folder's headers: what it can do, shapes, layers, vocabulary. Nothing is loaded; stdlib only."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from tunewright.config.frozen_model import FrozenModel
from tunewright.config.tasks import Task
from tunewright.config.upstream import model_tasks
from tunewright.errors import error
from tunewright.i18n import N_
from tunewright.inspection.architectures import (
    EXPERT_PARTS,
    FAMILIES,
    NORM,
    NOT_LINEAR,
    PRETRAINING_HEADS,
    UNKNOWN,
    Architecture,
)
from tunewright.inspection.config_sizes import read_sizes
from tunewright.inspection.foreign_tensors import refuse_foreign_names
from tunewright.inspection.license import license_of
from tunewright.inspection.prequantized import refuse_packed
from tunewright.inspection.weight_coverage import check_whole, is_known
from tunewright.inspection.weight_shards import headers
from tunewright.security import gate_model_folder, read_json

DTYPE_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
ModelKind = Literal["decoder", "encoder", "encoder_decoder"]
ConfigJson = Mapping[str, object]
Tensors = dict[str, tuple[list[int], str]]
Shapes = Mapping[str, Sequence[int]]


class LinearGroup(FrozenModel):
    """All linear layers with one name and shape: `q_proj`, 576 in, 576 out, 30 times."""

    name: str
    in_features: int
    out_features: int
    count: int
    paths: tuple[str, ...] = ()
    has_bias: bool = False


class ExpertGroup(FrozenModel):
    """One parameter that holds all experts of a block: `experts.down_proj`, 128 experts, in `count` blocks."""

    name: str
    num_experts: int
    in_features: int
    out_features: int
    count: int


class NormGroup(FrozenModel):
    """All norm layers with one name, and how many parameters they have together."""

    name: str
    num_parameters: int
    paths: tuple[str, ...]


class Contents(FrozenModel):
    """Digests of a base's weights, its tokenizer, the chat template in use and the one for tools, and its config.json.

    Empty where they were not computed: earlier versions knew the first three.
    """

    weights: str = ""
    tokenizer: str = ""
    template: str = ""
    tool_template: str = ""
    config: str = ""


class ModelInfo(FrozenModel):
    """What the folder says about the model. Paths are those of the loaded model.

    `linear` are the layers inside the blocks, `vocabulary` the matrices with a row for each token. Of an encoder-decoder
    `num_layers` are the encoder's, `num_decoder_layers` the decoder's, and the heads are the decoder's. `fresh_heads` are
    modules of a task's head that start random, and that PEFT leaves frozen unless `modules_to_save` names them.
    `license` are the fields of the model's card that say it. `contents` are computed when a plan becomes a run.
    """

    name: str
    folder: str
    tokenizer_folder: str
    digest: str
    model_type: str
    architecture: str
    kind: ModelKind = "decoder"
    tasks: tuple[Task, ...] = ("causal_lm",)
    num_layers: int
    num_decoder_layers: int = 0
    hidden_size: int
    intermediate_size: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int = 0
    vocab_size: int
    max_position_embeddings: int
    num_parameters: int
    weight_bytes: int
    linear: tuple[LinearGroup, ...]
    experts: tuple[ExpertGroup, ...] = ()
    norms: tuple[NormGroup, ...] = ()
    vocabulary: tuple[LinearGroup, ...] = ()
    num_bias_parameters: int = 0
    tie_word_embeddings: bool = False
    is_conv1d: bool = False
    fresh_heads: dict[Task, tuple[str, ...]] = Field(default_factory=dict)
    has_chat_template: bool
    license: dict[str, str] = Field(default_factory=dict)
    contents: Contents = Contents()

    @property
    def is_encoder_decoder(self) -> bool:
        return self.kind == "encoder_decoder"

    @property
    def linear_paths(self) -> tuple[str, ...]:
        """Paths of all linear layers; names where the paths are not known."""
        return tuple(path for group in self.linear for path in group.paths or (group.name,))

    @property
    def num_norm_parameters(self) -> int:
        return sum(group.num_parameters for group in self.norms)

    @property
    def num_outside_blocks(self) -> int:
        """Parameters of embeddings and head, which every pass needs from its beginning to its end."""
        known = sum(group.in_features * group.out_features * group.count for group in self.vocabulary)
        return min(self.num_parameters, known or self.vocab_size * self.hidden_size)


def read_model(
    folder: Path, name: str, tensors: Tensors | None = None, tokenizer_folder: Path | None = None
) -> ModelInfo:
    """Facts about a model folder; `tensors` (name -> shape, type) stand in for weights that are not there yet.

    Raises: ModelError E302, E303, E307, E309, E315 to E321, E325 to E328.
    """
    config = gate_model_folder(folder)
    sizes = read_sizes(config, folder / "config.json")
    tensors = tensors or {name: (entry["shape"], entry["dtype"]) for name, entry in headers(folder).items()}
    if not tensors:
        raise error("E302", name=name, reason=N_("there is no .safetensors file in it"), builtin="smollm2")
    refuse_packed(folder, config, tensors)
    architecture = (config.get("architectures") or ["unknown"])[0]
    model_type = str(config.get("model_type", "unknown"))
    refuse_foreign_names(folder, model_type, tensors, is_known=is_known(config))
    family = FAMILIES.get(model_type, UNKNOWN)
    kind, tasks = _purpose(config, model_type, architecture)
    shapes = _located(tensors, family)
    check_whole(folder, config, sizes, shapes, is_encoder_decoder=kind == "encoder_decoder")
    vocabulary = tuple(_vocabulary_groups(shapes, sizes["vocab_size"]))
    text = config.get("text_config", config)
    is_tied = config.get("tie_word_embeddings", text.get("tie_word_embeddings", len(vocabulary) < 2))
    return ModelInfo(
        name=name,
        folder=str(folder),
        tokenizer_folder=str(tokenizer_folder or folder),
        digest=hashlib.sha256(json.dumps([config, sorted(tensors.items())], sort_keys=True).encode()).hexdigest()[:16],
        model_type=model_type,
        architecture=architecture,
        kind=kind,
        tasks=tasks,
        **sizes,
        num_parameters=sum(math.prod(shape) for shape, _ in tensors.values()),
        weight_bytes=sum(math.prod(shape) * DTYPE_BYTES.get(dtype, 4) for shape, dtype in tensors.values()),
        linear=tuple(_linear_groups(shapes, is_conv1d=family.is_conv1d)),
        experts=tuple(_expert_groups(shapes)),
        norms=tuple(_norm_groups(shapes)),
        vocabulary=vocabulary,
        num_bias_parameters=sum(math.prod(shape) for name, shape in shapes.items() if name.endswith(".bias")),
        tie_word_embeddings=bool(is_tied),
        is_conv1d=family.is_conv1d,
        fresh_heads=_fresh_heads(family, tensors),
        has_chat_template=_has_chat_template(folder),
        license=license_of(folder, name),
    )


def _purpose(config: ConfigJson, model_type: str, architecture: str) -> tuple[ModelKind, tuple[Task, ...]]:
    """What kind of model this is, and the tasks that transformers has a class for; unknown types by their class."""
    is_writer = architecture.endswith(("ForCausalLM", "LMHeadModel"))
    tasks = model_tasks().get(model_type, ("causal_lm",) if is_writer else ())
    if config.get("is_encoder_decoder", "seq2seq" in tasks):
        return "encoder_decoder", tuple(task for task in tasks if task != "causal_lm")
    kind: ModelKind = "decoder" if "causal_lm" in tasks else "encoder"
    return kind, tuple(task for task in tasks if task != "seq2seq")


def _located(tensors: Tensors, family: Architecture) -> Shapes:
    """Shapes by the tensors' places in the loaded model; heads of pre-training are left out."""
    prefix = f"{family.base}."
    is_bare = bool(family.base) and not any(name.startswith(prefix) for name in tensors)
    model_shapes = {name: shape for name, (shape, _dtype) in tensors.items() if not name.startswith(PRETRAINING_HEADS)}
    return {f"{prefix}{name}": shape for name, shape in model_shapes.items()} if is_bare else model_shapes


def _fresh_heads(family: Architecture, tensors: Tensors) -> dict[Task, tuple[str, ...]]:
    trained = {part for name in tensors for part in name.split(".")}
    fresh = {task: tuple(name for name in names if name not in trained) for task, names in family.heads.items()}
    return {task: names for task, names in fresh.items() if names}


def _in_blocks(shapes: Shapes, *num_axes: int) -> Iterator[tuple[list[str], Sequence[int]]]:
    """Parts of the names, and shapes, of the tensors inside numbered blocks."""
    for name, shape in shapes.items():
        parts = name.split(".")
        if len(shape) in num_axes and any(part.isdigit() for part in parts):
            yield parts, shape


def _linear_groups(shapes: Shapes, *, is_conv1d: bool) -> list[LinearGroup]:
    """Matrices inside numbered blocks that are layers of their own, by the last part of their name and their shape."""
    groups: dict[tuple[str, int, int], list[str]] = {}
    for parts, shape in _in_blocks(shapes, 2):
        path = ".".join(parts[:-1])
        if parts[-1] == "weight" and not NOT_LINEAR.search(path):
            into, out = shape if is_conv1d else reversed(shape)
            groups.setdefault((parts[-2], into, out), []).append(path)
    return [
        LinearGroup(
            name=name,
            in_features=into,
            out_features=out,
            count=len(paths),
            paths=tuple(paths),
            has_bias=f"{paths[0]}.bias" in shapes,
        )
        for (name, into, out), paths in groups.items()
    ]


def _vocabulary_groups(shapes: Shapes, vocab_size: int) -> Iterator[LinearGroup]:
    for name, shape in shapes.items():
        parts = name.split(".")
        is_matrix = len(shape) == 2 and parts[-1] == "weight" and not any(part.isdigit() for part in parts)
        if is_matrix and shape[0] == vocab_size:
            path = ".".join(parts[:-1])
            yield LinearGroup(name=parts[-2], in_features=shape[1], out_features=shape[0], count=1, paths=(path,))


def _expert_groups(shapes: Shapes) -> list[ExpertGroup]:
    """The experts as transformers 5 loads them, whether the checkpoint holds them one by one or together."""
    shapes_by_group: dict[tuple[str, str], dict[str, list[Sequence[int]]]] = {}
    for parts, shape in _in_blocks(shapes, 2, 3):
        part = next((part for part in reversed(parts) if part in EXPERT_PARTS), None)
        if part and (len(shape) == 3 or "experts" in parts):
            block = ".".join(parts[: next(i for i, number in enumerate(parts) if number.isdigit()) + 1])
            shapes_by_group.setdefault((block, EXPERT_PARTS[part]), {}).setdefault(part, []).append(shape)
    counts = Counter((name, *_joined([*by_part.values()])) for (_block, name), by_part in shapes_by_group.items())
    return [
        ExpertGroup(name=name, num_experts=experts, in_features=into, out_features=out, count=count)
        for (name, experts, into, out), count in counts.items()
    ]


def _joined(parts: Sequence[Sequence[Sequence[int]]]) -> tuple[int, int, int]:
    """Experts, values in and values out of the parameter that these matrices become."""
    first = parts[0]
    is_whole = len(first[0]) == 3
    return first[0][0] if is_whole else len(first), first[0][-1], sum(shapes[0][-2] for shapes in parts)


def _norm_groups(shapes: Shapes) -> list[NormGroup]:
    sizes: dict[str, dict[str, int]] = {}
    for name, shape in shapes.items():
        path, _dot, kind = name.rpartition(".")
        end = path.rpartition(".")[2]
        if len(shape) == 1 and kind in ("weight", "bias", "gamma", "beta") and NORM.search(end):
            by_path = sizes.setdefault(end, {})
            by_path[path] = by_path.get(path, 0) + shape[0]
    return [
        NormGroup(name=name, num_parameters=sum(by_path.values()), paths=tuple(by_path))
        for name, by_path in sizes.items()
    ]


def _has_chat_template(folder: Path) -> bool:
    if (folder / "chat_template.jinja").is_file():
        return True
    path = folder / "tokenizer_config.json"
    return path.is_file() and bool(read_json(path).get("chat_template"))
