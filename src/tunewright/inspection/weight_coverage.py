"""Do a model's weights hold the blocks and the rows of the vocabulary that its config names? By headers alone.

What can be seen without the model's class is reported here, before anything starts; whether every tensor finds its place is
asked of transformers when the weights are loaded (engine/models/loaded_weights.py).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tunewright.errors import Problem, errors_of
from tunewright.inspection.architectures import FAMILIES
from tunewright.inspection.config_sizes import ConfigJson
from tunewright.inspection.layer_shapes import layer_problems
from tunewright.inspection.tensor_names import listed

Shapes = Mapping[str, Sequence[int]]
STACK = re.compile(r"(?:^|\.)(?:layers?|h|blocks?)\.(\d+)\.")
VOCABULARY = re.compile(
    r"(?:^|\.)(?:embed_tokens|wte|word_embeddings|embed_in|embeddings|tok_embeddings|shared|tokens_embed)\.weight$"
)
SHARED_BLOCKS = ("albert",)  # one block in the file is used for all layers
LAYERS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers")


def is_known(config: ConfigJson) -> bool:
    """Text alone, of a family of the table: models that see pictures have towers of blocks beside those of the config."""
    return config.get("model_type") in FAMILIES and "text_config" not in config


def check_whole(
    folder: Path, config: ConfigJson, sizes: Mapping[str, int], shapes: Shapes, *, is_encoder_decoder: bool
) -> None:
    """`shapes` by the tensors' places in the loaded model. Only families whose checkpoints are known are checked.

    Raises: ModelError E316 for blocks and layers that are missing, E317 for blocks too many, E318 for another vocabulary and
    for layers of another shape.
    """
    if not is_known(config):
        return
    problems = [*_blocks(folder, config, sizes, shapes, is_encoder_decoder)]
    if "decoder" not in config:  # a composite's halves may have a vocabulary each
        problems += _vocabulary(folder, sizes, shapes)
    problems += layer_problems(folder, config, sizes, shapes)
    if problems:
        raise errors_of(problems)


def _blocks(
    folder: Path, config: ConfigJson, sizes: Mapping[str, int], shapes: Shapes, is_encoder_decoder: bool
) -> Iterator[Problem]:
    """Numbered blocks of the file against the numbers of layers in the config, encoder and decoder each for itself."""
    stacks: dict[str, dict[int, list[str]]] = {}
    stems: dict[str, str] = {}
    for name in () if config["model_type"] in SHARED_BLOCKS else shapes:
        if match := STACK.search(name):
            side = next((part for part in name.split(".") if part in ("encoder", "decoder")), "")
            side = side if is_encoder_decoder else ""
            stacks.setdefault(side, {}).setdefault(int(match[1]), []).append(name)
            stems.setdefault(side, name[: match.start(1)])
    extra = config.get("num_nextn_predict_layers") or 0  # blocks that predict further tokens, which are not loaded
    for side, blocks in stacks.items():
        wanted = sizes["num_decoder_layers" if side == "decoder" else "num_layers"]
        if not wanted:
            continue
        values: dict[str, object] = {"folder": str(folder)}
        key = next((key for key in LAYERS if config.get(key) == wanted), None)
        if key and not is_encoder_decoder and sorted(blocks) == list(range(len(blocks))):
            values["fix"] = f'"{key}": {len(blocks)}'
        missing = [number for number in range(wanted) if number not in blocks]
        if missing:
            each = len(next(iter(blocks.values())))
            names = listed([f"{stems[side]}{number}.*" for number in missing])
            yield Problem("E316", values={**values, "count": each * len(missing), "names": names})
        surplus = [name for number, names in blocks.items() if number >= wanted + extra for name in names]
        if surplus:
            yield Problem("E317", values={**values, "count": len(surplus), "names": listed(surplus)})


def _vocabulary(folder: Path, sizes: Mapping[str, int], shapes: Shapes) -> Iterator[Problem]:
    """Rows of the input embedding against vocab_size."""
    rows = sizes["vocab_size"]
    odd = {
        name: shape
        for name, shape in shapes.items()
        if VOCABULARY.search(name) and len(shape) == 2 and shape[0] != rows
    }
    if rows and odd:
        names = listed([f"{name} ({shape[0]} / {rows})" for name, shape in odd.items()])
        fix = f'"vocab_size": {next(iter(odd.values()))[0]}'
        yield Problem("E318", values={"folder": str(folder), "count": len(odd), "names": names, "fix": fix})
