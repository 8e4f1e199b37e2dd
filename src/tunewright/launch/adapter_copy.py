"""A copy of a run's adapter that leaves this machine: it names its base as others can have it."""

import json
import shutil
from pathlib import Path
from typing import Any

from tunewright.inspection.model_info import ModelInfo
from tunewright.planning.run_plan import Plan
from tunewright.rundir import atomic_io, output_targets
from tunewright.rundir.base_model import BaseReference, base_of
from tunewright.rundir.checkpoints import MANIFEST, read_manifest, seal
from tunewright.rundir.model_card import card
from tunewright.rundir.run_dir import RunDir, unfit
from tunewright.security import check_link, plain_files, read_json

CONFIG = "adapter_config.json"
README = "README.md"
LICENCES = ("LICENSE*", "LICENCE*", "NOTICE*")


def export(run: RunDir, target: Path) -> BaseReference:
    """Write the adapter, its tokenizer, a card and the base's licence into a new folder; how the base is named there.

    No file of it holds a path of this machine. It is sealed like the run's own.
    Raises: ConfigError E115, E116; ModelError E309, E315 for files that are none, or lead out; TrainingError E520, E524.
    """
    if not run.adapter_dir.is_dir():
        raise unfit(run, "export")
    plan = run.plan()
    target = output_targets.output_folder(target)
    base = base_of(plan)
    with run.private(), atomic_io.staging(target.parent) as staged:
        _copy(run.adapter_dir, staged, plan, base)
        text = card(plan, run, run.result().baseline, shared_as=target.name)
        (staged / README).write_text(text, encoding="utf-8")
        manifest = read_manifest(run.adapter_dir)
        seal(staged, run_id=run.info().id, step=0, identity=manifest.identity if manifest else {})
        atomic_io.publish_folder(staged, target)
    return base


def _copy(source: Path, target: Path, plan: Plan, base: BaseReference) -> None:
    for file in plain_files(source):  # a run may come from anybody, and what is copied is given away
        if file.suffix == ".json" and file.name not in (MANIFEST, "tokenizer.json"):
            content = _portable(read_json(file), plan.facts.model, base.name)
            if file.name == CONFIG:
                content |= {
                    "base_model_name_or_path": base.name,
                    "revision": (base.hub_id and plan.run.model.revision) or None,
                }
            (target / file.name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        elif file.name not in (MANIFEST, README):
            shutil.copyfile(file, target / file.name)
    for pattern in LICENCES:
        for file in Path(plan.facts.model.folder).glob(pattern):
            check_link(Path(plan.facts.model.folder), file)
            if file.is_file():
                shutil.copyfile(file, target / file.name)


def _portable(value: Any, model: ModelInfo, name: str) -> Any:
    """JSON in which a folder of the base on this machine is the base's name."""
    if isinstance(value, dict):
        return {key: _portable(item, model, name) for key, item in value.items()}
    if isinstance(value, list):
        return [_portable(item, model, name) for item in value]
    return name if value in (model.folder, model.tokenizer_folder) else value
