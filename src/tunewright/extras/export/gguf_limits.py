"""What llama.cpp's converter would refuse, found before a model is merged; and how large its file will be."""

import ast
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path

from tokenizers import Tokenizer

from tunewright.extras.export.gguf import run_script
from tunewright.extras.export.tool_wheels import architectures
from tunewright.i18n import N_, Phrase
from tunewright.inspection.tensor_names import listed
from tunewright.inspection.weight_shards import Headers
from tunewright.planning.run_plan import Plan
from tunewright.rundir import atomic_io
from tunewright.rundir.checkpoints import sha256
from tunewright.security import home, read_json

# Bits a weight of the blocks of each type: gguf-py's GGML_QUANT_SIZES. Mixed types ("_m", "_s") by the one that most rows have.
BITS: Mapping[str, float] = {
    "f32": 32, "f16": 16, "bf16": 16, "q8_0": 8.5, "q6_k": 6.5625, "q5_k_m": 5.5, "q5_k_s": 5.5, "q4_k_m": 4.5, "q4_k_s": 4.5,
    "q3_k_m": 3.4375, "q2_k": 2.625, "q5_1": 6, "q5_0": 5.5, "q4_1": 5, "q4_0": 4.5,
}  # fmt: skip
# llama.cpp's tensor_type_fallback (src/llama-quant.cpp): what rows that are no multiple of 256 are written as.
FALLBACK: Mapping[str, str] = {
    "q6_k": "q8_0", "q5_k_m": "q5_1", "q5_k_s": "q5_1", "q4_k_m": "q5_0", "q4_k_s": "q5_0", "q3_k_m": "q4_0", "q2_k": "q4_0",
}  # fmt: skip
SUPER_BLOCK = 256
TOKENIZER_FILES = ("tokenizer", "special_tokens", "added_tokens", "vocab", "merges", "chat_template")
SENTENCEPIECE_FILE = "tokenizer.model"
BY_DESIGN = "NotImplementedError"  # a full disk or an end by a signal may be over the next time


@dataclass(frozen=True)
class GgufSize:
    """An estimate: `bytes`, and how many of the `matrices` have rows that a K-type cannot hold."""

    bytes: int
    matrices: int
    fallen_back: int


def gguf_size(tensors: Headers, quant: str) -> GgufSize:
    """Of a model with these tensors (`inspection.weight_shards.headers`); vectors stay in fp32."""
    bits, matrices, fallen_back = 0.0, 0, 0
    for entry in tensors.values():
        shape = entry["shape"]
        if len(shape) < 2:
            bits += 32 * prod(shape)
            continue
        matrices += 1
        falls = quant in FALLBACK and shape[-1] % SUPER_BLOCK != 0
        fallen_back += falls
        bits += BITS[FALLBACK[quant] if falls else quant] * prod(shape)
    return GgufSize(int(bits / 8), matrices, fallen_back)


def converter_limits(plan: Plan, adapter: Path, tool: Path | None) -> Iterator[str]:
    """Each reason why the converter would refuse this model; without `tool` only those that need no look into it.

    Cost: some eight seconds where the tokenizer's hash is not in the converter's table, as it is then asked itself.
    """
    model = plan.facts.model
    if tool is not None and model.architecture not in architectures(tool):
        yield Phrase(N_("llama.cpp's converter does not know the architecture {name}"), name=model.architecture)
        return
    tokenizer = adapter / "tokenizer.json"
    if not tokenizer.is_file():
        return
    backend = Tokenizer.from_file(str(tokenizer))
    beyond = sorted(
        (i, token) for token, i in backend.get_vocab(with_added_tokens=True).items() if i >= model.vocab_size
    )
    if beyond:
        names = listed([f"{token} ({i})" for i, token in beyond])
        yield Phrase(
            N_("its tokenizer has ids beyond the embedding's {rows} rows: {names}"), rows=model.vocab_size, names=names
        )
    elif tool is not None and not _is_known(backend, tool) and (fault := _vocabulary_fault(plan, adapter, tool)):
        added = listed([token.content for token in backend.get_added_tokens_decoder().values()])
        yield Phrase(N_("{fault} (its added tokens: {names})"), fault=fault, names=added)


def _is_known(backend: Tokenizer, tool: Path) -> bool:
    """Whether the converter's table has the hash of this tokenizer, by the converter's own test text.

    It tells BPE tokenizers apart by the ids of one text (get_vocab_base_pre), and stops at any that it has not seen.
    """
    source = (tool / "conversion/base.py").read_text(encoding="utf-8")
    line = next(line for line in source.splitlines() if line.strip().startswith("chktxt = "))
    ids = backend.encode(str(ast.literal_eval(line.partition(" = ")[2]))).ids
    return hashlib.sha256(str(ids).encode()).hexdigest() in source


def _vocabulary_fault(plan: Plan, adapter: Path, tool: Path) -> str:
    """Why the converter cannot write this vocabulary, in its own words; empty if it can.

    What it would say again is remembered: a page with several formats asks for each, and each time takes some eight seconds.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        folder.mkdir()
        shutil.copyfile(Path(plan.facts.model.folder) / "config.json", folder / "config.json")
        for file in adapter.iterdir():
            if file.name.startswith(TOKENIZER_FILES):
                shutil.copyfile(file, folder / file.name)
        complete_for_converter(folder, plan)
        known = home() / "vocabularies" / f"{_digest([tool.name], folder)}"
        with suppress(OSError, UnicodeDecodeError):
            return known.read_text(encoding="utf-8")
        outfile = str(Path(scratch) / "vocabulary.gguf")
        fault = run_script(tool / "convert_hf_to_gguf.py", "--vocab-only", "--outfile", outfile, str(folder))
    if not fault or fault.startswith(BY_DESIGN):
        with suppress(OSError):
            atomic_io.make_folder(known.parent)
            atomic_io.write_text(known, fault)
    return fault


def _digest(words: Sequence[str], folder: Path) -> str:
    """Of the words, and of names and contents of a folder's files."""
    parts = [*words, *(f"{file.name} {sha256(file)}" for file in sorted(folder.iterdir()))]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def complete_for_converter(folder: Path, plan: Plan) -> None:
    """Add what the converter reads and transformers 5 does not write any more.

    The base's tokenizer.model beside tokenizer.json: tokenizers of Gemma, Llama 2 and others are written from it, and what was
    added to them from the other files. And `n_ctx` in a config of GPT-2, which is its `n_positions`.
    """
    for place in (plan.facts.model.tokenizer_folder, plan.facts.model.folder):
        source = Path(place) / SENTENCEPIECE_FILE
        if source.is_file() and not (folder / SENTENCEPIECE_FILE).exists():
            shutil.copyfile(source, folder / SENTENCEPIECE_FILE)
    path = folder / "config.json"
    config = read_json(path)
    if "n_positions" in config and "n_ctx" not in config:
        path.unlink()  # it may be a link to the base's own
        path.write_text(json.dumps({**config, "n_ctx": config["n_positions"]}), encoding="utf-8")
