"""The GGUF files of served runs: made by an export once, and kept by what they were made from."""

import hashlib
import json
from pathlib import Path

from tunewright.extras.export import export_run
from tunewright.extras.export.export_plan import ExportPlan, make_export_plan
from tunewright.extras.export.gguf import adapter_to_gguf
from tunewright.extras.export.tool_wheels import LLAMA_CPP
from tunewright.extras.export.write_gguf import ADAPTER, BASE, MODEL
from tunewright.launch.session_client import SessionClient
from tunewright.reporting import Reporter
from tunewright.rundir import atomic_io
from tunewright.rundir.checkpoints import MANIFEST, sha256
from tunewright.rundir.run_dir import RunDir
from tunewright.security import cache_faults, home


def gguf_plan(run: RunDir, quant: str | None, *, is_alone: bool) -> ExportPlan:
    """How the run becomes GGUF: the adapter on the base's own file where it came as one, merged otherwise; several as adapters."""
    as_adapter = make_export_plan(run, "gguf", Path(MODEL), as_="adapter", quant=quant)
    if not is_alone or (not as_adapter.problems and as_adapter.uses_original):
        return as_adapter
    return make_export_plan(run, "gguf", Path(MODEL), as_="merged", quant=quant)


def gguf_folder(plan: ExportPlan) -> Path:
    """Where the run's files are kept, by all that they depend on."""
    manifest = plan.run.adapter_dir / MANIFEST
    adapter = sha256(manifest) if manifest.is_file() else ""
    parts = [plan.run.info().id, adapter, plan.way, plan.quant, LLAMA_CPP.version]
    name = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
    return home() / "served" / name


def is_made(plan: ExportPlan) -> bool:
    """Whether the run was turned into GGUF before."""
    return any((gguf_folder(plan) / name).is_file() for name in (MODEL, BASE, ADAPTER))


def make_model(plan: ExportPlan, reporter: Reporter) -> None:
    """model.gguf, or base.gguf and adapter.gguf. Raises: as `extras.export.export_run.export`."""
    folder = gguf_folder(plan)
    if (folder / (MODEL if plan.merges else BASE)).is_file():
        return
    with cache_faults():
        atomic_io.make_folder(folder.parent)
        if folder.exists():  # its adapter alone, of a time when it was not the first
            atomic_io.remove_folder(folder)
    quant = None if plan.uses_original else plan.quant
    with SessionClient(plan.run) as session:
        export_run.export(
            plan.run, session, "gguf", folder, as_=plan.way, quant=quant, check=False, reporter=reporter
        )  # fmt: skip


def make_adapter(plan: ExportPlan, reporter: Reporter) -> None:
    """adapter.gguf alone, for a base that is there. Raises: ExportError E621; ModelError E308."""
    folder = gguf_folder(plan)
    if (folder / ADAPTER).is_file():
        return
    with cache_faults():
        atomic_io.make_folder(folder)
    adapter_to_gguf(plan.run.adapter_dir, Path(plan.plan.facts.model.folder), folder / ADAPTER, reporter)
