"""Tokenizers that multiply texts or never end are refused before any row is given to them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from tests.hostile import TRIED, model_folder, tokenizer_folder
from tunewright import api
from tunewright.data.tokenized import tokenizer_sandbox
from tunewright.data.tokenized.tokenizer import load_tokenizer
from tunewright.errors import ModelError
from tunewright.launch import resolve_model
from tunewright.reporting import SILENT
from tunewright.security.normalizer_growth import growth
from tunewright.security.processes import tried

State = dict[str, Any]


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer_sandbox, "SECONDS", 2)


def saved(folder: Path, backend: Tokenizer) -> Path:
    folder.mkdir(exist_ok=True)
    backend.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "</s>"}))
    return folder


def plain() -> Tokenizer:
    return Tokenizer(models.WordLevel({"</s>": 0}, unk_token="</s>"))


def doubling(times: int) -> Tokenizer:
    backend = plain()
    backend.normalizer = normalizers.Sequence([normalizers.Replace("a", "aa")] * times)
    return backend


def decoding() -> Tokenizer:
    backend = plain()
    backend.decoder = decoders.Sequence([decoders.Replace(Regex("a+"), "a" * 100)])
    return backend


def bytes_of_bytes() -> Tokenizer:
    """Each step writes two characters for one that is not ASCII, and those are not ASCII either."""
    backend = plain()
    backend.normalizer = normalizers.Sequence([normalizers.ByteLevel()] * 30)
    return backend


def pieces_of_bytes() -> Tokenizer:
    backend = plain()
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)] * 30
    )
    return backend


def backtracking() -> Tokenizer:
    """The library gives up on it and panics."""
    backend = plain()
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"(a|aa|aaa)+$!"), "isolated")
    return backend


def words_without_end() -> Tokenizer:
    """WordPiece looks for the longest piece by trying all: cubic in a word if none is too long for it."""
    return Tokenizer(models.WordPiece({"[UNK]": 0, "a": 1, "##a": 2, "</s>": 3}, max_input_chars_per_word=10**9))


EXPLOSIVE: dict[str, Callable[[], Tokenizer]] = {
    "forty doublings": lambda: doubling(40),
    "a decoder's replacement": decoding,
    "bytes of bytes": bytes_of_bytes,
    "pieces of bytes of bytes": pieces_of_bytes,
    "a pattern that backtracks": backtracking,
    "a word of any length": words_without_end,
}


def template(step: list[Any]) -> State:
    special = {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}}
    pair = [{"Sequence": {"id": name, "type_id": 0}} for name in "AB"]
    return {"type": "TemplateProcessing", "single": step, "pair": pair, "special_tokens": special}


TEXT, SPECIAL = {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "<s>", "type_id": 0}}
EXPLOSIVE_STATES: dict[str, State] = {
    "the text a thousand times": {"post_processor": template([TEXT] * 1_000)},
    "three hundred thousand special tokens": {"post_processor": template([SPECIAL] * 300_000 + [TEXT])},
    "steps that the library does not know together": {
        "post_processor": {"type": "Sequence", "processors": [template([SPECIAL, TEXT, SPECIAL])] * 2}
    },
}


def refusal(folder: Path) -> str:
    with pytest.raises(ModelError, match="E330") as caught:
        load_tokenizer(folder)
    TRIED["tokenizers"] += 1
    return caught.value.problems[0].message()


@pytest.mark.parametrize("kind", EXPLOSIVE)
def test_what_multiplies_a_text_or_never_ends_is_refused(tmp_path: Path, kind: str) -> None:
    folder = saved(tmp_path / "model", EXPLOSIVE[kind]())
    reason = refusal(folder)
    assert any(words in reason for words in ("times longer", "tokens of a text", "takes more than", "fails on"))


@pytest.mark.parametrize("kind", EXPLOSIVE_STATES)
def test_so_are_post_processors_that_do_or_fail(tmp_path: Path, kind: str) -> None:
    backend = plain()
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    folder = saved(tmp_path / "model", backend)
    state = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps({**state, **EXPLOSIVE_STATES[kind]}))
    refusal(folder)


def test_a_replacement_of_a_rare_word_is_tried_with_that_word(tmp_path: Path) -> None:
    backend = plain()
    steps = [normalizers.Replace(f"zyzzyva{i}", f"zyzzyva{i + 1}" * 8) for i in range(12)]
    backend.normalizer = normalizers.Sequence(steps)
    assert growth(json.loads(backend.normalizer.__getstate__())) > 64
    refusal(saved(tmp_path / "model", backend))


def test_a_text_that_it_cannot_encode_is_told(tmp_path: Path) -> None:
    without_unknown = Tokenizer(models.WordLevel({"</s>": 0, "a": 1}, unk_token="<none>"))
    tokenizer = load_tokenizer(saved(tmp_path / "model", without_unknown))
    assert tokenizer.encode("a") == [1]
    for encode in (lambda: tokenizer.encode("b" * 99), lambda: tokenizer.encode_batch(["a", "b" * 99])):
        with pytest.raises(ModelError, match="E331") as caught:
            encode()
        assert "b" * 40 in caught.value.problems[0].message()
    TRIED["tokenizers"] += 2


REAL_PATTERNS = {
    "gpt-4": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "gpt-2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
}  # fmt: skip


@pytest.mark.parametrize("name", REAL_PATTERNS)
def test_patterns_of_well_known_models_pass(tmp_path: Path, name: str) -> None:
    backend = plain()
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(REAL_PATTERNS[name]), "isolated")
    assert load_tokenizer(saved(tmp_path / "model", backend)).encode("Why not?") == [0, 0, 0]


def test_no_verb_gives_a_text_to_it(tmp_path: Path) -> None:
    model = model_folder(tmp_path / "model")
    state = json.loads((model / "tokenizer.json").read_text())
    state["normalizer"] = json.loads(doubling(40).normalizer.__getstate__())  # type: ignore[union-attr]
    (model / "tokenizer.json").write_text(json.dumps(state))
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "a", "completion": "b"}\n' * 9)
    with pytest.raises(ModelError, match="E330"):
        api.data_check(str(rows), str(model))
    with pytest.raises(ModelError, match="E330"):
        api.plan(api.load(named={"model.name": str(model), "data.train": str(rows)}))


def test_a_file_too_large_is_not_opened(tmp_path: Path) -> None:
    folder = tokenizer_folder(tmp_path / "model")
    with (folder / "tokenizer.json").open("r+b") as file:
        file.truncate(tokenizer_sandbox.MAX_BYTES + 1)
    assert "larger than 256 MB" in refusal(folder)


@pytest.mark.parametrize("name", ["vocab.json", "merges.txt", "tokenizer.model"])
def test_nor_is_an_older_file_too_large_converted(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolve_model, "run_to_end", lambda *_arguments, **_values: pytest.fail("it was opened"))
    (tmp_path / "vocab.json").write_text("{}")
    with (tmp_path / name).open("wb") as file:
        file.truncate(64 * 2**30)
    with pytest.raises(ModelError, match=r"E330.*larger than 256 MB"):
        resolve_model.with_tokenizer_json(tmp_path, SILENT)


def test_what_tokenizers_really_do_passes(tmp_path: Path) -> None:
    backend = doubling(2)
    backend.normalizer = normalizers.Sequence(
        [
            normalizers.NFKC(),
            normalizers.Replace(Regex(" {2,}"), " "),
            normalizers.Prepend("▁"),
            normalizers.Replace(" ", "▁"),
        ]
    )
    assert growth(json.loads(backend.normalizer.__getstate__())) == 1.0
    assert load_tokenizer(saved(tmp_path / "model", backend)).end_ids == (0,)


def test_a_hundred_thousand_added_tokens_are_many_and_no_harm(tmp_path: Path) -> None:
    backend = plain()
    backend.add_tokens([AddedToken(f"<extra_{i}>") for i in range(100_000)])
    assert load_tokenizer(saved(tmp_path / "model", backend)).backend.get_vocab_size() == 100_001


def test_a_sound_tokenizer_is_tried_once(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "tried").unlink()  # which knows what other tests tried
    trials: list[str] = []

    def counted(module: str, request: State) -> State | None:
        trials.append(module)
        return tried(module, request)

    monkeypatch.setattr(tokenizer_sandbox, "tried", counted)
    folder = tokenizer_folder(tmp_path / "model", None)
    for _ in range(3):
        load_tokenizer(folder)
    assert trials == ["tunewright.data.tokenized.tokenizer_sandbox"]
    state = json.loads((folder / "tokenizer.json").read_text())
    state["normalizer"] = json.loads(doubling(40).normalizer.__getstate__())  # type: ignore[union-attr]
    (folder / "tokenizer.json").write_text(json.dumps(state))
    for _ in range(2):
        refusal(folder)
    assert len(trials) == 3
