"""The cache of encoded rows: what does not hold is made anew, another model is another key, and it can be done without."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.collecting_reporter import CollectingReporter
from tunewright import api
from tunewright.data.tokenized.tokenizer import TextTokenizer, load_tokenizer
from tunewright.engine.training.dataset import TokenizedDataset, prepare
from tunewright.errors import DataError
from tunewright.launch import start_run
from tunewright.planning.run_plan import Plan
from tunewright.reporting import SILENT, Reporter
from tunewright.rundir.run_dir import RunDir

Begun = tuple[Plan, RunDir]


def begun(folder: Path, rows: Path, output: Path) -> Begun:
    named = {"model.name": str(folder), "data.train": str(rows), "run.output_dir": str(output)}
    loaded = api.load(named=named)
    plan = api.plan(loaded)
    return plan, start_run.create(loaded, plan, force=True, reporter=SILENT)


def prepared(run: Begun, reporter: Reporter = SILENT) -> TokenizedDataset:
    plan, folder = run
    return prepare(plan, folder, load_tokenizer(Path(plan.facts.model.folder)), reporter)


@pytest.fixture
def run(tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path) -> Begun:
    return begun(tiny_model("llama"), shop_rows, tmp_path / "run")


@pytest.mark.parametrize(
    "content", ["", "[]", '{"account": {}}', '{"account": {"rows": 7}, "left_out": [], "sha256": "x"}']
)
@pytest.mark.parametrize("name", ["account.json", "train-00000.rows"])
def test_what_does_not_hold_is_made_anew(run: Begun, home: Path, name: str, content: str) -> None:
    first = prepared(run)
    assert not run[1].data_summary().from_cache
    (home / "encoded" / run[1].data_summary().key / name).write_text(content)
    again = prepared(run)
    assert not run[1].data_summary().from_cache
    assert (again.summary, list(again.train)) == (first.summary, list(first.train))
    prepared(run)
    assert run[1].data_summary().from_cache


def test_counts_that_were_changed_by_hand_are_not_believed(run: Begun, home: Path) -> None:
    rows = prepared(run).summary.rows
    path = home / "encoded" / run[1].data_summary().key / "account.json"
    stored = json.loads(path.read_text())
    stored["account"]["rows"] = 7
    path.write_text(json.dumps(stored))
    assert prepared(run).summary.rows == rows


def test_a_cache_that_cannot_be_written_is_noted_and_done_without(
    run: Begun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a-file").write_text("")
    monkeypatch.setenv("TUNEWRIGHT_HOME", str(tmp_path / "a-file"))
    reporter = CollectingReporter()
    assert prepared(run, reporter).summary.rows == 40
    assert len(reporter.notes) == 1 and "a-file" in reporter.notes[0]


def test_a_template_that_writes_a_token_by_name_is_not_taken_for_the_one_of_a_model_with_another_token(
    tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path
) -> None:
    """tokenizer.json, template and end ids are the same; what `bos_token` stands for is in tokenizer_config.json."""
    rows = []
    for token in ("<|im_start|>", "<|endoftext|>"):
        folder = tmp_path / token.strip("<|>")
        shutil.copytree(tiny_model("llama"), folder)
        template = folder / "chat_template.jinja"
        template.write_text("{{ bos_token }}" + template.read_text())
        config = folder / "tokenizer_config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | {"bos_token": token}))
        rows.append(prepared(begun(folder, shop_rows, tmp_path / f"run-{token.strip('<|>')}")).train)
    assert rows[0][0].input_ids[1:] == rows[1][0].input_ids[1:]
    assert rows[0][0].input_ids[0] != rows[1][0].input_ids[0]


def test_rows_of_a_resized_model_are_not_taken_for_one_that_is_not(
    tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    """Same rows, same tokenizer, another embedding: what one may use is behind the end of the other."""
    uncut, cut = tmp_path / "whole", tmp_path / "cut"
    shutil.copytree(tiny_model("llama"), uncut)
    tokenizer = AutoTokenizer.from_pretrained(uncut)
    model = AutoModelForCausalLM.from_pretrained(uncut)
    model.resize_token_embeddings(100)
    shutil.copytree(uncut, cut)
    model.save_pretrained(cut)
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"prompt": f"z{n}", "completion": "answer"}) + "\n" for n in range(20)))
    assert max(tokenizer("answer").input_ids) >= 100
    first = begun(uncut, rows, tmp_path / "first")
    prepared(first)
    with pytest.raises(DataError, match="E250"):
        begun(cut, rows, tmp_path / "second")
    fewer = first[0].facts.model.model_copy(update={"vocab_size": 100})
    plan = first[0].model_copy(update={"facts": first[0].facts.model_copy(update={"model": fewer})})
    with pytest.raises(DataError, match="E250"):
        prepared((plan, first[1]))


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many texts were encoded each time that some were."""
    sizes: list[int] = []
    encode = TextTokenizer.encode_batch

    def counted(tokenizer: TextTokenizer, texts: Sequence[str], **options: bool) -> object:
        sizes.extend([len(texts)] if texts else [])
        return encode(tokenizer, texts, **options)

    monkeypatch.setattr(TextTokenizer, "encode_batch", counted)
    return sizes


def test_check_plan_and_run_encode_the_rows_once_whatever_is_cut(
    tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path, encoded: list[int]
) -> None:
    api.data_check(str(shop_rows), model=str(tiny_model("llama")))
    first = list(encoded)
    assert len(first) == 2  # training and held-out rows
    uncut = prepared(begun(tiny_model("llama"), shop_rows, tmp_path / "uncut"))
    named = {
        "model.name": str(tiny_model("llama")),
        "data.train": str(shop_rows),
        "run.output_dir": str(tmp_path / "cut"),
    }
    loaded = api.load(named={**named, "data.max_length": 150, "data.max_truncated": 1.0})
    plan = api.plan(loaded)
    cut = prepared((plan, start_run.create(loaded, plan, force=True, reporter=SILENT)))
    assert encoded == first
    assert cut.summary.counts["truncated"] > 0 == uncut.summary.counts["truncated"]
    assert [row.input_ids for row in cut.train] == [row.input_ids[:150] for row in uncut.train]


@pytest.mark.parametrize("kept", ["rows", "nothing", "of others"])
def test_rows_from_the_cache_are_those_that_would_be_made(
    tiny_model: Callable[..., Path], tmp_path: Path, home: Path, encoded: list[int], kept: str
) -> None:
    """Also their notes: thinking, joined turns; what is damaged or of other rows is made anew."""
    rows = tmp_path / "rows.jsonl"
    turns = [
        {"role": "user", "content": "question"},
        {"role": "user", "content": "another"},
        {"role": "assistant", "content": "<think>so</think>answer"},
    ]
    rows.write_text(
        "".join(json.dumps({"messages": [{**turns[0], "content": f"n {n}"}, *turns[1:]]}) + "\n" for n in range(30))
    )
    first = api.data_check(str(rows), model=str(tiny_model("llama"))).validated
    files = sorted((home / "encoded_rows").iterdir())
    assert len(files) == 2
    for file, other in zip(files, reversed(files), strict=True):
        if kept == "nothing":
            file.write_bytes(file.read_bytes()[:-1])
        elif kept == "of others":
            file.with_suffix(".moved").write_bytes(other.read_bytes())
    for moved in (home / "encoded_rows").glob("*.moved"):
        moved.rename(moved.with_suffix(".rows"))
    encoded.clear()
    again = api.data_check(str(rows), model=str(tiny_model("llama"))).validated
    assert bool(encoded) == (kept != "rows")
    assert again.summary == first.summary
    assert list(again.train) == list(first.train) and list(again.held_out) == list(first.held_out)
    assert [row.notes for row in again.train] == [row.notes for row in first.train]
    assert any(row.notes for row in first.train)


def test_another_rule_is_another_key(
    tiny_model: Callable[..., Path], shop_rows: Path, encoded: list[int], home: Path
) -> None:
    settings: list[dict[str, object]] = [
        {}, {"data.train_on": "all"}, {"data.thinking": "mask"}, {"data.holdout": 0.3}, {"train.data_seed": 9},
        {"model.chat_template": "plain"},
    ]  # fmt: skip
    for number, change in enumerate(settings, 1):
        named = {"model.name": str(tiny_model("llama")), "data.train": str(shop_rows), **change}
        api.plan(api.load(named=named))
        assert len(encoded) == 2 * number, change
        assert len(list((home / "encoded_rows").iterdir())) == 2 * number
