"""The built-in models that are no chat models: fetched once from the package index, then loaded by stock transformers."""

from pathlib import Path

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    GenerationConfig,
)

from tests.real_model import REAL_HOME, fetched
from tunewright.data import demo_data
from tunewright.data.tokenized.tokenizer import TextTokenizer, load_tokenizer
from tunewright.engine.models import encoder_decoder
from tunewright.inspection.builtin_models import BUNDLED, Wheel
from tunewright.rundir.checkpoints import MANIFEST, sha256

CLS, SEP, PAD = 101, 102, 0


@pytest.fixture(scope="module")
def minilm() -> Path:
    return fetched("minilm")


@pytest.fixture(scope="module")
def joined(minilm: Path) -> Path:
    return fetched("bert2bert")


@pytest.fixture(scope="module")
def tokenizer(joined: Path) -> TextTokenizer:
    return load_tokenizer(joined)


def test_minilm_is_the_packed_files_and_nothing_else(minilm: Path) -> None:
    source = BUNDLED["minilm"].source
    assert isinstance(source, Wheel)
    # Beside the packed files stands our own list of them, where the folder was fetched since there is one.
    assert {path.name: sha256(path) for path in minilm.iterdir() if path.name != MANIFEST} == source.files
    assert source.files["model.safetensors"] == BUNDLED["minilm"].weights_sha256


def test_minilms_texts_end_with_the_separator_and_are_not_cut(minilm: Path) -> None:
    tokenizer = load_tokenizer(minilm)
    assert (tokenizer.end_ids, tokenizer.pad_id) == ((SEP,), PAD)
    ids = tokenizer.encode("word " * 300, add_special_tokens=True)
    assert (len(ids), ids[0], ids[-1]) == (302, CLS, SEP)


@pytest.mark.parametrize("auto_class", [AutoModelForSequenceClassification, AutoModelForTokenClassification])
def test_minilm_takes_a_head(minilm: Path, auto_class: type) -> None:
    model, info = auto_class.from_pretrained(minilm, num_labels=6, output_loading_info=True)
    assert all(name.startswith("classifier.") for name in info["missing_keys"])
    assert model(input_ids=torch.tensor([[CLS, 7592, SEP]])).logits.shape[-1] == 6


def test_bert2bert_knows_where_a_text_starts_and_ends(joined: Path, tokenizer: TextTokenizer) -> None:
    for config in (AutoConfig.from_pretrained(joined), GenerationConfig.from_pretrained(joined)):
        ids = (config.decoder_start_token_id, config.bos_token_id, config.eos_token_id, config.pad_token_id)
        assert ids == (CLS, CLS, SEP, PAD)
    assert (tokenizer.end_ids, tokenizer.pad_id) == ((SEP,), PAD)
    assert str(REAL_HOME) not in "".join(path.read_text() for path in joined.glob("*.json"))


def test_bert2bert_is_minilm_twice_and_writes(minilm: Path, joined: Path) -> None:
    model, info = AutoModelForSeq2SeqLM.from_pretrained(joined, output_loading_info=True)
    assert not info["missing_keys"]
    for half in (model.encoder, model.decoder.bert):
        weights = half.state_dict()
        for name, weight in AutoModel.from_pretrained(minilm).state_dict().items():
            assert name.startswith("pooler.") or torch.equal(weights[name], weight), name
    generated = model.generate(input_ids=torch.tensor([[CLS, 7592, SEP]]), max_new_tokens=4, do_sample=False)
    assert generated.shape[1] <= 5
    assert generated[0, 0] == CLS


def test_bert2bert_is_the_same_wherever_it_is_built(joined: Path, minilm: Path, tmp_path: Path) -> None:
    encoder_decoder.join(minilm, tmp_path / "again")
    assert sha256(tmp_path / "again" / "model.safetensors") == sha256(joined / "model.safetensors")
    assert sha256(joined / "model.safetensors") == BUNDLED["bert2bert"].weights_sha256
    assert [path.name for path in tmp_path.iterdir()] == ["again"]


def test_a_build_that_breaks_off_leaves_nothing(minilm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(encoder_decoder.atomic_io, "publish_folder", full)
    with pytest.raises(OSError, match="no space"):
        encoder_decoder.join(minilm, tmp_path / "never")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("split", ["train", "held_out"])
def test_bert2berts_tokenizer_gives_the_demos_targets_back(tokenizer: TextTokenizer, split: demo_data.Split) -> None:
    for row in demo_data.generate(split, 600):
        target = demo_data.as_pair(row)["target"]
        assert tokenizer.decode(tokenizer.encode(target)) == target
