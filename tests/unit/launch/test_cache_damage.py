"""A file of the cache that was cut, changed, or replaced ends no command and is not believed; it is made anew."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.collecting_reporter import CollectingReporter
from tunewright.data.tokenized.tokenized_cache import dump, parse
from tunewright.data.tokenized.tokenized_example import TokenizedExample
from tunewright.inspection import machine_info
from tunewright.launch import quickstart_tasks, resolve_model
from tunewright.rundir import atomic_io, base_fingerprint
from tunewright.rundir.checkpoints import seal, sha256
from tunewright.rundir.encoded_rows import EncodedRows
from tunewright.security import home, seal_object, unseal_object

PROBE: dict[str, Any] = {
    "device": "cpu",
    "device_name": "CPU",
    "memory_bytes": 0,
    "flops": {"fp32": 2e11, "bf16": 1e11},
}
HARMS = (
    b"",
    b"{",
    b"[]",
    b"7",
    b"null",
    b'{"sha256": 3}',
    b"\x00" * 9,
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"a": NaN}',
    None,
)


def put(path: Path, content: bytes | None) -> None:
    path.unlink(missing_ok=True)
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)


@pytest.mark.parametrize("harm", HARMS)
def test_a_sealed_object_holds_or_is_none(tmp_path: Path, harm: bytes | None) -> None:
    path = tmp_path / "a.json"
    atomic_io.write_cached(path, seal_object(path, {"value": 1}))
    assert unseal_object(path) == {"value": 1}
    put(path, harm)
    assert unseal_object(path) is None
    atomic_io.write_cached(path, seal_object(path, {"value": 2}))
    assert unseal_object(path) == {"value": 2}


def test_every_changed_byte_and_every_other_name_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    sealed = seal_object(path, {"value": 17, "name": "x"})
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1
        path.write_bytes(changed)
        value = unseal_object(path)
        assert value in (None, {"value": 17, "name": "x"}), changed  # white space may be another one
    (tmp_path / "b.json").write_bytes(sealed)
    assert unseal_object(tmp_path / "b.json") is None


@pytest.mark.parametrize("harm", HARMS)
def test_encoded_rows_hold_or_are_none(tmp_path: Path, harm: bytes | None) -> None:
    store, rows = EncodedRows([]), [TokenizedExample(7, [1, 2], [-100, 2], 1, 2, notes=frozenset({"thinking"}))]
    store.write("k" * 32, dump(rows, "k" * 32))
    (path,) = (home() / "encoded_rows").iterdir()
    kept = store.read("k" * 32)
    assert kept
    held = list(parse(kept, "k" * 32) or [])
    assert held == rows and held[0].notes == {"thinking"}
    assert parse(kept, "j" * 32) is None and store.read("j" * 32) is None
    for place in range(0, len(kept), 7):
        changed = bytearray(kept)
        changed[place] ^= 1
        found = parse(bytes(changed), "k" * 32)
        assert found is None or list(found) == rows, place
    put(path, harm)
    damaged = store.read("k" * 32)
    assert damaged is None or parse(damaged, "k" * 32) is None
    store.write("k" * 32, dump(rows, "k" * 32))
    assert store.read("k" * 32) == kept


@pytest.mark.parametrize("harm", HARMS)
def test_speed_files_are_as_they_were_measured_or_not_there(harm: bytes | None) -> None:
    probe, factors = machine_info.probe_path(), machine_info.factors_path()
    atomic_io.write_cached(probe, seal_object(probe, PROBE))
    atomic_io.write_cached(factors, seal_object(factors, {"k": 1.5}))
    known = machine_info.read_probe()
    assert known and known.flops == PROBE["flops"] and machine_info.read_factor("k") == 1.5
    for path, value in ((probe, {**PROBE, "flops": {"fp32": 9e13}}), (factors, {"k": 3.0})):
        digest = json.loads(path.read_bytes())["sha256"]
        path.write_text(json.dumps({**value, "sha256": digest}))
    assert (machine_info.read_probe(), machine_info.read_factor("k")) == (None, 1.0)
    put(probe, harm)
    put(factors, harm)
    assert (machine_info.read_probe(), machine_info.read_factors()) == (None, {})


@pytest.mark.parametrize("flops", [{"fp32": 0}, {"fp32": -1}, {"fp32": 1e400}, {"fp32": "fast"}, [], 10**400])
def test_speeds_that_no_machine_has_are_not_taken_even_if_written_by_hand(flops: Any) -> None:
    atomic_io.write_cached(machine_info.probe_path(), json.dumps({**PROBE, "flops": flops}).encode())
    atomic_io.write_cached(machine_info.factors_path(), json.dumps({"k": flops}).encode())
    assert (machine_info.read_probe(), machine_info.read_factors()) == (None, {})


def test_a_digest_that_was_changed_is_read_anew(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"weights")
    assert base_fingerprint.digest(file) == sha256(file)
    place = base_fingerprint._place(file)
    stored = json.loads(place.read_bytes())
    for harm in (json.dumps({**stored, "content": "0" * 64}).encode(), *HARMS):
        put(place, harm)
        assert base_fingerprint.digest(file) == sha256(file)
        assert unseal_object(place) is not None


@pytest.mark.parametrize("harm", ["changed", "missing", "extra", "manifest"])
def test_a_folder_of_the_cache_that_was_changed_is_made_anew(tmp_path: Path, harm: str) -> None:
    folder, reporter = tmp_path / "model", CollectingReporter()
    folder.mkdir()
    (folder / "tokenizer.json").write_text("{}")
    assert resolve_model._is_intact(folder, reporter)  # put there by hand
    seal(folder, run_id="", step=0, identity={})
    assert resolve_model._is_intact(folder, reporter) and reporter.notes == []
    if harm == "changed":
        (folder / "tokenizer.json").write_text("[]")
    elif harm == "missing":
        (folder / "tokenizer.json").unlink()
    elif harm == "extra":
        (folder / "chat_template.jinja").write_text("{{ 1 }}")
    else:
        (folder / "manifest.json").write_text("{}")
    assert not resolve_model._is_intact(folder, reporter) and len(reporter.notes) == 1


def test_generated_rows_that_were_changed_are_written_anew() -> None:
    train, _held_out = quickstart_tasks.write_demo(42)
    whole = train.read_bytes()
    for harm in (b"", whole[:100], None):
        put(train, harm)
        assert quickstart_tasks.write_demo(42)[0].read_bytes() == whole
