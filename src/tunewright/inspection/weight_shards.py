"""Which files make up a model, and whether an index is right about them. By headers only."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from tunewright.errors import Where, error
from tunewright.inspection.tensor_names import listed
from tunewright.security import TensorEntry, python_line, read_json, safetensors_header, shards

Headers = dict[str, TensorEntry]
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
SHARD = re.compile(r"-(\d{5})-of-(\d{5})\.safetensors$")


def headers(folder: Path) -> Headers:
    """Shape, type and place of every tensor in a folder's weights. Raises: ModelError E309, E315, E320, E325, E326."""
    by_file = {path.name: safetensors_header(path) for path in weight_files(folder)}
    if SINGLE not in by_file and by_file:
        _check_index(folder, by_file)
    return {name: entry for header in by_file.values() for name, entry in header.items()}


def weight_files(folder: Path) -> list[Path]:
    """The files that transformers loads: model.safetensors, or else those that the index names; none in a folder without.

    Raises: ModelError E309, E315; E320 for files that the index names and that are not there; E326 for weights that are
    under other names, which transformers does not look for.
    """
    index, single = folder / INDEX, folder / SINGLE
    if single.exists():
        return [single]
    if not index.is_file():
        present = sorted(folder.glob("*.safetensors"))
        if present:
            raise _unnamed(folder, present)
        return []
    files = shards(index)
    missing = [file.name for file in files if not file.exists()]
    if missing:
        raise error("E320", Where(str(index)), count=len(missing), files=", ".join(missing[:3]), index=str(index))
    return files


def _unnamed(folder: Path, present: Sequence[Path]) -> Exception:
    """E326: weights that no index names, with what makes them a model where all of them are there."""
    values: dict[str, object] = {"folder": str(folder), "files": listed([path.name for path in present])}
    matches = [SHARD.search(path.name) for path in present]
    numbers = {(int(match[1]), int(match[2])) for match in matches if match}
    if len(present) == 1 and numbers <= {(1, 1)}:
        values["rename"] = python_line(
            "from pathlib import Path", f"Path({str(present[0])!r}).rename({str(folder / SINGLE)!r})"
        )
    elif all(matches):
        count = max(count for _number, count in numbers)
        lost = [number for number in range(1, count + 1) if (number, count) not in numbers]
        if lost:
            values["lost"] = listed([f"{number:05d}-of-{count:05d}" for number in lost])
        else:
            values["command"] = _writes_index(folder)
    return error("E326", Where(str(folder)), **values)


def _check_index(folder: Path, by_file: Mapping[str, Headers]) -> None:
    """Raises: ModelError E325 for tensors that are not in the file that the index names for them."""
    index = folder / INDEX
    places: dict[str, str] = read_json(index)["weight_map"]
    wrong = [name for name, file in places.items() if name not in by_file[file]]
    if not wrong:
        return
    values = {"count": len(wrong), "index": str(index), "names": listed([f"{name} ({places[name]})" for name in wrong])}
    if all(any(name in header for header in by_file.values()) for name in wrong):
        values["command"] = _writes_index(folder)
    raise error("E325", Where(str(index)), **values)


def _writes_index(folder: Path) -> str:
    """The command that writes an index by what the files hold."""
    return python_line(
        "import json, pathlib, safetensors as s",
        f"d = pathlib.Path({str(folder)!r})",
        "m = {k: f.name for f in sorted(d.glob('*-of-*.safetensors')) for k in s.safe_open(f, 'np').keys()}",
        f"(d / '{INDEX}').write_text(json.dumps({{'metadata': {{}}, 'weight_map': m}}))",
    )
