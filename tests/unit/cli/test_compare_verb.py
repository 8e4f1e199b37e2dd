"""`compare`: existing runs, and runs that it trains itself; nothing is trained twice."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import conclude, story
from tests.unit.cli.conftest import tell as tell_events
from tunewright.api.run_handle import TrainedRun
from tunewright.config.load_config import LoadedConfig
from tunewright.errors import error
from tunewright.errors.exit_codes import EXIT_DOES_NOT_FIT
from tunewright.launch import start_run
from tunewright.planning.run_plan import Plan
from tunewright.reporting import Reporter
from tunewright.rundir import atomic_io, file_names
from tunewright.rundir.run_dir import RunDir

pytestmark = pytest.mark.processes

ROWS = 40


def answer(run: RunDir, right: int) -> None:
    """Answers of base and tuned model to the same rows, and the events of a run from its beginning to its end."""
    run.file(file_names.EVAL).mkdir(exist_ok=True)
    for which, count in (("before", 5), ("after", right)):
        rows = [
            {"row": i, "prompt": f"How much is {i}?", "reference": str(i), "answer": str(i) if i < count else "much"}
            for i in range(ROWS)
        ]
        atomic_io.write_jsonl(run.path / file_names.EVAL / f"{which}.jsonl", rows)
    events = story()
    for event in events:
        if event["kind"] == "score":
            share = (5 if event["which"] == "before" else right) / ROWS
            event |= {"scores": {**event["scores"], "exact_match": share}, "rows": ROWS, "held_out_rows": ROWS}
    tell_events(run, events, seq=len(run.read_events()))
    conclude(run)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Instead of starting processes, a launched run is over at once; the larger its rank, the more rows are right."""
    launched: list[str] = []

    def start_parent(run: RunDir, lock: int, device: object = None) -> None:
        launched.append(run.name)
        answer(run, 20 + int(dict(run.plan().run.peft).get("r", 0)))

    monkeypatch.setattr(start_run, "start_parent", start_parent)
    return launched


@pytest.fixture(autouse=True)
def prompted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Instead of loading a model, what would be asked of which run with how many examples."""
    requests: list[tuple[str, int]] = []

    def ask(run: TrainedRun, shots: int, reporter: Reporter) -> dict[str, Any]:
        requests.append((run.name, shots))
        run.dir.write_test(file_names.PROMPTED, run.dir.samples("before"), [])
        record = {"asked": shots, "shots": shots, "scores": {"exact_match": 5 / ROWS}}
        atomic_io.write_json(run.path / file_names.EVAL / f"{file_names.PROMPTED}.json", record)
        return record

    monkeypatch.setattr(TrainedRun, "prompted", ask)
    return requests


def config(name: str, folder: str = "cmp") -> dict[str, Any]:
    record: dict[str, Any] = RunDir(Path(folder) / name).plan().run.model_dump(mode="json")
    return record


def test_every_cell_is_an_ordinary_run_of_one_folder(tw, model: Path, rows: Path, trained: list[str]) -> None:
    shown = tw("compare", str(model), "my.jsonl", "--ranks", "4,8", "--methods", "lora,ia3", "-o", "cmp", "--json")
    assert shown.code == 0
    assert trained == ["lora-r4", "lora-r8", "ia3"]
    assert [row["name"] for row in shown.json["rows"]] == ["base", "prompted", "lora-r4", "lora-r8", "ia3"]
    assert [row["rank"] for row in shown.json["rows"]] == [None, None, 4, 8, None]
    assert Path(shown.json["report"]).is_file() and Path(shown.json["report"]).parent == Path("cmp").resolve()
    listed = tw("runs", "list", "cmp", "--json").json["runs"]
    assert {run["name"] for run in listed} == set(trained)


def test_all_cells_are_trained_on_the_same_tokens(tw, model: Path, rows: Path, trained: list[str]) -> None:
    words = ("--methods", "lora,prompt_tuning", "--set", "train.num_train_epochs=2", "-o", "cmp")
    assert tw("compare", str(model), "my.jsonl", *words).code == 0
    lora, prompt_tuning = config("lora"), config("prompt-tuning")
    keys = (
        "num_train_epochs",
        "max_steps",
        "per_device_train_batch_size",
        "gradient_accumulation_steps",
        "data_seed",
        "seed",
    )
    assert [lora["train"][key] for key in keys] == [prompt_tuning["train"][key] for key in keys]
    assert lora["data"] == prompt_tuning["data"] and lora["eval"] == prompt_tuning["eval"]
    assert lora["train"]["early_stopping_patience"] == prompt_tuning["train"]["early_stopping_patience"] == 0
    assert lora["train"]["learning_rate"] != prompt_tuning["train"]["learning_rate"]


def test_the_same_command_trains_only_what_is_missing(tw, model: Path, rows: Path, trained: list[str]) -> None:
    command = ("compare", str(model), "my.jsonl", "--ranks", "4,8")
    assert tw(*command).code == 0
    (folder,) = {path.parent for path in Path("runs").glob("compare-*/*/")}
    RunDir(folder / "lora-r8").update_info(state="stopped")
    trained.clear()
    again = tw(*command)
    assert again.code == 0 and trained == ["lora-r8"]
    assert "1 of them finished" in again.err
    trained.clear()
    assert tw("compare", str(model), "my.jsonl", "--ranks", "4,8,16").code == 0
    assert trained == ["lora-r16"]


def test_a_value_that_is_named_twice_is_trained_once(tw, model: Path, rows: Path, trained: list[str]) -> None:
    words = ("--ranks", "4,4", "--methods", "lora,lora", "--grid", "peft.bias=none,none", "-o", "cmp")
    assert tw("compare", str(model), "my.jsonl", *words).code == 0
    assert len(trained) == 1


@pytest.mark.parametrize(
    "words",
    [
        ("--ranks", "4", "--grid", "peft.r=8"),
        ("--methods", "lora", "--grid", "method=ia3"),
        ("--seeds", "2", "--grid", "train.seed=1,2"),
        ("--grid", "train.seed=1", "--grid", "train.seed=2"),
    ],
)
def test_two_ways_to_give_one_setting_are_refused(
    tw, model: Path, rows: Path, trained: list[str], words: tuple[str, ...]
) -> None:
    ended = tw("compare", str(model), "my.jsonl", *words)
    assert ended.code == 2 and not trained
    assert words[0] in ended.err and words[3].partition("=")[0] in ended.err


def test_grid_and_seeds_multiply(tw, model: Path, rows: Path, trained: list[str]) -> None:
    grid = ("--grid", "peft.r=4,8", "--grid", "train.learning_rate=1e-4,3e-4", "--seeds", "2")
    shown = tw("compare", str(model), "my.jsonl", *grid, "-o", "cmp", "--json")
    assert len(trained) == 8 and trained[:2] == ["lora-r4-lr1e-4", "lora-r4-lr1e-4-s2"]
    assert [config(name)["train"]["seed"] for name in trained[:2]] == [42, 43]
    assert config("lora-r8-lr3e-4")["train"]["learning_rate"] == 3e-4
    assert len(shown.json["rows"]) == 2 + 4
    assert [len(row["runs"]) for row in shown.json["rows"]] == [0, 0, 2, 2, 2, 2]


def test_the_base_is_asked_with_examples_once_and_not_where_that_is_not_wanted(
    tw, model: Path, rows: Path, trained: list[str], prompted: list[tuple[str, int]]
) -> None:
    command = ("compare", str(model), "my.jsonl", "--ranks", "4,8", "-o", "cmp")
    assert tw(*command).code == tw(*command).code == 0
    assert prompted == [("lora-r4", 3)]
    assert tw(*command, "--shots", "5").code == 0
    assert prompted[1:] == [("lora-r4", 5)]
    assert tw("compare", str(model), "my.jsonl", "--ranks", "4", "-o", "other", "--shots", "0").code == 0
    assert tw("compare", "cmp/lora-r4", "cmp/lora-r8").code == 0
    assert len(prompted) == 2
    assert tw("compare", "cmp/lora-r8", "--shots", "2").code == 0
    assert prompted[2:] == [("lora-r8", 2)]


def test_rows_that_cannot_be_shown_are_no_fault(
    tw, model: Path, rows: Path, trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(run: TrainedRun, shots: int, reporter: Reporter) -> dict[str, Any]:
        raise error("E230", reason="they are long")

    monkeypatch.setattr(TrainedRun, "prompted", refuse)
    shown = tw("compare", str(model), "my.jsonl", "--ranks", "4", "-o", "cmp")
    assert shown.code == 0
    assert "no training rows can be shown in a prompt: they are long" in shown.err


def test_full_fine_tuning_stands_beside_the_adapters(tw, model: Path, rows: Path, trained: list[str]) -> None:
    words = ("--ranks", "4", "--full", "--seeds", "2", "-o", "cmp", "--json")
    shown = tw("compare", str(model), "my.jsonl", *words)
    assert trained == ["lora-r4", "lora-r4-s2", "full", "full-s2"]
    assert (config("full")["method"], config("full")["peft"]["target_modules"]) == ("ln_tuning", "all-linear")
    assert config("full-s2")["train"]["seed"] == 43
    assert [row["name"] for row in shown.json["rows"]] == ["base", "prompted", "lora-r4", "full"]


def test_what_does_not_fit_costs_no_comparison(
    tw, model: Path, rows: Path, trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    create_run = start_run.create

    def create(loaded: LoadedConfig, plan: Plan, **options: Any) -> RunDir:
        if plan.run.method == "ln_tuning":
            raise error("E401", needed="9 GiB", free="2 GiB", fix="")
        return create_run(loaded, plan, **options)

    monkeypatch.setattr(start_run, "create", create)
    words = ("--ranks", "4", "--full", "--set", "peft.lora_alpha=16", "-o", "cmp")
    shown = tw("compare", str(model), "my.jsonl", *words)
    assert shown.code == EXIT_DOES_NOT_FIT
    assert "full: needs about 9 GiB, 2 GiB are free" in shown.err
    assert trained == ["lora-r4"] and Path("cmp/compare.html").is_file()


def test_a_stop_ends_the_whole_and_says_how_to_go_on(
    tw, model: Path, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start_parent(run: RunDir, lock: int, device: object = None) -> None:
        tell_events(run, story(state="stopped"))
        conclude(run, "stopped")

    monkeypatch.setattr(start_run, "start_parent", start_parent)
    shown = tw("compare", str(model), "my.jsonl", "--ranks", "4,8", "-o", "cmp")
    assert shown.code == 143
    assert "Stopped at lora-r4. The same command goes on from here." in shown.err
    assert not Path("cmp/lora-r8").exists()


def test_a_cell_that_fails_does_not_take_the_others_with_it(
    tw, model: Path, rows: Path, trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def start_parent(run: RunDir, lock: int, device: object = None) -> None:
        if run.name == "lora-r4":
            tell_events(run, story(state="failed"))
            conclude(run, "failed")
        else:
            answer(run, 30)

    monkeypatch.setattr(start_run, "start_parent", start_parent)
    shown = tw("compare", str(model), "my.jsonl", "--ranks", "4,8", "-o", "cmp")
    assert shown.code == 1
    assert "lora-r8" in shown.out and "lora-r4 (failed)" in " ".join(shown.out.split())


def test_all_faults_of_the_grid_are_told_before_anything_starts(
    tw, model: Path, rows: Path, trained: list[str]
) -> None:
    grid = ("--grid", "train.learning_rate=1e-4,7", "--methods", "lora,lorra")
    shown = tw("compare", str(model), "my.jsonl", *grid, "-o", "cmp")
    assert shown.code == 2
    assert "learning_rate" in shown.err and "lorra" in shown.err
    assert not trained and not Path("cmp").exists()


def test_a_folder_with_other_runs_is_left_alone(tw, model: Path, rows: Path, trained: list[str]) -> None:
    assert tw("compare", str(model), "my.jsonl", "--ranks", "4", "-o", "cmp").code == 0
    shown = tw("compare", str(model), "my.jsonl", "--ranks", "4,8", "-o", "cmp", "--set", "train.weight_decay=0.1")
    assert shown.code == 2 and "E126" in shown.err
    assert trained == ["lora-r4"]


@pytest.fixture
def two_runs(tw, model: Path, rows: Path, trained: list[str]) -> list[str]:
    """Two runs that were trained one by one."""
    names = ["support-of-customers-with-rank-4", "support-of-customers-with-rank-16"]
    for name, rank in zip(names, ("4", "16"), strict=True):
        assert tw("train", str(model), "my.jsonl", "--rank", rank, "-q", "-o", f"runs/{name}").code == 0
    return names


def test_existing_runs_are_compared_by_name(tw, two_runs: list[str]) -> None:
    shown = tw("compare", *two_runs)
    assert shown.code == 0
    for words in ("base", *two_runs, "to the best", "Verdict", "peft.r", "runs/compare.html"):
        assert words in shown.out, words
    assert tw("compare", "runs", "--json").json["best"] == two_runs[1]
    assert tw("compare", *two_runs, "-q").out.strip() in two_runs
    assert tw("compare", *two_runs, "-o", "elsewhere").code == 0 and Path("elsewhere/compare.html").is_file()


def test_the_table_keeps_to_80_columns(tw, two_runs: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = tw("compare", *two_runs).out.splitlines()
    assert max(map(len, lines)) <= 80
    names = "".join(line.split(" ")[0] for line in lines[2:])
    assert all(name in names for name in two_runs)
    assert sum("2.1G" in line and line.endswith("K") for line in lines) == 2


def test_chinese_is_spoken_without_a_crash(tw, two_runs: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEWRIGHT_LANG", "zh")
    assert tw("compare", *two_runs).code == 0
    assert 'lang="zh-CN"' in Path("runs/compare.html").read_text(encoding="utf-8")
    assert "held-out rows" in tw("compare", *two_runs, "--json").json["verdict"]


@pytest.mark.parametrize(
    "words",
    [("--ranks", "four"), ("--grid", "train.learning_rate"), ("--seeds", "0")],
)
def test_what_cannot_be_read_is_a_usage_error(tw, model: Path, rows: Path, words: tuple[str, ...]) -> None:
    shown = tw("compare", str(model), "my.jsonl", *words)
    assert shown.code == 2 and "E119" in shown.err


def test_one_word_that_is_no_run_is_told(tw) -> None:
    assert "E113" in tw("compare", "nothing").err


def test_json_is_plain(tw, two_runs: list[str]) -> None:
    record = tw("compare", *two_runs, "--json").json
    assert json.loads(json.dumps(record, allow_nan=False))["schema"] == 1
    assert {"name", "method", "rank", "metrics", "seconds", "tokens_per_second", "peak_rss_bytes", "trainable_parameters",
            "adapter_bytes", "run"} <= set(record["rows"][0])  # fmt: skip
