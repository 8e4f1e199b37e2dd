"""GGUF files of a merged folder and of an adapter, by llama.cpp's own converters in a child process.

Nothing of theirs is imported here. What they write passes our gate before any engine reads it.
"""

import json
import subprocess
from pathlib import Path

from tunewright.extras.export.converter_failure import converter_failure, last_words
from tunewright.extras.export.effective_alpha import EffectiveAlpha, effective_alpha, lora_config
from tunewright.extras.export.tool_wheels import LLAMA_CPP, fetch_tool
from tunewright.i18n import _
from tunewright.reporting import Reporter
from tunewright.rundir import atomic_io
from tunewright.security import command, gate_gguf, gate_model_folder, safetensors_header, script_command, spawn

CONVERTED = ("f32", "f16", "bf16", "q8_0")
"""What the converter writes by itself."""
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def to_gguf(merged_folder: Path, outfile: Path, quant: str, reporter: Reporter, *, name: str = "") -> None:
    """A merged transformers folder as one GGUF file of the type `quant`; it appears whole or not at all.

    `name` is the model's name in the file; the folder's if it is empty.
    Raises: ExportError E601 (a package is missing), E621 (the converter refused); HubError E704, E706; ModelError E308.
    Cost: the tensors one after the other; on the disk also a 16-bit file while smaller types are made.
    """
    gate_model_folder(merged_folder)
    tool = fetch_tool(LLAMA_CPP, reporter)
    with atomic_io.staging(outfile.parent) as staged:
        written = staged / outfile.name
        as_type = quant if quant in CONVERTED else "f16"
        reporter.note(_("Writing GGUF ({type})").format(type=as_type))
        named = ("--model-name", name) if name else ()
        script = tool / "convert_hf_to_gguf.py"
        _convert(script, written, "--outtype", as_type, *named, str(merged_folder))
        gate_gguf(written)
        if quant not in CONVERTED:
            reporter.note(_("Quantizing to {type}").format(type=quant))
            written = _quantized(written, staged / f"{quant}.gguf", quant)
        atomic_io.move_file(written, outfile)


def _quantized(source: Path, target: Path, quant: str) -> Path:
    """The file in another type, by llama.cpp's own quantizer. Raises: ExportError E621; ModelError E308."""
    process = spawn(
        command("tunewright.extras.export.quantize_worker", str(source), str(target), quant),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    output, _none = process.communicate()
    if process.returncode or not target.is_file():
        raise converter_failure(last_words(output, process.returncode), target.parent)
    gate_gguf(target)
    return target


def adapter_to_gguf(adapter_folder: Path, base_folder: Path, outfile: Path, reporter: Reporter) -> None:
    """A LoRA adapter of PEFT as one GGUF file (fp32), for a GGUF of the base that `base_folder` is the config of.

    One alpha is written for the whole file; where that is not what PEFT computes with, B is rescaled first.
    Raises: ExportError E601, E621; HubError E704, E706; ModelError E308, E309.
    """
    gate_model_folder(base_folder)
    tool = fetch_tool(LLAMA_CPP, reporter)
    reporter.note(_("Writing the adapter as GGUF"))
    with atomic_io.staging(outfile.parent) as staged:
        source = with_one_alpha(adapter_folder, staged / "adapter")
        written = staged / outfile.name
        script = tool / "convert_lora_to_gguf.py"
        _convert(script, written, "--base", str(base_folder), "--outtype", "f32", str(source))
        gate_gguf(written)
        atomic_io.move_file(written, outfile)


def with_one_alpha(adapter: Path, scratch: Path) -> Path:
    """A folder whose `lora_alpha` over the rank is every layer's scale: the adapter's own, or a changed copy in `scratch`."""
    config = lora_config(adapter / CONFIG)
    wanted = effective_alpha(config, safetensors_header(adapter / WEIGHTS))
    if wanted == EffectiveAlpha(float(config["lora_alpha"]), {}):
        return adapter
    request = {"adapter": str(adapter), "target": str(scratch), "alpha": wanted.alpha, "factors": dict(wanted.factors)}
    process = spawn(
        command("tunewright.extras.export.scale_worker"),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    output, _none = process.communicate(json.dumps(request))
    if process.returncode:
        raise converter_failure(last_words(output, process.returncode), scratch.parent)
    return scratch


def run_script(script: Path, *arguments: str) -> str:
    """Run a converter to its end, without network and without the Hub's token; empty, or why it failed in its own words."""
    process = spawn(
        script_command(script, *arguments),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, environment={"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"},
    )  # fmt: skip
    output, _none = process.communicate()
    return last_words(output, process.returncode) if process.returncode else ""


def _convert(script: Path, outfile: Path, *arguments: str) -> None:
    """Raises: ExportError E621; OSError where the disk is full."""
    if words := run_script(script, "--outfile", str(outfile), *arguments):
        raise converter_failure(words, outfile.parent)
