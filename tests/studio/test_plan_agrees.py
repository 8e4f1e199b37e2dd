"""Settings chosen at random: the page, `tunewright plan --json` and the copied command say and do the same, refusals included."""

import html
import json
import random
import re
import shlex
from typing import Any

import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from tests.studio.test_plan_page import PART, figures_in, pre, sent
from tests.studio.test_plan_page import base as base
from tests.studio.test_plan_page import still as still
from tests.unit.cli.conftest import built_in as built_in
from tests.unit.cli.conftest import model as model
from tests.unit.cli.conftest import rows as rows
from tests.unit.cli.conftest import worked as worked
from tunewright import api
from tunewright.cli.main import app
from tunewright.rundir import file_names
from tunewright.rundir.run_dir import RunDir

# What somebody may type, each with texts that can be planned; some pairs of them cannot, nor can the last of some.
TYPED: dict[str, list[str]] = {
    "task": ["causal_lm", "seq_cls"],
    "method": ["lora", "ia3", "adalora", "vera", "loha", "prompt_tuning", "prefix_tuning"],
    "preset": ["simple", "medium", "complex"],
    "peft.r": ["1", "4", "48", "0"],
    "peft.target_modules": ["[q_proj, v_proj]", "[c_attn]"],
    "peft.lora_dropout": ["0.05", "2"],
    "train.num_train_epochs": ["1", "2.5", "20"],
    "train.max_steps": ["3", "100"],
    "train.learning_rate": ["1e-5", "0.0003", "fast"],
    "train.per_device_train_batch_size": ["1", "3", "16"],
    "train.gradient_accumulation_steps": ["1", "4"],
    "train.activation_checkpointing": ["true", "false"],
    "train.warmup_steps": ["0.1", "5"],
    "train.seed": ["7"],
    "train.lr_scheduler_type": ["linear", "constant"],
    "data.max_length": ["64", "512", "16", "100000"],
    "data.holdout": ["0.25", "0"],
    "data.train_on": ["all", "last_answer"],
    "data.system": ["Be brief: 'yes' or \"no\"", "简短", "a; rm -rf $HOME `x`"],
    "model.quantization": ["8bit", "none"],
    "model.precision": ["fp32", "bf16"],
    "eval.rows": ["0", "2"],
    "eval.max_new_tokens": ["8", "64"],
    "fast_paths": ["{packing: false}"],
}


def codes_on(page: str) -> set[str]:
    """The errors that stand on it."""
    return set(re.findall(r"<code>(E\d{3})</code>", page))


def codes_in(ended: Any) -> set[str]:
    """The errors that a command with --json ended with."""
    assert ended.exit_code and not ended.stdout
    return {
        problem["code"]
        for problem in json.loads(ended.stderr.splitlines()[-1])["problems"]
        if problem["code"][0] == "E"
    }


def invoked(words: list[str]) -> Any:
    ended = CliRunner().invoke(app, words)
    assert ended.exception is None or isinstance(ended.exception, SystemExit), ended.exception
    return ended


def figures_of(plan: dict[str, Any]) -> list[float]:
    """The figures in the order of the page; JSON has tenths of seconds."""
    others = (plan[name] for name in ("trainable_parameters", "adapter_bytes", "disk_bytes"))
    return [plan["time"]["seconds"], plan["memory"]["peak_bytes"], *others]


@pytest.mark.parametrize(("seed", "count", "fewest"), [(7, 8, 4), pytest.param(11, 50, 25, marks=pytest.mark.slow)])
def test_the_page_the_plan_and_the_copied_command_agree(
    seed: int, count: int, fewest: int, browser: TestClient, base: api.TrainedRun, worked: list[RunDir]
) -> None:
    rng = random.Random(seed)
    settings = api.settings_of(base)
    inputs = [str(settings["model.name"]), str(settings["data.train"])]
    planned = 0
    for number in range(count):
        typed = {path: rng.choice(TYPED[path]) for path in rng.sample(sorted(TYPED), rng.randrange(1, 6))}
        page = browser.post("/plan/try", data=sent(typed), headers=PART).text
        if 'id="as-line"' not in page:  # no config: the command line says so of the same settings
            method = typed.get("method", "lora")
            sets = [f"{path}={text}" for path, text in typed.items() if api.belongs(method, path)]
            words = ["plan", *inputs, *(word for text in sets for word in ("--set", text))]
            assert codes_in(invoked([*words, "--json"])) == codes_on(page), typed
            continue
        _program, verb, *words = shlex.split(pre(page, "as-line"))
        shown = invoked(["plan", *words, "--json"])
        assert verb == "train"
        if not shown.stdout:
            assert codes_in(shown) == codes_on(page), typed
            continue
        seconds, *figures = map(float, figures_in(page))
        assert [round(seconds, 1), *figures] == figures_of(json.loads(shown.stdout)), typed
        answer = browser.post("/plan/start", data=sent(typed, form_id=str(number)), follow_redirects=False)
        assert answer.status_code == 303, html.unescape(answer.text)
        ended = invoked([verb, *words, "--quiet"])
        assert ended.exit_code == 0, ended.stderr
        by_page, by_command = (run.file(file_names.PLAN).read_bytes() for run in worked[-2:])
        assert by_page == by_command, typed
        planned += 1
    assert planned >= fewest and len(worked) == 2 * planned
