"""The commands that an adapter's folder is answered with are pasted, and lead to a model that is trained on."""

import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

from tunewright import api
from tunewright.errors import ModelError

from .test_causal_lm import run_for


def refused(folder: Path, rows: Path) -> list[str]:
    with pytest.raises(ModelError) as caught:
        api.plan(api.load(named={"model.name": str(folder), "data.train": str(rows)}))
    (problem,) = caught.value.problems
    assert problem.code == "E322"
    return problem.fixes()


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        output: torch.Tensor = model.eval()(torch.tensor([[5, 6, 7, 8]])).logits
    return output


def test_an_adapter_of_pefts_is_merged_by_the_pasted_line_and_trained_on(
    tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, folder = tiny_model("llama"), tmp_path / "their adapter"
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base), LoraConfig(r=4, task_type="CAUSAL_LM", init_lora_weights=False)
    )
    model.save_pretrained(folder)
    command = refused(folder, shop_rows)[0].partition("   ")[0]
    monkeypatch.chdir(tmp_path)
    subprocess.run([sys.executable, *shlex.split(command)[1:]], check=True, capture_output=True)
    adapted = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder)
    torch.testing.assert_close(
        logits(AutoModelForCausalLM.from_pretrained("merged")), logits(adapted), atol=1e-5, rtol=0
    )
    assert run_for(tmp_path / "merged", shop_rows, tmp_path / "run", **{"train.max_steps": 2}).state == "finished"


def test_our_own_adapter_leads_to_a_merge_that_is_trained_on(
    tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path
) -> None:
    run = run_for(tiny_model("llama"), shop_rows, tmp_path / "run")
    merge, target = shlex.split(refused(run.adapter, shop_rows)[0].partition("   ")[0])[1:3]
    assert (merge, target) == ("merge", str(run.path))
    api.open_run(target).merge(tmp_path / "merged")
    merged_plan = api.plan(api.load(named={"model.name": str(tmp_path / "merged"), "data.train": str(shop_rows)}))
    assert merged_plan.facts.model.num_layers == 2
