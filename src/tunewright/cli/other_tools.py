"""What people type out of habit of other programs, and the line that does it here."""

import shlex
from collections.abc import Mapping, Sequence

from tunewright.cli import paste_commands
from tunewright.i18n import N_, Phrase

OPTIONS: Mapping[str, str] = {
    "--lora": N_("leave it out: LoRA is the default; --method names another one"),
    "--qlora": "--method qlora",
    "--dora": "--method dora",
    "--fp16": N_("--set model.precision=fp16   needs a GPU; left out, the faster one that is safe is chosen"),
    "--bf16": "--set model.precision=bf16",
    "--gpu": N_("leave it out: a GPU is used if torch sees it; tunewright doctor shows it"),
    "--cuda": N_("leave it out: a GPU is used if torch sees it; tunewright doctor shows it"),
    "--4bit": "--set model.quantization=4bit",
    "--load-in-4bit": "--set model.quantization=4bit",
    "--load_in_4bit": "--set model.quantization=4bit",
    "--learning-rate": "--lr 2e-4",
    "--learning_rate": "--lr 2e-4",
    "--num-train-epochs": "--epochs 3",
    "--num_train_epochs": "--epochs 3",
    "--output-dir": "-o DIR",
    "--output_dir": "-o DIR",
    "--max-length": "--set data.max_length=512",
    "--max_length": "--set data.max_length=512",
}


def suggested_command(reason: str, arguments: Sequence[str]) -> str | None:
    """What to type instead, where the parser's complaint is about one of these habits."""
    words = list(arguments)
    values = reason.values if isinstance(reason, Phrase) else {}
    if words[:1] == ["merge"] and values.get("name") in ("-o", "--output") and values["name"] in words[:-1]:
        place = words.index(values["name"])
        others = words[1:place] + words[place + 2 :]
        return paste_commands.named(shlex.join(["tunewright", "merge", *(others or ["last"]), words[place + 1]]))
    if words[:1] == ["export"] and len(words) == 3 and "words" in values:
        return paste_commands.named(shlex.join(["tunewright", *words[:2], "-o", words[2]]))
    return OPTIONS.get(str(values.get("name", "")).partition("=")[0])
