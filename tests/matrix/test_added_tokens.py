"""Tokens that were added without resizing the model: told by name in data check and plan, with lines that work."""

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from tunewright import api
from tunewright.errors import DataError, Problem

from .test_causal_lm import run_for

ROWS = [{"prompt": f"<|order|> teapot {n}", "completion": f"<|item|> teapot {n}"} for n in range(24)]


@pytest.fixture
def added(tiny_model: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """A tiny model of 512 ids whose tokenizer got tokens with ids from 512 on."""

    def build(tokens: list[str], family: str = "llama", **special: str) -> Path:
        folder = tmp_path / "model"
        shutil.copytree(tiny_model(family), folder)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        tokenizer.add_tokens([f"<|fill{n}|>" for n in range(512 - len(tokenizer))])
        tokenizer.add_special_tokens({"additional_special_tokens": tokens, **special})
        tokenizer.save_pretrained(folder)
        return folder

    return build


def write_rows(path: Path, rows: list[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def refused(folder: Path, data: Path, **settings: object) -> Problem:
    """The problem, which data check and plan must tell alike."""
    (problem,) = api.data_check(data, str(folder), **settings).stopping
    with pytest.raises(DataError) as caught:
        api.plan(api.load(named={"model.name": str(folder), "data.train": str(data), **settings}))
    assert caught.value.problems == (problem,)
    assert (problem.code, caught.value.exit_code) == ("E250", 4)
    return problem


def test_they_are_named_and_the_pasted_lines_lead_to_a_run_that_learns_them(
    added: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, data = added(["<|order|>", "<|item|>"]), write_rows(tmp_path / "rows.jsonl", ROWS)
    problem = refused(folder, data)
    assert problem.values["names"] == "<|order|> (512), <|item|> (513)"
    assert problem.values["rows"] == 512
    command, then = problem.fixes()
    monkeypatch.chdir(tmp_path)
    subprocess.run([sys.executable, *shlex.split(command)[1:]], check=True, capture_output=True)
    flag = shlex.split(then.partition("with ")[2])[1]
    assert flag == "peft.trainable_token_indices=[512,513]"
    check = api.data_check(data, "resized")
    assert (check.stopping, check.warnings) == ((), ())  # tokens added on purpose are no marks that slipped in
    run = run_for(
        tmp_path / "resized",
        data,
        tmp_path / "run",
        **{"train.max_steps": 2, "peft.trainable_token_indices": [512, 513]},
    )
    assert run.state == "finished"


def test_tokens_that_no_row_uses_are_no_matter(added: Callable[..., Path], tmp_path: Path) -> None:
    rows = [{"prompt": f"teapot {n}", "completion": f"teapot {n}"} for n in range(24)]
    check = api.data_check(write_rows(tmp_path / "rows.jsonl", rows), str(added(["<|order|>"])))
    assert check.stopping == ()


def test_a_padding_token_without_a_row_is_told_though_it_stands_in_no_row(
    added: Callable[..., Path], tmp_path: Path
) -> None:
    rows = [{"prompt": f"teapot {n}", "completion": f"teapot {n}"} for n in range(24)]
    problem = refused(added([], pad_token="[NEWPAD]"), write_rows(tmp_path / "rows.jsonl", rows))
    assert problem.values["names"] == "[NEWPAD] (512)"


def test_an_encoder_is_resized_without_a_head(added: Callable[..., Path], tmp_path: Path) -> None:
    rows = [{"text": f"<|order|> {n}", "label": "ab"[n % 2]} for n in range(24)]
    problem = refused(added(["<|order|>"], "bert"), write_rows(tmp_path / "rows.jsonl", rows), task="seq_cls")
    assert "AutoModel.from_pretrained" in shlex.split(problem.fixes()[0])[2]


@pytest.mark.parametrize("mark", ["<|im_end|>", "<|im_start|>", "<|endoftext|>"])
def test_marks_of_template_and_configs_are_still_told(
    tiny_model: Callable[..., Path], tmp_path: Path, mark: str
) -> None:
    rows = [{"prompt": f"{mark} {n}", "completion": f"yes {n}"} for n in range(24)]
    warnings = api.data_check(write_rows(tmp_path / "rows.jsonl", rows), str(tiny_model("llama"))).warnings
    assert "W215" in [problem.code for problem in warnings]


@pytest.mark.parametrize("ends", [[-5, True], [10**30, 2], 99999])
def test_ends_of_generation_that_are_no_tokens_do_no_harm(
    tiny_model: Callable[..., Path], tmp_path: Path, ends: object
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model("llama"), folder)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": ends}))
    rows = [{"prompt": f"teapot {n}", "completion": f"teapot {n}"} for n in range(24)]
    assert api.data_check(write_rows(tmp_path / "rows.jsonl", rows), str(folder)).stopping == ()
