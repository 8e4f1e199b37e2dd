"""The gate for foreign files."""

import json
import struct
from pathlib import Path

import pytest

from tunewright.errors import ModelError
from tunewright.security import gate_gguf, gate_model_folder, printable, safetensors_header


def folder(tmp_path: Path, **config: object) -> Path:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", **config}))
    return tmp_path


@pytest.mark.parametrize(
    "config",
    [
        {"auto_map": {"AutoModel": "modeling.Model"}},
        {"custom_generate": "repo"},
        {"attn_implementation": "org/kernel"},
        {"_attn_implementation_internal": "org/kernel"},
        {"model_type": "../../evil"},
    ],
)
def test_configs_that_name_code_are_refused(tmp_path: Path, config: dict[str, object]) -> None:
    with pytest.raises(ModelError, match="E307"):
        gate_model_folder(folder(tmp_path, **config))


def test_a_tokenizer_config_that_names_code_is_refused(tmp_path: Path) -> None:
    folder(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"auto_map": {}}))
    with pytest.raises(ModelError, match="E307"):
        gate_model_folder(tmp_path)


def test_pickled_weights_alone_are_refused(tmp_path: Path) -> None:
    folder(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80")
    with pytest.raises(ModelError, match="E303"):
        gate_model_folder(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert gate_model_folder(tmp_path)["model_type"] == "llama"


def test_a_folder_without_config_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="E302"):
        gate_model_folder(tmp_path)


def write_safetensors(path: Path, header: bytes, data: bytes) -> Path:
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)
    return path


def test_headers_that_disagree_with_the_file_are_refused(tmp_path: Path) -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    good = write_safetensors(tmp_path / "good.safetensors", header, b"\0" * 8)
    assert safetensors_header(good)["a"]["shape"] == [2]
    for name, content in {"cut": b"\0" * 7, "long": b"\0" * 9}.items():
        with pytest.raises(ModelError, match="E309"):
            safetensors_header(write_safetensors(tmp_path / f"{name}.safetensors", header, content))
    (tmp_path / "huge.safetensors").write_bytes(struct.pack("<Q", 2**60))
    with pytest.raises(ModelError, match="E309"):
        safetensors_header(tmp_path / "huge.safetensors")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"GGUF",
        b"ELF!" + b"\0" * 20,
        b"GGUF" + struct.pack("<IQQ", 9, 1, 1),
        b"GGUF" + struct.pack("<IQQ", 3, 10**12, 1),
    ],
)
def test_gguf_files_that_cannot_be_sound_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="E308"):
        gate_gguf(path)


def test_control_characters_are_shown_not_obeyed() -> None:
    assert printable("a\x1b[31mb\n") == "a\\x1b[31mb\n"
