"""What is made once and kept: named by everything it is made of, whole or not there; and folders that cannot be written."""

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from tunewright.data.examples.formats import Message
from tunewright.data.tokenized.tokenizer import load_tokenizer
from tunewright.errors import TunewrightError
from tunewright.launch import resolve_model
from tunewright.reporting import SILENT

pytestmark = pytest.mark.processes

TURN = [Message("user", "hello world")]


@pytest.fixture(scope="session")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """A byte-level vocabulary with its merges."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=special, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(["hello world hello"], trainer)
    folder = tmp_path_factory.mktemp("vocabulary")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
    stored: dict[str, object] = json.loads((folder / "tokenizer.json").read_text())["model"]
    return {**stored, "special": special}


def older(folder: Path, vocabulary: dict[str, object], end: str, template: str, merges: int) -> Path:
    """A model folder of the time before tokenizer.json."""
    folder.mkdir()
    vocab = dict(vocabulary["vocab"])  # type: ignore[call-overload]
    (folder / "vocab.json").write_text(json.dumps(vocab))
    lines = [" ".join(merge) for merge in list(vocabulary["merges"])[:merges]]  # type: ignore[call-overload]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *lines]) + "\n")
    config = {"tokenizer_class": "GPT2Tokenizer", "eos_token": end, "chat_template": template}
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"unk_token": "<|endoftext|>"}))
    (folder / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    return folder


def test_equal_vocabularies_with_other_merges_ends_and_templates_are_two_tokenizers(
    tmp_path: Path, vocabulary: dict[str, object]
) -> None:
    plain = "{% for m in messages %}BASE {{ m['content'] }}{{ eos_token }}{% endfor %}"
    base = older(tmp_path / "base", vocabulary, "<|endoftext|>", plain, 1000)
    turns = "{% for m in messages %}<|im_start|>{{ m['content'] }}<|im_end|>{% endfor %}"
    instruct = older(tmp_path / "instruct", vocabulary, "<|im_end|>", turns, 2)
    base_tokenizer, other_tokenizer = (
        load_tokenizer(resolve_model.with_tokenizer_json(folder, SILENT)) for folder in (base, instruct)
    )
    assert base_tokenizer.render(TURN) == "BASE hello world<|endoftext|>"
    assert other_tokenizer.render(TURN) == "<|im_start|>hello world<|im_end|>"
    assert base_tokenizer.end_ids != other_tokenizer.end_ids
    assert len(base_tokenizer.encode("hello world")) < len(other_tokenizer.encode("hello world"))


def test_one_file_more_or_a_byte_changed_makes_it_anew_and_nothing_else_does(
    tmp_path: Path, vocabulary: dict[str, object]
) -> None:
    folder = older(tmp_path / "base", vocabulary, "<|endoftext|>", "{{ messages }}", 1000)
    first = resolve_model.with_tokenizer_json(folder, SILENT)
    assert resolve_model.with_tokenizer_json(folder, lambda text: pytest.fail(text)) == first
    (folder / "chat_template.jinja").write_text("{{ messages[0]['content'] }}!")
    second = resolve_model.with_tokenizer_json(folder, SILENT)
    assert second != first
    assert load_tokenizer(second).render(TURN) == "hello world!"


def test_a_conversion_that_fails_leaves_nothing(
    tmp_path: Path, vocabulary: dict[str, object], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = older(tmp_path / "base", vocabulary, "<|endoftext|>", "{{ messages }}", 1000)

    def half(argv: list[str], code: str, **values: str) -> None:
        (Path(argv[-1]) / "tokenizer.json").write_text("{")
        raise KeyboardInterrupt

    with monkeypatch.context() as cut, pytest.raises(KeyboardInterrupt):
        cut.setattr(resolve_model, "run_to_end", half)
        resolve_model.with_tokenizer_json(folder, SILENT)
    assert list((home / "tokenizers").iterdir()) == []
    assert load_tokenizer(resolve_model.with_tokenizer_json(folder, SILENT)).end_ids


@pytest.mark.parametrize("place", ["a-file", "/proc/nope"])
@pytest.mark.parametrize("model", ["smollm2", "older"])
def test_a_cache_folder_that_cannot_be_written_is_named(
    tmp_path: Path, vocabulary: dict[str, object], monkeypatch: pytest.MonkeyPatch, place: str, model: str
) -> None:
    (tmp_path / "a-file").write_text("")
    path = Path(tmp_path, place)
    monkeypatch.setenv("TUNEWRIGHT_HOME", str(path))
    folder = older(tmp_path / "base", vocabulary, "<|endoftext|>", "{{ messages }}", 1000)
    with pytest.raises(TunewrightError) as caught:
        if model == "older":
            resolve_model.with_tokenizer_json(folder, SILENT)
        else:
            resolve_model.resolve_model(model, None, offline=False, reporter=SILENT)
    (problem,) = caught.value.problems
    assert (problem.code, problem.values["path"]) == ("E517", str(path))
    assert "TUNEWRIGHT_HOME" in problem.fixes()[0]


@pytest.mark.parametrize(
    ("offline", "variable", "why"),
    [(True, "", "--offline is set"), (False, "1", "HF_HUB_OFFLINE=1"), (False, "true", "HF_HUB_OFFLINE=TRUE")],
)
def test_why_nothing_is_fetched_is_said_truly(
    monkeypatch: pytest.MonkeyPatch, offline: bool, variable: str, why: str
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", variable)
    with pytest.raises(TunewrightError) as caught:
        resolve_model.resolve_model("owner/name", None, offline=offline, reporter=SILENT)
    assert caught.value.problems[0].message() == f"owner/name is not on this machine, and nothing is fetched: {why}"
