"""Configs that reach an importer, links and names that leave the folder: refused before anything is opened."""

from pathlib import Path
from typing import Any

import pytest

from tests.hostile import CONFIG, TRIED, model_folder, safetensors, write_json
from tunewright.errors import ModelError
from tunewright.inspection.model_info import read_model
from tunewright.security import gate_model_folder

CODE: tuple[dict[str, Any], ...] = (
    {"auto_map": {"AutoModelForCausalLM": "modeling_evil.Model"}},
    {"auto_map": {"AutoConfig": "other/repository--configuration.Config"}},
    {"custom_generate": "other/repository"},
    {"_attn_implementation_internal": "other/kernel"},
    {"_experts_implementation_internal": "other/kernel"},
    {"whatever_internal": 1},
    {"attn_implementation": "other/kernel:function"},
    {"_attn_implementation": "other/kernel@main"},
    {"attn_implementation": {"text_config": "other/kernel"}},
    {"experts_implementation": "other/kernel"},
)
TYPES = ("../../evil", "a/b", "", "llama\n", "llama evil", 7, ["llama"], "..\\evil", "a:b")
FILES = (
    "config.json", "tokenizer_config.json", "generation_config.json", "processor_config.json",
    "preprocessor_config.json", "video_preprocessor_config.json",
)  # fmt: skip


def deep(content: dict[str, Any], depth: int) -> dict[str, Any]:
    for key in ("text_config", "decoder", "layers")[:depth]:
        content = {key: [content] if key == "layers" else content}
    return content


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
@pytest.mark.parametrize("name", FILES)
def test_keys_that_name_code_are_refused_in_every_config_at_every_depth(tmp_path: Path, name: str, depth: int) -> None:
    folder = model_folder(tmp_path / "model")
    for code in CODE:
        content = {**(CONFIG if name == "config.json" else {}), **deep(code, depth)}
        write_json(folder / name, content)
        with pytest.raises(ModelError, match="E307") as caught:
            gate_model_folder(folder)
        assert name in caught.value.problems[0].message()
        TRIED["config keys"] += 1


@pytest.mark.parametrize("depth", [0, 1])
def test_types_that_are_no_plain_names_are_refused(tmp_path: Path, depth: int) -> None:
    folder = model_folder(tmp_path / "model")
    for kind in (kind for kind in TYPES if kind or not depth):  # a part of a config may have none
        write_json(folder / "config.json", {**CONFIG, **deep({"model_type": kind}, depth)})
        with pytest.raises(ModelError, match="E307"):
            gate_model_folder(folder)
        TRIED["config keys"] += 1


def test_a_sound_folder_passes(tmp_path: Path) -> None:
    assert gate_model_folder(model_folder(tmp_path))["model_type"] == "llama"
    assert read_model(tmp_path, "sound").num_layers == 2


def test_a_family_of_transformers_may_carry_its_older_code_unused(tmp_path: Path) -> None:
    folder = model_folder(tmp_path, model_type="phi3", auto_map={"AutoConfig": "configuration_phi3.Phi3Config"})
    assert gate_model_folder(folder)["model_type"] == "phi3"


def test_an_adapter_is_no_base_whose_own_base_would_be_followed(tmp_path: Path) -> None:
    write_json(model_folder(tmp_path) / "adapter_config.json", {"base_model_name_or_path": "other/model"})
    with pytest.raises(ModelError, match=r"E302.*adapter"):
        gate_model_folder(tmp_path)
    TRIED["config keys"] += 1


@pytest.mark.parametrize(
    "change",
    [
        {"architectures": "Llama"}, {"architectures": [1]}, {"architectures": {}}, {"text_config": []},
        {"text_config": 5}, {"encoder": "x"}, {"a": {"b": [[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]}},
    ],
)  # fmt: skip
def test_values_of_another_kind_are_told_and_no_traceback(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="E309"):
        read_model(model_folder(tmp_path, **change), "odd")
    TRIED["config keys"] += 1


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"7", b"\xff\xfe", b"{", b"[" * 100_000, b'{"a":' * 50_000, b"1" * 5000, b"nul"],
)
def test_what_is_no_json_object_is_damaged(tmp_path: Path, content: bytes) -> None:
    (model_folder(tmp_path) / "config.json").write_bytes(content)
    with pytest.raises(ModelError, match="E309"):
        gate_model_folder(tmp_path)
    TRIED["config keys"] += 1


@pytest.mark.parametrize("target", ["/etc/passwd", "/dev/zero", "../secret.json", "../model-other/config.json"])
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors", "extra.txt", "sub"])
def test_links_that_leave_the_folder_are_refused(tmp_path: Path, name: str, target: str) -> None:
    folder = model_folder(tmp_path / "model")
    write_json(tmp_path / "secret.json", CONFIG)
    write_json(tmp_path / "model-other/config.json", CONFIG)
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(target)
    with pytest.raises(ModelError, match="E315"):
        gate_model_folder(folder)
    TRIED["links"] += 1


def test_links_inside_the_folder_and_a_folder_that_is_a_link_are_fine(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "model")
    (folder / "model.safetensors").rename(folder / "weights.data")
    (folder / "model.safetensors").symlink_to("weights.data")
    (tmp_path / "named").symlink_to(folder)
    assert gate_model_folder(tmp_path / "named")["model_type"] == "llama"


def hub_cache(tmp_path: Path) -> Path:
    """A snapshot as huggingface_hub lays it out: links into the blobs of its repository."""
    repository = tmp_path / "models--owner--name"
    source = model_folder(tmp_path / "source")
    snapshot = repository / "snapshots/0123456789abcdef"
    (repository / "blobs").mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for number, path in enumerate(sorted(source.iterdir())):
        path.rename(repository / f"blobs/{number}")
        (snapshot / path.name).symlink_to(f"../../blobs/{number}")
    return snapshot


def test_a_snapshot_of_the_hubs_cache_works(tmp_path: Path) -> None:
    snapshot = hub_cache(tmp_path)
    assert gate_model_folder(snapshot)["model_type"] == "llama"
    assert read_model(snapshot, "owner/name").num_layers == 2


def test_a_snapshot_may_not_link_into_another_repository(tmp_path: Path) -> None:
    snapshot = hub_cache(tmp_path)
    (tmp_path / "models--other--name/blobs").mkdir(parents=True)
    write_json(tmp_path / "models--other--name/blobs/x", CONFIG)
    (snapshot / "config.json").unlink()
    (snapshot / "config.json").symlink_to("../../../models--other--name/blobs/x")
    with pytest.raises(ModelError, match="E315"):
        gate_model_folder(snapshot)
    TRIED["links"] += 1


@pytest.mark.parametrize(
    "shard",
    [
        "../up.safetensors", "/abs/model.safetensors", "sub/model.safetensors", "a\\b.safetensors", "C:x.safetensors",
        "..", ".", "", "a\0b", "a\nb", 5, None, ["x"], "./model.safetensors", "../model/model.safetensors",
    ],
)  # fmt: skip
def test_shards_are_plain_names_in_the_folder(tmp_path: Path, shard: Any) -> None:
    folder = model_folder(tmp_path / "model")
    (tmp_path / "up.safetensors").write_bytes(safetensors({"a": (1,)}))
    write_json(folder / "model.safetensors.index.json", {"weight_map": {"a": "model.safetensors", "b": shard}})
    with pytest.raises(ModelError, match="E315"):
        read_model(folder, "sharded")
    TRIED["shard names"] += 1


@pytest.mark.parametrize("index", [{}, {"weight_map": []}, {"weight_map": {}}, {"weight_map": "model.safetensors"}])
def test_an_index_that_is_none_is_damaged(tmp_path: Path, index: dict[str, Any]) -> None:
    write_json(model_folder(tmp_path) / "model.safetensors.index.json", index)
    with pytest.raises(ModelError, match="E309"):
        read_model(tmp_path, "sharded")
    TRIED["shard names"] += 1


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pth", "model.ckpt", "model.pkl"])
def test_pickled_weights_are_refused_with_what_to_do(tmp_path: Path, name: str) -> None:
    folder = model_folder(tmp_path)
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(b"\x80\x04cposix\nsystem\n(S'touch canary'\ntR.")
    with pytest.raises(ModelError, match="E303") as caught:
        gate_model_folder(folder)
    assert "safe_serialization" in caught.value.problems[0].fixes()[0]
    TRIED["pickles"] += 1
