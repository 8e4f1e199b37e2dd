"""Names to folders, against a Hub that is made up."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError

from tunewright.errors import TunewrightError
from tunewright.flow import fetch


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
        fetch.resolve_model("owner/name", None, offline=offline, note=lambda text: None)
    assert caught.value.problems[0].code == code
    assert caught.value.exit_code == exit_code


def test_a_plan_of_a_hub_model_reads_headers_and_no_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[dict[str, Any]] = []

    def behaviour(*_: Any, **options: Any) -> str:
        asked.append(options)
        return str(tmp_path)

    tensor = SimpleNamespace(shape=[4, 8], dtype="BF16")
    metadata = SimpleNamespace(files_metadata={"model.safetensors": SimpleNamespace(tensors={"a.weight": tensor})})
    answer(monkeypatch, behaviour)
    monkeypatch.setattr(huggingface_hub, "get_safetensors_metadata", lambda *_, **__: metadata)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    folder, tensors = fetch.resolve_model("owner/name", "abc", offline=False, note=lambda text: None)
    assert (folder, tensors) == (tmp_path, {"a.weight": ([4, 8], "BF16")})
    assert asked[0]["revision"] == "abc"
    assert not any("safetensors" in pattern for pattern in asked[0]["allow_patterns"])
    fetch.fetch_weights("owner/name", "abc", offline=False, note=lambda text: None)
    assert "*.safetensors" in asked[1]["allow_patterns"]


@pytest.mark.parametrize("name", ["no-such-thing", "./missing/folder", "missing.gguf", "../up", "a b/c"])
def test_what_is_no_model_is_said_so(name: str) -> None:
    with pytest.raises(TunewrightError, match="E302"):
        fetch.resolve_model(name, None, offline=True, note=lambda text: None)


def test_the_built_in_model_is_not_fetched_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEWRIGHT_HOME", str(tmp_path))
    with pytest.raises(TunewrightError, match="E701"):
        fetch.resolve_model("smollm2", None, offline=True, note=lambda text: None)


def test_a_file_with_other_bytes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"other")
    with pytest.raises(TunewrightError, match="E704"):
        fetch._check(tmp_path / "x", "0" * 64)
