"""What leaves a run holds names from strangers: labels, folders. They stay names in the card and in the script."""

import ast
import json
from pathlib import Path

import pytest
import yaml

from tests.hostile import TRIED, model_folder
from tunewright import api
from tunewright.extras.eject import peft_script
from tunewright.inspection.machine_info import SpeedProbe, probe_path
from tunewright.launch import start_run
from tunewright.planning.run_plan import Plan
from tunewright.reporting import SILENT
from tunewright.rundir import atomic_io
from tunewright.rundir.model_card import card
from tunewright.rundir.run_dir import RunDir

NASTY = (
    'x"""\nimport os; os.system("touch canary")\n"""',
    "`code` <script>alert(1)</script>",
    "a\n---\ntags: [evil]\n---\n# other",
    "{name} {0.__class__} %s",
    "\\\"\"\" + canary() + '''",
    "\u202etxt\u2066",
    "']); canary(); (['",
)


@pytest.fixture
def labelled(tmp_path: Path, home: Path) -> tuple[Plan, RunDir]:
    """A run whose labels, base and folder are named by a stranger."""
    folder = model_folder(tmp_path / "model: [a, b]\n`x`")
    probe = SpeedProbe(device="cpu", device_name="CPU", memory_bytes=0, flops={"fp32": 2e11, "bf16": 1e11})
    atomic_io.write_text(probe_path(), probe.model_dump_json())
    rows = [{"text": f"text {i}", "label": NASTY[i % len(NASTY)]} for i in range(42)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    output = tmp_path / 'run"""\ncanary()\n"""'
    named = {
        "model.name": str(folder), "data.train": str(tmp_path / "rows.jsonl"), "run.output_dir": str(output),
        "task": "seq_cls", "data.holdout": 0,
    }  # fmt: skip
    loaded = api.load(named=named)
    plan = api.plan(loaded)
    return plan, start_run.create(loaded, plan, force=False, reporter=SILENT)


def test_the_script_of_a_run_calls_nothing_that_a_name_asks_for(labelled: tuple[Plan, RunDir]) -> None:
    plan, run = labelled
    text = peft_script.render(plan, run, has_tests=False, has_pairs=False, pad_id=0)
    tree = ast.parse(text)
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert "canary" not in called and "os.system" not in called
    assert ast.get_docstring(tree, clean=False)
    assert isinstance(tree.body[0], ast.Expr) and isinstance(tree.body[1], ast.Import)
    TRIED["names in exports"] += len(NASTY) + 2


def test_the_card_holds_names_and_no_markup_of_theirs(labelled: tuple[Plan, RunDir]) -> None:
    plan, run = labelled
    text = card(plan, run)
    _empty, front, body = text.split("---\n", 2)
    assert yaml.safe_load(front)["base_model"] == plan.facts.model.name
    assert yaml.safe_load(front)["tags"] == ["lora", "tunewright"]
    assert "\x1b" not in text and "\u202e" not in text
    line = next(line for line in body.splitlines() if line.startswith("- **Labels**"))
    assert line.count("`") == 2 * len(plan.facts.data.labels)
    assert [heading for heading in body.splitlines() if heading.startswith("# other")] == []
    TRIED["names in exports"] += len(NASTY) + 2
