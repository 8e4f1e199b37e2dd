"""The base's evaluation in the cache: read to the last bit, and only where nothing that could change a digit is another."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tunewright import api
from tunewright.engine.evaluation.evaluator import EvaluationResult, Evaluator
from tunewright.report.run_report import write_report
from tunewright.rundir import file_names
from tunewright.rundir.events import ScoreEvent

from .test_causal_lm import run_for

FILES = ("before.jsonl", "before.losses.jsonl")


@pytest.fixture
def evaluations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry for each evaluation that is computed, but for that of a single row after saving."""
    computed: list[str] = []
    evaluate = Evaluator.evaluate

    def counted(evaluator: Evaluator, *arguments: object) -> EvaluationResult:
        computed.extend([evaluator.task] if len(evaluator.rows) > 1 else [])
        return evaluate(evaluator, *arguments)

    monkeypatch.setattr(Evaluator, "evaluate", counted)
    return computed


def score(run: api.TrainedRun, which: str = "before") -> ScoreEvent:
    return next(e for e in run.dir.read_events() if isinstance(e, ScoreEvent) and e.which == which)


def report(run: api.TrainedRun) -> str:
    write_report(run.dir, [])
    return (run.dir.path / file_names.REPORT).read_text()


def stored(home: Path) -> list[Path]:
    return sorted((home / "base_scores").glob("*.json"))


def test_a_second_run_reads_them_to_the_last_bit_and_says_so(
    tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path, evaluations: list[str], home: Path
) -> None:
    first = run_for(tiny_model(), shop_rows, tmp_path / "first", **{"train.seed": 1, "peft.r": 4})
    second = run_for(tiny_model(), shop_rows, tmp_path / "second", **{"train.seed": 2, "peft.r": 8})
    assert len(evaluations) == 3 and len(stored(home)) == 1  # before and after, and after alone
    for name in FILES:
        assert (second.dir.path / "eval" / name).read_bytes() == (first.dir.path / "eval" / name).read_bytes()
    assert first.result["before"] == second.result["before"] and score(first).scores == score(second).scores
    assert first.result["after"] != second.result["after"]
    assert score(first).computed is None
    assert score(second).computed == json.loads(stored(home)[0].read_text())["computed"]
    assert score(second, "after").computed is None
    shutil.rmtree(home / "base_scores")
    third = run_for(tiny_model(), shop_rows, tmp_path / "third", **{"train.seed": 2, "peft.r": 8})
    for name in FILES:  # what the cache gave is what would have been computed
        assert (third.dir.path / "eval" / name).read_bytes() == (first.dir.path / "eval" / name).read_bytes()
    assert third.result["before"] == first.result["before"]
    told = "from the cache, computed on"
    assert told in report(second) and told not in report(first)


@pytest.mark.parametrize(
    "change",
    [
        {"eval.rows": 3}, {"eval.max_new_tokens": 9}, {"model.precision": "bf16"}, {"train.data_seed": 7},
        {"data.system": "Be brief."}, {"data.max_length": 190}, {"fast_paths": {"packing": False}},
        {"peft.layer_replication": [[0, 2], [1, 2]]}, {"method": "ia3"},
    ],
)  # fmt: skip
def test_they_are_computed_anew_where_a_setting_is_another(
    tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path, evaluations: list[str], change: dict[str, object]
) -> None:
    run_for(tiny_model(), shop_rows, tmp_path / "first", **{"data.max_length": 200})
    run = run_for(tiny_model(), shop_rows, tmp_path / "second", **{"data.max_length": 200, **change})
    assert len(evaluations) == 4 and score(run).computed is None


def test_they_are_computed_anew_for_other_weights_rows_and_threads(
    tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path, evaluations: list[str]
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model(), folder)
    rows = tmp_path / "rows.jsonl"
    shutil.copyfile(shop_rows, rows)
    run_for(folder, rows, tmp_path / "first")
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if "down_proj" in name)
    weights[name][0, 0] += 1e-3
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    run_for(folder, rows, tmp_path / "second")
    assert len(evaluations) == 4
    rows.write_text("".join(rows.read_text().splitlines(keepends=True)[:-1]))
    run_for(folder, rows, tmp_path / "third")
    assert len(evaluations) == 6
    before = torch.get_num_threads()
    torch.set_num_threads(1 if before > 1 else 2)
    try:
        run_for(folder, rows, tmp_path / "fourth")
    finally:
        torch.set_num_threads(before)
    assert len(evaluations) == 8
    run_for(folder, rows, tmp_path / "fifth")
    assert len(evaluations) == 9


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"scores": {"held_out_loss": 0.1}}', "changed", "renamed"])
def test_what_does_not_hold_is_computed_anew(
    tiny_model: Callable[..., Path],
    shop_rows: Path,
    tmp_path: Path,
    evaluations: list[str],
    home: Path,
    content: str,
) -> None:
    first = run_for(tiny_model(), shop_rows, tmp_path / "first")
    path = stored(home)[0]
    if content == "changed":  # a better base, by hand
        value = json.loads(path.read_text())
        value["scores"]["held_out_loss"] /= 2
        path.write_text(json.dumps(value))
    elif content == "renamed":  # those of other rows
        run_for(tiny_model(), shop_rows, tmp_path / "other", **{"eval.rows": 3})
        other = next(other for other in stored(home) if other != path)
        shutil.copyfile(other, path)
        evaluations.clear()
        evaluations += ["first", "first"]
    else:
        path.write_text(content)
    second = run_for(tiny_model(), shop_rows, tmp_path / "second")
    assert len(evaluations) == 4 and score(second).computed is None
    assert second.result["before"] == first.result["before"]
    third = run_for(tiny_model(), shop_rows, tmp_path / "third")
    assert score(third).computed and third.result["before"] == first.result["before"]


def test_weights_that_moved_out_of_the_base_are_evaluated_each_time(
    tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path, evaluations: list[str], home: Path
) -> None:
    for name in ("first", "second"):
        run_for(tiny_model(), shop_rows, tmp_path / name, **{"peft.init_lora_weights": "pissa"})
    assert len(evaluations) == 4 and not stored(home)


def test_they_are_as_private_as_the_rows(
    tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path, home: Path
) -> None:
    rows = tmp_path / "rows.jsonl"
    shutil.copyfile(shop_rows, rows)
    rows.chmod(0o644)
    run_for(tiny_model(), rows, tmp_path / "first")
    (path,) = stored(home)
    assert path.stat().st_mode & 0o044
    rows.chmod(0o600)
    run_for(tiny_model(), rows, tmp_path / "second")
    assert path.stat().st_mode & 0o077 == 0
    path.unlink()
    run_for(tiny_model(), rows, tmp_path / "third")
    assert path.stat().st_mode & 0o077 == 0


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(
    tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path, evaluations: list[str], home: Path
) -> None:
    (home / "base_scores").write_text("")
    for name in ("first", "second"):
        run_for(tiny_model(), shop_rows, tmp_path / name)
    assert len(evaluations) == 4
