"""The formats of other engines, one row each: what they can hold, in which ways and types, and what is needed to write them."""

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tunewright.config.tasks import Task
from tunewright.errors import error
from tunewright.i18n import N_

FormatName = Literal["gguf", "ollama", "vllm", "mlx", "onnx", "openvino", "ct2", "hub", "peft"]
Way = Literal["merged", "adapter"]
Engine = Literal["llama", "onnxruntime", "openvino", ""]


@dataclass(frozen=True)
class ExportPackage:
    """A module that is found without importing it, the extra it comes with, and what it is for."""

    module: str
    extra: str
    what: str


@dataclass(frozen=True)
class ExportFormat:
    """One row. The first of `ways` and of `quants` is the usual one; without `quants` the weights stay as they are.

    `engine` is what can load the result on this machine, so that it is compared with the run; empty where nothing here can.
    """

    name: FormatName
    title: str
    about: str
    tasks: tuple[Task, ...]
    ways: tuple[Way, ...]
    engine: Engine = ""
    quants: tuple[str, ...] = ()
    requirements: tuple[ExportPackage, ...] = ()
    quantizer: Mapping[str, ExportPackage] = field(default_factory=dict)

    @property
    def is_gguf(self) -> bool:
        return self.engine == "llama"

    @property
    def is_plain(self) -> bool:
        """Whether PEFT and transformers load it: the adapter stays as it is, and nothing about this machine's run is added."""
        return self.name in ("peft", "hub")


SENTENCEPIECE = ExportPackage("sentencepiece", "gguf", N_("GGUF"))
KQUANTS = ExportPackage("cyllama", "kquants", N_("a type below 8 bits"))
BY_CONVERTER = ("q8_0", "f16", "bf16", "f32")
BY_QUANTIZER = ("q6_k", "q5_k_m", "q5_k_s", "q5_1", "q5_0", "q4_k_m", "q4_k_s", "q4_1", "q4_0", "q3_k_m", "q2_k")
_GGUF_QUANTS = (*BY_CONVERTER, *BY_QUANTIZER)
_QUANTIZER: Mapping[str, ExportPackage] = dict.fromkeys(BY_QUANTIZER, KQUANTS)
ALL_TASKS: tuple[Task, ...] = ("causal_lm", "seq2seq", "seq_cls", "token_cls")

FORMATS: Mapping[FormatName, ExportFormat] = {
    "gguf": ExportFormat(
        "gguf", "GGUF", N_("one file for llama.cpp, LM Studio, Jan and everything built on them"),
        ("causal_lm",), ("merged", "adapter"), "llama", _GGUF_QUANTS, (SENTENCEPIECE,), _QUANTIZER,
    ),
    "ollama": ExportFormat(
        "ollama", "Ollama", N_("GGUF with a Modelfile for `ollama create`"),
        ("causal_lm",), ("merged", "adapter"), "llama", _GGUF_QUANTS, (SENTENCEPIECE,), _QUANTIZER,
    ),
    "vllm": ExportFormat(
        "vllm", "vLLM", N_("the adapter or the merged model, with scripts that start vLLM or SGLang"),
        ("causal_lm",), ("adapter", "merged"),
    ),
    "mlx": ExportFormat(
        "mlx", "MLX", N_("the merged model for mlx-lm on a Mac"), ("causal_lm",), ("merged",),
    ),
    "onnx": ExportFormat(
        "onnx", "ONNX", N_("a classifier or tagger for ONNX Runtime, without torch"),
        ("seq_cls", "token_cls"), ("merged",), "onnxruntime", (), (
            ExportPackage("onnx", "onnx", "ONNX"), ExportPackage("onnxscript", "onnx", "ONNX"),
            ExportPackage("onnxruntime", "onnx", "ONNX"),
        ),
    ),
    "openvino": ExportFormat(
        "openvino", "OpenVINO", N_("a classifier or tagger for Intel's runtime"),
        ("seq_cls", "token_cls"), ("merged",), "openvino", (), (ExportPackage("openvino", "openvino", "OpenVINO"),),
    ),
    "ct2": ExportFormat(
        "ct2", "CTranslate2", N_("a model that writes, for CTranslate2"),
        ("causal_lm", "seq2seq"), ("merged",), "", ("float32", "int8", "float16", "bfloat16"),
        (ExportPackage("ctranslate2", "ct2", "CTranslate2"),),
    ),
    "hub": ExportFormat(
        "hub", "Hugging Face Hub", N_("a private repository with the adapter or the merged model, and its card"),
        ALL_TASKS, ("adapter", "merged"),
    ),
    "peft": ExportFormat(
        "peft", "PEFT", N_("the adapter as a plain PEFT folder for other machines"), ALL_TASKS, ("adapter",),
    ),
}  # fmt: skip


def format_of(name: str) -> ExportFormat:
    """The row of a format. Raises: ExportError E622."""
    match = next((row for row in FORMATS.values() if row.name == name), None)
    if match is None:
        raise unknown(N_("a format"), name, [*FORMATS])
    return match


def unknown(what: str, value: str, choices: Sequence[str]) -> Exception:
    """E622 for a value that a format does not have."""
    return error("E622", verb="export", what=what, value=value, choices=" ".join(choices))


def missing(requirements: Sequence[ExportPackage]) -> list[ExportPackage]:
    """Those whose module is not installed; nothing is imported."""
    return [needed for needed in requirements if importlib.util.find_spec(needed.module) is None]
