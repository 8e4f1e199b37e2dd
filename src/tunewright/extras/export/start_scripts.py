"""Scripts that start other servers with an exported folder. They listen on this machine alone; further options go through."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from tunewright.extras.export.export_plan import ExportPlan
from tunewright.extras.export.formats import FormatName
from tunewright.rundir.base_model import BaseReference

_HERE = 'here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)'


@dataclass(frozen=True)
class ServedAdapter:
    """What is started: the name that requests use, the base, and the adapter's highest rank; 0 for a merged model."""

    name: str
    base: BaseReference
    max_lora_rank: int
    has_template: bool

    @property
    def is_adapter(self) -> bool:
        return self.max_lora_rank > 0


def model_name(run_name: str) -> str:
    """The run's name as one word that is the same in URLs, shells and `NAME=PATH`."""
    return re.sub(r"[^\w.-]+", "-", run_name, flags=re.ASCII).strip("-.") or "model"


def start_command(plan: ExportPlan, folder: Path) -> str:
    """What starts an engine on an exported folder, or hands the folder to one; empty for formats that a program loads."""
    name = model_name(plan.run.name)
    gguf = f"-m {shlex.quote(str(folder / 'model.gguf'))}"
    if not plan.merges:
        base, adapter = (shlex.quote(str(folder / file)) for file in ("base.gguf", "adapter.gguf"))
        gguf = f"-m {base} --lora {adapter}"
    commands: dict[FormatName, str] = {
        "gguf": f"llama-server {gguf} --jinja --temp 0",
        "ollama": f"ollama create {name} -f {shlex.quote(str(folder / 'Modelfile'))}",
        "vllm": f"sh {shlex.quote(str(folder / 'serve-vllm.sh'))}",
        "mlx": f"sh {shlex.quote(str(folder / 'serve-mlx.sh'))}",
    }
    return commands.get(plan.row.name, "")


def vllm_script(served: ServedAdapter) -> str:
    """serve-vllm.sh. The rank limit is the next one of vLLM's choices; sampling settings are those of each request."""
    options = ["--served-model-name", f"{served.name}-base" if served.is_adapter else served.name]
    if served.is_adapter:
        options += ["--enable-lora", "--lora-modules", f'{served.name}="$here/adapter"']
        options += ["--max-lora-rank", str(served.max_lora_rank)]
    if served.has_template:
        options += ["--chat-template", '"$here/chat_template.jinja"']
    options += ["--generation-config", "vllm", "--host", "127.0.0.1", "--port", "8000"]
    return _script("vLLM", f"vllm serve {_model(served)}", options, served)


def sglang_script(served: ServedAdapter) -> str:
    """serve-sglang.sh, for the same folder."""
    options = ["--served-model-name", served.name]
    if served.is_adapter:
        options = ["--enable-lora", "--lora-paths", f'{served.name}="$here/adapter"']
        options += ["--max-lora-rank", str(served.max_lora_rank)]
    if served.has_template:
        options += ["--chat-template", '"$here/chat_template.jinja"']
    options += ["--host", "127.0.0.1", "--port", "30000"]
    return _script("SGLang", f"python3 -m sglang.launch_server --model-path {_model(served)}", options, served)


def mlx_script(served: ServedAdapter) -> str:
    """serve-mlx.sh for a Mac."""
    options = ["--host", "127.0.0.1", "--port", "8080", "--temp", "0"]
    return _script("mlx-lm", 'mlx_lm.server --model "$here/model"', options, served)


def _model(served: ServedAdapter) -> str:
    """The model as the script names it: what the environment says, else the Hub's; of a base that nobody else has nothing."""
    if not served.is_adapter:
        return '"$here/model"'
    if served.base.hub_id:
        return f'"${{BASE:-{served.base.hub_id}}}"'
    return f'"${{BASE:?set it to the folder of the base model, {_in_message(served.base.name)}}}"'


def _in_message(name: str) -> str:
    """A foreign name inside `${BASE:?...}` in double quotes: nothing in it is expanded or ends it."""
    return re.sub(r"[^\w./ -]", "_", name)


def _script(engine: str, command: str, options: list[str], served: ServedAdapter) -> str:
    lines = [command, *_in_pairs(options), '"$@"']
    base = "# The base is taken from the environment: BASE=FOLDER_OR_HUB_ID sh THIS_FILE\n" if served.is_adapter else ""
    return (
        f"#!/bin/sh\n# Starts {engine} with the model {shlex.quote(served.name)}, on this machine alone. Further options go "
        f"through.\n{base}set -eu\n{_HERE}\nexec " + " \\\n  ".join(lines) + "\n"
    )


def _in_pairs(options: list[str]) -> list[str]:
    """An option with its value on one line."""
    lines: list[str] = []
    for word in options:
        if word.startswith("--") or not lines or " " in lines[-1]:
            lines.append(word)
        else:
            lines[-1] += f" {word}"
    return lines
