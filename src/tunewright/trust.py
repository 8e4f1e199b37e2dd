"""The one gate for foreign files and for processes: everything from outside is checked here before it is used."""

import json
import os
import re
import struct
import subprocess
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from tunewright.errors import Where, error

MAX_JSON_BYTES = 64 * 2**20
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
MODEL_TYPE = re.compile(r"[A-Za-z0-9_.-]+")
NATIVE = ("falcon", "phi", "phi3", "mpt", "starcoder2")
MODULES = (
    "tunewright.flow.supervise",
    "tunewright.engine.worker",
    "tunewright.engine.session",
    "tunewright.engine.probe",
    "tunewright.engine.shapes",
    "tunewright.engine.dequantise",
    "tunewright.engine.bert2bert",
    "tunewright.engine.tokenizer_json",
    "pip",
)


def home() -> Path:
    """Where models, encoded data and measurements are kept: TUNEWRIGHT_HOME, else ~/.cache/tunewright."""
    asked = os.environ.get("TUNEWRIGHT_HOME")
    return Path(asked).expanduser() if asked else Path.home() / ".cache" / "tunewright"


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of a model folder. Raises: ModelError E309 if it is none, or too large."""
    if path.stat().st_size > MAX_JSON_BYTES:
        raise error("E309", file=str(path), reason=f"larger than {MAX_JSON_BYTES} bytes")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as fault:
        raise error("E309", Where(str(path)), file=str(path), reason=str(fault)) from fault
    if not isinstance(value, dict):
        raise error("E309", Where(str(path)), file=str(path), reason="not a JSON object")
    return value


def gate_model_folder(folder: Path) -> dict[str, Any]:
    """The folder's config, once nothing in the folder can run code.

    Raises: ModelError E302 (no config), E303 (pickled weights only), E307 (keys that name code).
    """
    config_path = folder / "config.json"
    if not config_path.is_file():
        raise error("E302", name=str(folder), reason="config.json is missing", builtin="smollm2")
    config = read_json(config_path)
    for name in ("config.json", "tokenizer_config.json", "generation_config.json"):
        path = folder / name
        content = config if name == "config.json" else read_json(path) if path.is_file() else {}
        _refuse_code(path, content)
    has_safe = any(folder.glob("*.safetensors"))
    pickled = [path for path in sorted(folder.iterdir()) if path.suffix in PICKLES and "model" in path.name]
    if pickled and not has_safe:
        raise error("E303", Where(str(pickled[0])), file=str(pickled[0]))
    return config


def _refuse_code(path: Path, content: Mapping[str, Any]) -> None:
    """Keys through which a config reaches an importer (CVE-2026-4372, CVE-2026-5241)."""
    attention = content.get("attn_implementation") or content.get("_attn_implementation")
    # Older repositories of these types carry code beside what transformers has itself; it is never asked for.
    harmless = {"auto_map"} if content.get("model_type") in NATIVE else set()
    suspects = [
        k for k in content if (k in ("auto_map", "custom_generate") and k not in harmless) or k.endswith("_internal")
    ]
    if isinstance(attention, str) and "/" in attention:
        suspects.append("attn_implementation")
    if "model_type" in content and not MODEL_TYPE.fullmatch(str(content["model_type"])):
        suspects.append("model_type")
    if suspects:
        raise error("E307", Where(str(path)), file=str(path), key=suspects[0])


def safetensors_header(path: Path) -> dict[str, Any]:
    """Names, shapes and types of a safetensors file. Raises: ModelError E309 if header and length do not agree."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(8)
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
        if not 2 <= length <= min(size - 8, 100 * 2**20):
            raise error("E309", Where(str(path)), file=str(path), reason="the header is cut or too long")
        try:
            header = json.loads(file.read(length))
        except ValueError as fault:
            raise error("E309", Where(str(path)), file=str(path), reason="the header is not JSON") from fault
    tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
    end = max((entry["data_offsets"][1] for entry in tensors.values()), default=0)
    if 8 + length + end != size:
        raise error("E309", Where(str(path)), file=str(path), reason=f"{8 + length + end} bytes expected, {size} found")
    return tensors


def gate_gguf(path: Path) -> None:
    """Refuse a GGUF file whose header does not hold, before a parser that trusts it sees it. Raises: ModelError E308."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(24)
    if len(head) < 24 or head[:4] != b"GGUF":
        raise error("E308", Where(str(path)), file=str(path), reason="the magic number is missing")
    version, tensors, values = struct.unpack("<IQQ", head[4:])
    if version not in (2, 3):
        raise error("E308", Where(str(path)), file=str(path), reason=f"version {version}")
    if tensors > 100_000 or values > 100_000 or tensors * 24 + values * 13 > size:
        raise error(
            "E308", Where(str(path)), file=str(path), reason=f"{tensors} tensors and {values} values cannot be in it"
        )


def command(module: str, *arguments: str) -> list[str]:
    """The argv that starts one of our own modules; nothing of the user's becomes code or an option."""
    assert module in MODULES, module
    return [sys.executable, "-m", module, *(str(argument) for argument in arguments)]


def spawn(
    argv: Sequence[str],
    *,
    stdin: int | IO[Any] = subprocess.DEVNULL,
    stdout: int | IO[Any] = subprocess.DEVNULL,
    stderr: int | IO[Any] = subprocess.DEVNULL,
    detached: bool = False,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[str]:
    """The only place that starts a process: no shell; detached ones get a session of their own."""
    return subprocess.Popen(
        list(argv),
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        start_new_session=detached,
        env={**os.environ, **(environment or {})},
        text=True,
        encoding="utf-8",
    )


def printable(text: str) -> str:
    """Foreign text for a terminal: control characters shown, not obeyed."""
    return "".join(
        char if char in "\n\t" or not unicodedata.category(char).startswith("C") else repr(char)[1:-1] for char in text
    )
