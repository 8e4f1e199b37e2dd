"""An adapter that leaves the machine: no path of it in any file, whole, and loaded by bare PEFT on a base given by hand."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from peft import PeftConfig, PeftModel
from safetensors.torch import load_file

from tunewright import api
from tunewright.config.tasks import TASKS
from tunewright.errors import ConfigError
from tunewright.extras.eject import peft_script
from tunewright.inspection.builtin_models import BUNDLED
from tunewright.planning.run_plan import Plan
from tunewright.rundir.base_model import base_of
from tunewright.rundir.model_card import card

from .test_causal_lm import run_for

IDS = torch.tensor([[5, 6, 7, 8, 9, 11]])


def named(plan: Plan, name: str, folder: str | None = None) -> Plan:
    """The plan with a base that is called otherwise."""
    model = plan.facts.model.model_copy(update={"name": name, "folder": folder or plan.facts.model.folder})
    return plan.model_copy(update={"facts": plan.facts.model_copy(update={"model": model})})


def texts(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("task", "family", "settings"),
    [
        ("causal_lm", "llama", {}),
        ("causal_lm", "qwen2", {"peft.init_lora_weights": "pissa"}),
        ("causal_lm", "llama", {"method": "prompt_tuning", "peft.prompt_tuning_init": "TEXT", "peft.prompt_tuning_init_text": "a"}),
        ("seq_cls", "bert", {}),
        ("token_cls", "bert", {}),
        ("seq2seq", "t5", {}),
    ],
)  # fmt: skip
def test_an_export_holds_no_path_and_loads_elsewhere(
    task: str,
    family: str,
    settings: dict[str, Any],
    tiny_model: Callable[..., Path],
    task_rows: dict[str, Path],
    tmp_path: Path,
) -> None:
    folder = tiny_model(family)
    (folder / "LICENSE").write_text("as you like")
    run = run_for(folder, task_rows[task], tmp_path / "run", task=task, **settings)
    result = run.export(tmp_path / "shared")
    assert (result.base.name, result.base.hub_id, result.place) == (folder.name, "", str(tmp_path / "shared"))
    assert set(result.record.files) == texts(tmp_path / "shared").keys()
    shared = tmp_path / "elsewhere" / "shared"
    shutil.copytree(tmp_path / "shared", shared)

    for place in (str(tmp_path), str(folder), str(Path.home()), os.environ["TUNEWRIGHT_HOME"]):
        assert [name for name, content in texts(shared).items() if place.encode() in content] == []
    assert PeftConfig.from_pretrained(shared).base_model_name_or_path == folder.name
    assert (shared / "LICENSE").read_text() == "as you like"
    assert [(checked.files > 0, checked.faults) for checked in api.verify(shared)] == [(True, ())]
    readme = (shared / "README.md").read_text()
    assert f'"{folder.name}"' in readme and "it has to be obtained from there" in readme

    auto_class = vars(transformers)[TASKS[task].auto_class]
    config = {"config": transformers.AutoConfig.from_pretrained(shared)} if task in ("seq_cls", "token_cls") else {}
    here, there = (
        PeftModel.from_pretrained(auto_class.from_pretrained(folder, **config), place).eval()
        for place in (run.adapter, shared)
    )
    decoder = {"decoder_input_ids": IDS} if task == "seq2seq" else {}
    with torch.no_grad():
        torch.testing.assert_close(there(input_ids=IDS, **decoder).logits, here(input_ids=IDS, **decoder).logits)


def test_inside_a_run_bare_peft_loads_the_adapter_without_a_network(
    tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path
) -> None:
    run = run_for(tiny_model(), shop_rows, tmp_path / "run")
    code = f"from peft import AutoPeftModelForCausalLM as M; M.from_pretrained({str(run.adapter)!r})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_nothing_is_written_over_and_an_unfinished_run_is_refused(
    tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path
) -> None:
    run = run_for(tiny_model(), shop_rows, tmp_path / "run")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.txt").write_text("mine")
    with pytest.raises(ConfigError) as caught:
        run.export(tmp_path / "full")
    assert [problem.code for problem in caught.value.problems] == ["E115"]
    assert texts(tmp_path / "full") == {"a.txt": b"mine"}
    shutil.rmtree(run.adapter)
    with pytest.raises(ConfigError) as caught:
        run.export(tmp_path / "none")
    assert [problem.code for problem in caught.value.problems] == ["E116"]
    assert not (tmp_path / "none").exists()


def test_a_copy_that_was_changed_is_found(tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path) -> None:
    run_for(tiny_model(), shop_rows, tmp_path / "run").export(tmp_path / "shared")
    with (tmp_path / "shared" / "adapter_config.json").open("a") as file:
        file.write(" ")
    assert [fault.file for checked in api.verify(tmp_path / "shared") for fault in checked.faults] == [
        "adapter_config.json"
    ]


def test_each_kind_of_base_is_named_as_others_have_it(
    tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path
) -> None:
    run = run_for(tiny_model(), shop_rows, tmp_path / "run")
    plan = run.dir.plan()
    cached = str(tmp_path / "hub" / "models--Qwen--Qwen3-0.6B" / "snapshots" / "c1899de")
    expected = {
        "smollm2": (
            "HuggingFaceTB/SmolLM2-135M-Instruct",
            "HuggingFaceTB/SmolLM2-135M-Instruct",
            "logits differ a little",
        ),
        "minilm": (BUNDLED["minilm"].repository, BUNDLED["minilm"].repository, "byte for byte"),
        "bert2bert": ("bert2bert", "", "tunewright doctor --fetch bert2bert"),
        "Qwen/Qwen3-0.6B": ("Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B", ""),
        "models/mine": ("mine", "", "it has to be obtained from there"),
        "~/mine.gguf": ("mine.gguf", "", "it has to be obtained from there"),
    }
    for name, (called, hub_id, note) in expected.items():
        named_plan = named(plan, name, cached if name.startswith("Qwen") else None)
        base = base_of(named_plan)
        assert (base.name, base.hub_id) == (called, hub_id)
        assert note in base.note
        for text in (card(named_plan, run.dir), card(named_plan, run.dir, shared_as="shared")):
            assert str(tmp_path) not in text
            assert f'from_pretrained("{called}")' in text
        script = peft_script.render(named_plan, run.dir, has_tests=False, has_pairs=False, pad_id=0)
        is_own = name in ("models/mine", "~/mine.gguf")
        assert (str(plan.facts.model.folder) in script) == is_own, "only the user's own folder is named by its path"
        assert ("required=True" in script) == (name == "bert2bert")
        assert f"default={hub_id!r}" in script or not hub_id


def test_an_ejected_script_takes_its_base_as_an_argument(
    tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path
) -> None:
    folder = tiny_model()
    run = run_for(folder, shop_rows, tmp_path / "run", **{"train.max_steps": 2})
    run.eject(tmp_path / "ejected")
    shutil.copytree(folder, tmp_path / "moved")
    done = subprocess.run(
        [sys.executable, "train.py", "--base", str(tmp_path / "moved")], cwd=tmp_path / "ejected",
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    config = json.loads((tmp_path / "ejected" / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(tmp_path / "moved")
    here, there = (
        load_file(place / "adapter_model.safetensors") for place in (run.adapter, tmp_path / "ejected/adapter")
    )
    assert here.keys() == there.keys()
