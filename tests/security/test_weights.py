"""Headers of safetensors and GGUF files that lie: refused with a code, or sound for upstream's own reader too."""

import json
import struct
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from gguf.constants import GGML_QUANT_SIZES
from safetensors import SafetensorError, deserialize

from tests.hostile import TRIED, mutants, safetensors
from tunewright.errors import ModelError
from tunewright.security import gate_gguf, safetensors_header
from tunewright.security.gguf_header import BLOCKS

SHAPES = {
    f"model.layers.{name}.weight": shape for name, shape in {"first": (4, 3), "second": (5,), "third": ()}.items()
}
SOUND = safetensors(SHAPES)


def packed(header: Any, data: int) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + b"\0" * data


def entry(shape: Any, begin: Any, end: Any, dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


LIES: dict[str, bytes] = {
    "tensors over each other": packed({"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, 12),
    "the same bytes twice": packed({"a": entry([2], 0, 8), "b": entry([2], 0, 8)}, 8),
    "a hole": packed({"a": entry([2], 0, 8), "b": entry([2], 12, 20)}, 20),
    "a shape that is too large": packed({"a": entry([2**40, 2**40], 0, 8)}, 8),
    "a shape that overflows before its 0": packed({"a": entry([2**62, 2**62, 2**62, 0], 0, 0)}, 0),
    "more axes than a tensor has": packed({"a": entry([1] * 8 + [2], 0, 8)}, 8),
    "a shape that is too small": packed({"a": entry([1], 0, 8)}, 8),
    "a negative side": packed({"a": entry([-2, -1], 0, 8)}, 8),
    "places the wrong way round": packed({"a": entry([2], 8, 0)}, 8),
    "a negative place": packed({"a": entry([2], -8, 0)}, 0),
    "an unknown type": packed({"a": entry([2], 0, 8, "F33")}, 8),
    "a type that is no text": packed({"a": entry([2], 0, 8, ["F32"])}, 8),
    "a truth value as a side": packed({"a": entry([True, 2], 0, 8)}, 8),
    "a decimal side": packed({"a": entry([2.0], 0, 8)}, 8),
    "three places": packed({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4, 8]}}, 8),
    "no places": packed({"a": {"dtype": "F32", "shape": [2]}}, 8),
    "more than is known": packed({"a": {**entry([2], 0, 8), "load": "os.system"}}, 8),
    "a text for a tensor": packed({"a": "b"}, 0),
    "metadata that are no texts": packed({"__metadata__": {"a": 1}, "a": entry([2], 0, 8)}, 8),
    "one name twice": packed(b'{"a":%s,"a":%s}' % ((json.dumps(entry([2], 0, 8)).encode(),) * 2), 8),
    "a list": packed([1], 0),
    "no UTF-8": packed(b'{"\xff":1}', 0),
    "a deep header": packed(b'{"a":' * 40_000 + b"1" + b"}" * 40_000, 0),
    "a number of 5000 digits": packed(b'{"a":' + b"9" * 5000 + b"}", 0),
    "bytes behind the last tensor": packed({"a": entry([2], 0, 8)}, 9),
    "a header longer than the file": struct.pack("<Q", 10**6) + b"{}",
    "a header of 2**64": struct.pack("<Q", 2**64 - 1) + b"{}",
    "nothing": b"",
}  # fmt: skip

BEYOND_UPSTREAM = {"more axes than a tensor has", "more than is known", "one name twice"}


@pytest.mark.parametrize("lie", LIES)
def test_a_header_that_lies_is_refused(tmp_path: Path, lie: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(LIES[lie])
    with pytest.raises(ModelError, match="E309"):
        safetensors_header(path)
    TRIED["safetensors headers"] += 1


@pytest.mark.parametrize("lie", LIES)
def test_only_some_lies_get_past_upstreams_reader(lie: str) -> None:
    """When this fails, safetensors refuses more or less than before, and docs/decisions/0008 has to say so."""
    try:
        deserialize(LIES[lie])
    except SafetensorError:
        assert lie not in BEYOND_UPSTREAM
    else:
        assert lie in BEYOND_UPSTREAM


def test_a_sound_header_is_read(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(SOUND)
    assert {name: tuple(e["shape"]) for name, e in safetensors_header(path).items()} == SHAPES


def test_two_hundred_mutated_headers_are_refused_or_sound_for_upstream(tmp_path: Path) -> None:
    path, refused = tmp_path / "model.safetensors", 0
    head = 8 + struct.unpack("<Q", SOUND[:8])[0]
    for content in mutants(SOUND, 200, head):
        path.write_bytes(content)
        try:
            safetensors_header(path)
        except ModelError as fault:
            assert fault.problems[0].code == "E309"
            refused += 1
        else:
            try:
                deserialize(content)
            except SafetensorError as fault:
                pytest.fail(f"let through, but upstream says {fault}")
        TRIED["safetensors headers"] += 1
    assert 150 < refused < 200, refused


@pytest.fixture(scope="module")
def sound_gguf(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("gguf") / "model.gguf"
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_block_count(2)
    writer.add_float32("llama.rope.freq_base", 10000.0)
    writer.add_bool("tokenizer.ggml.add_bos_token", True)
    writer.add_array("tokenizer.ggml.tokens", ["a", "bc", "d\u00e9"])
    writer.add_array("tokenizer.ggml.scores", [0.5, 1.5, 2.5])
    writer.add_custom_alignment(32)
    writer.add_tensor("token_embd.weight", np.arange(96, dtype=np.float32).reshape(3, 32))
    writer.add_tensor("output_norm.weight", np.ones(32, dtype=np.float32))
    writer.add_tensor("half", np.ones((2, 32), dtype=np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.read_bytes()


def test_a_sound_gguf_file_passes(tmp_path: Path, sound_gguf: bytes) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(sound_gguf)
    gate_gguf(path)
    assert len(gguf.GGUFReader(path).tensors) == 3


def test_three_hundred_mutated_gguf_files_are_refused_or_sound_for_upstream(tmp_path: Path, sound_gguf: bytes) -> None:
    path, refused = tmp_path / "model.gguf", 0
    for content in mutants(sound_gguf, 300, sound_gguf.index(b"half") + 40, seed=1):
        path.write_bytes(content)
        try:
            gate_gguf(path)
        except ModelError as fault:
            assert fault.problems[0].code == "E308"
            refused += 1
        else:
            gguf.GGUFReader(path)  # raises if it finds what the gate did not
        TRIED["GGUF files"] += 1
    assert 150 < refused < 300, refused


def gguf_of(values: bytes = b"", num_values: int = 0, tensors: bytes = b"", num_tensors: int = 0) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, num_tensors, num_values) + values + tensors


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def tensor(name: str, shape: tuple[int, ...], kind: int = 0, offset: int = 0) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


GGUF_LIES = {
    "a text longer than the file": gguf_of(struct.pack("<Q", 2**62), 1),
    "a list of 2**61 numbers": gguf_of(text("k") + struct.pack("<IIQ", 9, 4, 2**61) + b"\0" * 64, 1),
    "a list of 2**61 texts": gguf_of(text("k") + struct.pack("<IIQ", 9, 8, 2**61) + b"\0" * 64, 1),
    "a list of lists": gguf_of(text("k") + struct.pack("<IIQ", 9, 9, 1) + b"\0" * 64, 1),
    "an unknown kind": gguf_of(text("k") + struct.pack("<I", 13) + b"\0" * 64, 1),
    "a key twice": gguf_of((text("k") + struct.pack("<II", 4, 1)) * 2 + b"\0" * 64, 2),
    "an alignment of 3": gguf_of(text("general.alignment") + struct.pack("<II", 4, 3) + b"\0" * 64, 1),
    "an alignment of 0": gguf_of(text("general.alignment") + struct.pack("<II", 4, 0) + b"\0" * 64, 1),
    "an alignment of 2**31": gguf_of(text("general.alignment") + struct.pack("<II", 4, 2**31) + b"\0" * 64, 1),
    "an alignment that is a text": gguf_of(text("general.alignment") + struct.pack("<I", 8) + text("32") * 9, 1),
    "five axes": gguf_of(tensors=tensor("t", (1,) * 5) + b"\0" * 99, num_tensors=1),
    "no axis": gguf_of(tensors=tensor("t", ()) + b"\0" * 99, num_tensors=1),
    "a product beyond 64 bits": gguf_of(tensors=tensor("t", (2**32, 2**32, 2)) + b"\0" * 99, num_tensors=1),
    "a side of nothing": gguf_of(tensors=tensor("t", (0,)) + b"\0" * 99, num_tensors=1),
    "an unknown type": gguf_of(tensors=tensor("t", (4,), 4) + b"\0" * 99, num_tensors=1),
    "half a block": gguf_of(tensors=tensor("t", (16,), 8) + b"\0" * 99, num_tensors=1),
    "a place behind the file": gguf_of(tensors=tensor("t", (4,), 0, 2**40) + b"\0" * 99, num_tensors=1),
    "a place between the steps": gguf_of(tensors=tensor("t", (4,), 0, 4) + b"\0" * 99, num_tensors=1),
    "one over another": gguf_of(tensors=(tensor("t", (16,)) + tensor("u", (16,), 0, 32)) + b"\0" * 200, num_tensors=2),
    "a name twice": gguf_of(tensors=tensor("t", (4,)) + tensor("t", (4,), 0, 32) + b"\0" * 99, num_tensors=2),
    "a name that is no UTF-8": gguf_of(tensors=struct.pack("<Q", 1) + b"\xff" + b"\0" * 99, num_tensors=1),
    "the other byte order": b"GGUF" + struct.pack(">IQQ", 3, 0, 0),
    "2**63 tensors": gguf_of(num_tensors=2**63),
}


@pytest.mark.parametrize("lie", GGUF_LIES)
def test_a_gguf_file_that_lies_is_refused(tmp_path: Path, lie: str) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(GGUF_LIES[lie])
    with pytest.raises(ModelError, match="E308"):
        gate_gguf(path)
    TRIED["GGUF files"] += 1


def test_the_sizes_of_blocks_are_upstreams() -> None:
    assert {int(kind): sizes for kind, sizes in GGML_QUANT_SIZES.items()} == BLOCKS


def test_a_pointer_of_git_lfs_says_how_the_file_is_fetched(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 123\n")
    with pytest.raises(ModelError) as fault:
        safetensors_header(path)
    (problem,) = fault.value.problems
    assert problem.code == "E309"
    assert problem.message().endswith("fetch it with: git lfs pull")
