"""An adapter's folder named as a model or as a run is known for what it is, with commands that lead on."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from tunewright import api
from tunewright.errors import ModelError, Problem
from tunewright.launch import resolve_model
from tunewright.reporting import SILENT
from tunewright.rundir import run_dir

PEFT = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": "owner/base", "r": 16}


def adapter(folder: Path, **fields: Any) -> Path:
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps(PEFT | fields))
    return folder


def as_model(folder: Path) -> Problem:
    with pytest.raises(ModelError) as caught:
        resolve_model.resolve_model(str(folder), None, offline=True, reporter=SILENT)
    (problem,) = caught.value.problems
    assert problem.code == "E322"
    return problem


def as_run(folder: Path) -> Problem:
    with pytest.raises(ModelError) as caught:
        run_dir.open_run(str(folder))
    (problem,) = caught.value.problems
    assert problem.code == "E323"
    return problem


@pytest.mark.parametrize("ask", [as_model, as_run])
def test_method_rank_and_base_are_told(tmp_path: Path, ask: Any) -> None:
    problem = ask(adapter(tmp_path / "peft adapter"))
    assert f"{tmp_path}/peft adapter is an adapter (LORA, r=16) for owner/base" in problem.message()
    command = problem.fixes()[0].partition("   ")[0]
    python, dash, code = shlex.split(command)
    assert (python, dash) == ("python", "-c")
    compile(code, "fix", "exec")
    assert "AutoPeftModelForCausalLM.from_pretrained" in code
    assert "AutoTokenizer.from_pretrained('owner/base')" in code


def test_the_tokenizer_beside_the_adapter_comes_first(tmp_path: Path) -> None:
    folder = adapter(tmp_path / "unsloth", base_model_name_or_path="unsloth/base-bnb-4bit")
    (folder / "tokenizer_config.json").write_text("{}")
    assert f"AutoTokenizer.from_pretrained('{folder}')" in shlex.split(as_model(folder).fixes()[0])[2]


@pytest.mark.parametrize("fields", [{"peft_type": "ADALORA", "r": None, "init_r": 12}, {"peft_type": "IA3", "r": None}])
def test_other_methods_have_other_ranks(tmp_path: Path, fields: dict[str, Any]) -> None:
    rank = fields.get("init_r") or "-"
    assert f"({fields['peft_type']}, r={rank})" in as_model(adapter(tmp_path / "a", **fields)).message()


def test_an_adapter_without_a_base_has_no_command(tmp_path: Path) -> None:
    problem = as_model(adapter(tmp_path / "a", base_model_name_or_path=None, task_type=None))
    assert not any("python -c" in fix for fix in problem.fixes())


@pytest.mark.parametrize("part", ["adapter", "checkpoints/checkpoint-5"])
def test_an_adapter_of_a_run_leads_to_the_run(tmp_path: Path, part: str) -> None:
    run = tmp_path / "my run"
    folder = adapter(run / part)
    (run / "run.json").write_text("{}")
    assert as_model(folder).fixes()[0] == f"tunewright merge '{run}' merged   then: tunewright train merged DATA"
    assert as_run(folder).fixes()[0] == f"name the run that it belongs to: '{run}'"


def test_a_run_is_no_model_either(tmp_path: Path) -> None:
    run = tmp_path / "run"
    adapter(run / "adapter")
    (run / "run.json").write_text("{}")
    assert as_model(run).fixes()[0].startswith(f"tunewright merge {run} merged")


def test_verify_still_asks_for_the_manifest(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="E607"):
        api.verify(str(adapter(tmp_path / "plain")))
