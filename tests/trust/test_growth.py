"""Tokenizers whose replacements multiply a text are refused before any text is given to them."""

import json
from pathlib import Path

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, normalizers

from tunewright.data.tokenizer import load_tokenizer
from tunewright.errors import ModelError
from tunewright.trust import growth


def saved(folder: Path, backend: Tokenizer) -> Path:
    backend.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "</s>"}))
    return folder


def doubling(times: int) -> Tokenizer:
    backend = Tokenizer(models.WordLevel({"</s>": 0}, unk_token="</s>"))
    backend.normalizer = normalizers.Sequence([normalizers.Replace("a", "aa")] * times)
    return backend


def test_forty_doublings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"E304.*times longer"):
        load_tokenizer(saved(tmp_path, doubling(40)))


def test_so_are_those_of_a_decoder_and_of_patterns(tmp_path: Path) -> None:
    backend = doubling(0)
    backend.normalizer = None
    backend.decoder = decoders.Sequence([decoders.Replace(Regex("a+"), "a" * 100)])
    with pytest.raises(ModelError, match="E304"):
        load_tokenizer(saved(tmp_path, backend))


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
    assert growth(backend.normalizer.__getstate__()) == 1.0
    assert load_tokenizer(saved(tmp_path, backend)).end_ids == (0,)
