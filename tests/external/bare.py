"""An adapter of ours where Tunewright is not: `python tests/external/bare.py [RUN]`.

The adapter of a finished run (without RUN: of a short quickstart made for this) and its merged model are loaded by PEFT and
transformers alone, in an environment that refuses to import tunewright. For 20 held-out prompts the logits at every position
must be those that our own loader gives; those of the merged folder must be those of PEFT's own `merge_and_unload`. The prompts
are turned into tokens there, by the tokenizer beside the adapter.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import bare_client
import environment
import torch
from safetensors.torch import load_file

from tunewright import api
from tunewright.data.tokenized.chat_template import from_turn
from tunewright.data.tokenized.tokenization import prompt_ids
from tunewright.data.tokenized.tokenizer import load_tokenizer
from tunewright.engine.models.load_model import load_adapter, load_base
from tunewright.kernels.cpu_matmul import planned_matmul
from tunewright.kernels.merged_lora import merged_lora

PROMPTS = 20
TOLERANCE = 1e-5
ADAPTERS = ("PeftModel.from_pretrained", "AutoPeftModelForCausalLM", "model.load_adapter")


def short_run(folder: Path) -> Path:
    """A quickstart of a few steps, made as a user makes it."""
    options = ["--set", "train.max_steps=24", "--set", "eval.rows=24", "--set", f"run.output_dir={folder / 'run'}"]
    command = [sys.executable, "-m", "tunewright", "quickstart", "--quiet", *options]
    subprocess.run(command, check=True, env=_environment(), cwd=folder)
    return folder / "run"


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(environment.SOURCE), "HF_HUB_OFFLINE": "1"}


def our_logits(run: api.TrainedRun, prompts: Sequence[str]) -> tuple[dict[str, list[torch.Tensor]], list[list[int]]]:
    """Logits of each prompt from our own loader, by torch's products and as a run computes; and the prompts' tokens."""
    plan = run.dir.plan()
    tokenizer = load_tokenizer(Path(plan.facts.model.tokenizer_folder), plan.run.model.chat_template)
    ids = [prompt_ids([from_turn(turn) for turn in run.as_prompt(prompt)], tokenizer) for prompt in prompts]
    model = load_adapter(load_base(plan, tokenizer), run.adapter)
    by_way = {"plain": bare_client.logits(model, ids)}
    with planned_matmul(plan.fast_paths), torch.no_grad(), merged_lora(model):
        by_way["fast"] = bare_client.logits(model, ids)
    return by_way, ids


def refuses(python: Path) -> bool:
    """True if the environment stops the import of a tunewright that lies open before it."""
    command = ["-c", "import tunewright"]
    refused = subprocess.run([python, *command], env=_environment(), capture_output=True, text=True)
    allowed = subprocess.run([sys.executable, *command], env=_environment(), capture_output=True, text=True)
    return environment.REFUSAL in refused.stderr and refused.returncode == 1 and allowed.returncode == 0


def there(python: Path, folder: Path, run: api.TrainedRun, prompts: Sequence[str]) -> dict[str, list[torch.Tensor]]:
    """The logits of each way to load the run in the clean environment."""
    base = run.dir.plan().facts.model.folder
    run.merge(folder / "merged")
    run.close()
    request = {
        "base": base, "adapter": str(run.adapter), "merged": str(folder / "merged"),
        "turns": [run.as_prompt(prompt) for prompt in prompts],
    }  # fmt: skip
    (folder / "asked.json").write_text(json.dumps(request))
    client = [python, Path(bare_client.__file__), folder / "asked.json", folder / "logits.safetensors"]
    subprocess.run(client, check=True, env=_environment(), cwd=folder)
    flat = load_file(folder / "logits.safetensors")
    ways = sorted({name.partition("/")[0] for name in flat})
    return {way: [flat[f"{way}/{i}"] for i in range(len(prompts))] for way in ways}


def apart(right: Sequence[torch.Tensor], logits: Sequence[torch.Tensor]) -> float:
    """The largest difference of any two logits."""
    return max(float((a - b).abs().max()) for a, b in zip(right, logits, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", type=Path, metavar="RUN")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        run = api.open_run(str(options.run or short_run(folder)))
        python = environment.make(folder / "clean", refused="tunewright")
        if not refuses(python):
            sys.exit("the clean environment imports tunewright")
        samples = map(json.loads, (run.path / "eval" / "after.jsonl").read_text().splitlines())
        prompts = [sample["prompt"] for sample in samples][:PROMPTS]
        ours, ids = our_logits(run, prompts)
        theirs = there(python, folder, run, prompts)
    # A merge rounds each weight once more, whoever makes it, and so does another order of sums: of the largest logit.
    largest = max(float(logits.abs().max()) for logits in ours["plain"])
    held = {way: apart(ours["plain"], theirs[way]) for way in ADAPTERS} | {
        "merged folder, to merge_and_unload": apart(theirs["merge_and_unload"], theirs["merged folder"]),
        "merged folder, to the adapter, of the largest logit": apart(ours["plain"], theirs["merged folder"]) / largest,
        "fast paths, to the adapter, of the largest logit": apart(ours["plain"], ours["fast"]) / largest,
    }
    report = {
        **{name: version(name) for name in ("peft", "transformers", "torch")}, "prompts": len(prompts),
        "tokens": sum(map(len, ids)), "largest_logit": largest, "differences": held,
    }  # fmt: skip
    print(json.dumps(report, indent=1))
    sys.exit(0 if len(prompts) == PROMPTS and max(held.values()) < TOLERANCE else 1)


if __name__ == "__main__":
    main()
