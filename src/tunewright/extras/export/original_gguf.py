"""The GGUF file that a run's base came as, if it came as one: an adapter on that very file keeps every answer.

A base that is quantized anew after a merge does not: 40 of 40 answers equal with the adapter on the original Q4_1 of SmolLM2,
31 of 40 with a new Q4_0 of the merged model (two cores of a Xeon, November 2026).
"""

import shutil
import tempfile
from pathlib import Path

from tunewright.extras.export.tool_wheels import wheel_file
from tunewright.inspection.builtin_models import BUNDLED, Wheel
from tunewright.launch.resolve_model import extract_files, installed_copy
from tunewright.planning.run_plan import Plan
from tunewright.reporting import Reporter
from tunewright.rundir.checkpoints import sha256
from tunewright.security import cache_faults, home


def _wheel(plan: Plan) -> tuple[Wheel, str] | None:
    """The wheel and the file's name in it, of a built-in model that comes as GGUF."""
    model = BUNDLED.get(plan.facts.model.name)
    if model is None or not isinstance(model.source, Wheel):
        return None
    name = next((name for name in model.source.files if name.endswith(".gguf")), None)
    return (model.source, name) if name else None


def _own_file(plan: Plan) -> Path | None:
    """The user's file, if it is still the one that the base was unpacked from: its digest is in the folder's name."""
    path, folder = Path(plan.facts.model.name).expanduser(), Path(plan.facts.model.folder)
    if path.suffix != ".gguf" or not path.is_file():
        return None
    return path if folder.name == f"gguf-{sha256(path)[:16]}" else None


def original_bytes(plan: Plan) -> int:
    """About how large the file is; 0 where the base did not come as GGUF, or its file has gone."""
    if bundled := _wheel(plan):
        return bundled[0].num_bytes  # a GGUF hardly becomes smaller in a wheel
    path = _own_file(plan)
    return path.stat().st_size if path else 0


def copy_original(plan: Plan, target: Path, reporter: Reporter) -> bool:
    """Put the base's own GGUF at `target`; whether there is one. Raises: HubError E704, E706."""
    if path := _own_file(plan):
        shutil.copyfile(path, target)
        return True
    bundled = _wheel(plan)
    if bundled is None:
        return False
    wheel, name = bundled
    if folder := installed_copy(wheel):
        shutil.copyfile(folder / name, target)
        return True
    (home() / "downloads").mkdir(parents=True, exist_ok=True)
    with cache_faults(), tempfile.TemporaryDirectory(dir=home() / "downloads") as scratch:
        extract_files(wheel_file(wheel, plan.facts.model.name, Path(scratch), reporter), wheel, Path(scratch))
        shutil.move(Path(scratch) / name, target)
    return True
