"""The folders of `--to gguf` and `--to ollama`."""

from pathlib import Path

from tunewright.extras.export.export_job import MERGED, ExportJob
from tunewright.extras.export.gguf import adapter_to_gguf, to_gguf
from tunewright.extras.export.original_gguf import copy_original
from tunewright.rundir import atomic_io

MODEL, BASE, ADAPTER = "model.gguf", "base.gguf", "adapter.gguf"


def write_gguf(job: ExportJob) -> None:
    """model.gguf, or base.gguf and adapter.gguf. Raises: ExportError E602, E621; HubError E704, E706; ModelError E308."""
    plan = job.plan
    with atomic_io.staging(job.folder) as scratch:
        if plan.merges:
            job.merged(scratch / MERGED)
            to_gguf(scratch / MERGED, job.folder / MODEL, plan.quant, job.reporter, name=job.name)
            return
        if not (plan.uses_original and copy_original(plan.plan, job.folder / BASE, job.reporter)):
            base = job.base_with_tokenizer(scratch / MERGED)
            to_gguf(base, job.folder / BASE, plan.quant, job.reporter, name=Path(plan.plan.facts.model.name).name)
        adapter_to_gguf(plan.run.adapter_dir, Path(plan.plan.facts.model.folder), job.folder / ADAPTER, job.reporter)
