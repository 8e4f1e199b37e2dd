"""The folders of `--to ollama`, `vllm`, `mlx` and `hub`: model files with what starts an engine on them."""

import json
import shutil
import subprocess
from pathlib import Path

from tunewright.data.prompts import shared_system
from tunewright.data.tokenized.tokenizer import load_tokenizer
from tunewright.extras.export.adapter_limits import highest_rank, max_lora_rank
from tunewright.extras.export.converter_failure import converter_failure, last_words
from tunewright.extras.export.export_job import MERGED, ExportJob
from tunewright.extras.export.export_plan import adapter_files
from tunewright.extras.export.gguf import CONFIG, WEIGHTS, with_one_alpha
from tunewright.extras.export.gguf_limits import TOKENIZER_FILES
from tunewright.extras.export.go_templates import compared_template
from tunewright.extras.export.modelfile import Modelfile, context_for
from tunewright.extras.export.start_scripts import ServedAdapter, mlx_script, model_name, sglang_script, vllm_script
from tunewright.extras.export.write_gguf import ADAPTER, BASE, MODEL, write_gguf
from tunewright.i18n import _
from tunewright.launch import adapter_copy
from tunewright.rundir import atomic_io
from tunewright.rundir.base_model import base_of
from tunewright.rundir.checkpoints import read_manifest, seal
from tunewright.security import command, spawn

ADAPTER_FOLDER = "adapter"
TEMPLATE = "chat_template.jinja"


def write_ollama(job: ExportJob) -> None:
    """GGUF and a Modelfile. Raises: as write_gguf."""
    write_gguf(job)
    plan = job.plan.plan
    tokenizer = load_tokenizer(job.plan.run.adapter_dir)
    modelfile = Modelfile(
        model=MODEL if job.plan.merges else BASE,
        adapter="" if job.plan.merges else ADAPTER,
        template=compared_template(tokenizer) if tokenizer.chat_template else None,
        system=shared_system(plan.run.data, plan.run.task),
        stops=tokenizer.end_tokens,
        context=context_for(plan.run.data.max_length, plan.facts.model.max_position_embeddings),
    )
    (job.folder / "Modelfile").write_text(modelfile.text(), encoding="utf-8")


def write_vllm(job: ExportJob) -> None:
    """The adapter or the merged model, its template, and scripts for vLLM and SGLang."""
    if job.plan.merges:
        job.merged(job.folder / MERGED)
        rank = 0
    else:
        _copy_adapter(job, job.folder / ADAPTER_FOLDER)
        rank = max_lora_rank(highest_rank(*adapter_files(job.plan.run)))
    template = _template(job)
    if template:
        (job.folder / TEMPLATE).write_text(template, encoding="utf-8")
    served = ServedAdapter(model_name(job.name), base_of(job.plan.plan), rank, bool(template))
    for name, script in (("serve-vllm.sh", vllm_script(served)), ("serve-sglang.sh", sglang_script(served))):
        _write_script(job.folder / name, script)


def write_mlx(job: ExportJob) -> None:
    """The merged model and a script for mlx-lm."""
    job.merged(job.folder / MERGED)
    served = ServedAdapter(model_name(job.name), base_of(job.plan.plan), 0, has_template=False)
    _write_script(job.folder / "serve-mlx.sh", mlx_script(served))


def write_ct2(job: ExportJob) -> None:
    """The model in CTranslate2's form, with the tokenizer. Raises: ExportError E621 in the converter's own words."""
    with atomic_io.staging(job.folder) as scratch:
        merged = scratch / MERGED
        job.merged(merged)
        job.reporter.note(_("Writing {format}").format(format=job.plan.row.title))
        kind = job.plan.plan.facts.model.kind
        process = spawn(
            command("tunewright.extras.export.ct2_worker", str(merged), str(scratch / "ct2"), job.plan.quant, kind),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, environment={"HF_HUB_OFFLINE": "1"},
        )  # fmt: skip
        output, _none = process.communicate()
        if process.returncode:
            raise converter_failure(last_words(output, process.returncode), scratch)
        for file in (scratch / "ct2").iterdir():
            file.rename(job.folder / file.name)
        for file in merged.iterdir():
            if file.name.startswith(TOKENIZER_FILES):
                shutil.copyfile(file, job.folder / file.name)


def write_peft(job: ExportJob) -> None:
    """The adapter as others can have it, with its card."""
    with atomic_io.staging(job.folder) as scratch:
        copied = scratch / job.plan.target.name  # the card calls it so
        adapter_copy.export(job.plan.run, copied)
        _move(copied, job.folder)


def write_hub(job: ExportJob) -> None:
    """The same, or the merged model."""
    if not job.plan.merges:
        write_peft(job)
        return
    with atomic_io.staging(job.folder) as scratch:
        job.merged(scratch / MERGED)
        _move(scratch / MERGED, job.folder)


def _move(source: Path, target: Path) -> None:
    """The files of a folder into another one."""
    for path in source.iterdir():
        path.rename(target / path.name)


def _template(job: ExportJob) -> str:
    """The chat template that the run was trained with; empty if it has none."""
    return load_tokenizer(job.plan.run.adapter_dir).chat_template or ""


def _write_script(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(path.stat().st_mode | 0o100)


def _copy_adapter(job: ExportJob, target: Path) -> None:
    """The adapter as others can have it, with one alpha that every engine reads alike; sealed.

    SGLang leaves the root of rsLoRA out (sglang #40835), and reads no patterns of alpha.
    """
    adapter_copy.export(job.plan.run, target)
    with atomic_io.staging(job.folder) as scratch:
        changed = with_one_alpha(target, scratch / ADAPTER_FOLDER)
        if changed == target:
            return
        shutil.copyfile(changed / WEIGHTS, target / WEIGHTS)
        shutil.copyfile(changed / CONFIG, target / CONFIG)
        config = json.loads((target / CONFIG).read_text(encoding="utf-8"))
        (target / CONFIG).write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    manifest = read_manifest(target)
    seal(target, run_id=job.plan.run.info().id, step=0, identity=manifest.identity if manifest else {})
