"""`config.load`: layers, origins, and every problem of a config at once, each at its place."""

from pathlib import Path

import pytest

from tunewright.config.load_config import LoadedConfig, load, parse_set, show
from tunewright.config.methods import Lora
from tunewright.config.schema_keys import fields, methods_with, options
from tunewright.errors import ConfigError, Problem

SMALL = {"model": "m", "data": "rows.jsonl"}


def write(folder: Path, text: str) -> Path:
    path = folder / "support.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def problems(folder: Path, text: str, *sets: str) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        load(config=write(folder, text), sets=sets)
    return list(caught.value.problems)


def places(located: list[Problem]) -> list[tuple[str, int, int]]:
    return [(p.code, p.where.line, p.where.column) for p in located]


def test_five_mistakes_in_one_file_give_five_located_problems_in_order(tmp_path: Path) -> None:
    located = problems(
        tmp_path,
        "model: smollm2\n"
        "data:\n"
        "  train: support.csv\n"
        "peft: {r: 0}\n"
        "train:\n"
        "  learing_rate: 2e-4\n"
        "  gradient_checkpointing: true\n"
        "  evaluation_strategy: steps\n"
        "  max_steps: many\n",
    )
    assert places(located) == [("E103", 4, 11), ("E102", 6, 3), ("E104", 7, 3), ("E118", 8, 3), ("E103", 9, 14)]
    assert [p.message() for p in located] == [
        "peft.r must be at least 1 or auto, got 0",
        'unknown key "learing_rate" in train',
        '"gradient_checkpointing" is called "activation_checkpointing" here',
        '"evaluation_strategy" is not set here: it is now called eval_strategy, '
        "and Tunewright decides it by train.eval_steps",
        "train.max_steps must be a whole number, got many",
    ]
    assert located[1].fixes()[0] == 'did you mean "learning_rate"?'
    assert (located[1].where.source, located[1].where.length) == ("  learing_rate: 2e-4", len("learing_rate"))
    assert str(located[1].where).endswith("support.yaml:6:3")


def test_problems_of_all_layers_come_together_file_first(tmp_path: Path) -> None:
    config = write(tmp_path, "model: m\ndata: d\npeft: {rr: 8}\n")
    with pytest.raises(ConfigError) as caught:
        load(config=config, named={"train.learning_rate": "fast"}, sets=["nonsense", "trian.seed=1"])
    located = [(p.code, p.where.file, p.where.source) for p in caught.value.problems]
    assert located == [
        ("E102", str(config), "peft: {rr: 8}"),
        ("E103", "argument", "train.learning_rate=fast"),
        ("E110", "--set", "nonsense"),
        ("E102", "--set", "trian.seed=1"),
    ]


def test_later_layers_win_and_each_value_knows_its_origin(tmp_path: Path) -> None:
    config = write(tmp_path, "model: m\ndata:\n  train: d\npeft: {r: 4, lora_alpha: 8}\ntrain:\n  seed: 1\n")
    loaded = load(config=config, named={"peft.r": 8, "train.seed": 2}, sets=["train.seed=3"])
    assert (loaded.run.peft.r, loaded.run.peft.lora_alpha, loaded.run.train.seed) == (8, 8, 3)
    origins = {path: loaded.origins[path] for path in ("model.name", "peft.r", "peft.lora_alpha", "train.seed", "task")}
    assert origins == {
        "model.name": f"{config}:1:1",
        "peft.r": "argument",
        "peft.lora_alpha": f"{config}:4:14",
        "train.seed": "--set",
        "task": "default",
    }


def test_short_forms_are_merged_with_the_long_ones() -> None:
    run = load(named={"model.precision": "fp32", "model": "m", "data": "d"}, sets=["model=other"]).run
    assert (run.model.name, run.model.precision, run.data.train) == ("other", "fp32", "d")


def test_show_lists_every_own_option_and_what_is_handed_on() -> None:
    rows = show(load(named=SMALL, sets=["train.neftune_noise_alpha=5"]))
    others = {f"peft.{key}" for key in fields("peft") if key not in Lora.model_fields}
    assert {row.path for row in rows} == {path for path, _field in options()} - others | {"train.neftune_noise_alpha"}
    assert [(r.value, r.origin) for r in rows if r.path == "train.neftune_noise_alpha"] == [(5.0, "--set")]


def test_a_section_with_all_lines_commented_out_is_an_empty_one(tmp_path: Path) -> None:
    assert isinstance(load(config=write(tmp_path, "model: m\ndata: d\ntrain:\n  # seed: 3\n")), LoadedConfig)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [("E108", 0, 0), ("E108", 0, 0)]),
        ("model: m\ndata:\n", [("E108", 2, 1)]),
        ("- a\n", [("E103", 0, 0)]),
        ("model: m\ndata: [1, 2", [("E105", 2, 12)]),
        ("model: m\ndata: a: b", [("E105", 2, 8)]),
        ("model:\n\tname: m", [("E105", 2, 1)]),
        ("model: m\ndata: d\n---\nmodel: n\n", [("E105", 3, 1)]),
        ("model: m\ndata: d\x07", [("E105", 2, 8)]),
        ("model: m\nmodel: n\ndata: d\n", [("E106", 2, 1)]),
        ("model: &a m\ndata: *a\n", [("E107", 1, 8), ("E107", 2, 7)]),
        ("model: m\ndata: !!python/object:os.system x\n", [("E107", 2, 7)]),
        ("model: m\ndata: d\n<<: {seed: 1}\n", [("E107", 3, 1)]),
        ("? [a]\n: b\nmodel: m\ndata: d\n", [("E105", 1, 3)]),
        ("model: m\ndata: d\npeft: {extra: {a: 1}}\n", [("E102", 3, 8)]),
        ("model: m\ndata: d\ntrain: {extra: {a: 1}}\n", [("E102", 3, 9)]),
        ("model: m\ndata: d\npeft: {method: lora}\n", [("E118", 3, 8)]),
        ("model: m\ndata: d\npeft: {megatron_core: os}\n", [("E118", 3, 8)]),
        ("model: m\ndata: d\ntrain: {logging_dir: x}\n", [("E112", 3, 9)]),
        ("model: m\ndata: d\nlearning_rate: 1e-4\n", [("E102", 3, 1)]),
        ("model: m\ndata: d\ncutoff_len: 512\n", [("E104", 3, 1)]),
        ("model: m\ndata: d\ntrain: 5\n", [("E103", 3, 8)]),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, text: str, expected: list[tuple[str, int, int]]) -> None:
    assert places(problems(tmp_path, text)) == expected


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("peft: {r: many}", "peft.r must be a whole number or auto, got many"),
        ("peft: {r: true}", "peft.r must be a whole number or auto, got true"),
        ("peft: {r: 5000}", "peft.r must be at most 4096 or auto, got 5000"),
        ("peft: {r: }", "peft.r must be a whole number or auto, got nothing"),
        ("peft: {r: [1, x]}", "peft.r must be a whole number or auto, got [1, x]"),
        (
            "train: {optim: adamw_torhc}",
            "train.optim must be one of 44 names, among them adamw_torch, adamw_torch_xla, adamw_torch_8bit, got adamw_torhc",
        ),
        ("peft: {bias: some}", "peft.bias must be one of none, all, lora_only, got some"),
        ("peft: {target_modules: [q_proj, 3]}", "peft.target_modules[1] must be text"),
        ("train: {learning_rate: .nan}", "train.learning_rate must be a finite number or auto, got .nan"),
        ("train: {learning_rate: 2}", "train.learning_rate must be below 1 or auto, got 2"),
        ("train: {activation_checkpointing: maybe}", "must be true or false or auto, got maybe"),
        ("train: {report_to: 5}", "train.report_to must be a list or one of none, all, azure_ml, comet_ml"),
        (
            "model: {name: m, revision: 1234567}",
            "must be text (YAML reads it as a number: put quotes around it), got 1234567",
        ),
        ("model: {name: m, precision: fp8}", "model.precision must be one of fp32, mixed, bf16, fp16, auto, got fp8"),
        ("model: ''", "model.name must be text that is not empty, got ''"),
        (
            "run: {name: My Run}",
            "run.name must be 1 to 64 small letters, digits, dots, dashes and underscores, got My Run",
        ),
        ("fast_paths: {answer_loss: 7}", "fast_paths.answer_loss must be true or false, got 7"),
        ("preset: hard", "preset must be one of simple, medium, complex, got hard"),
    ],
)
def test_a_bad_value_gives_one_sentence(tmp_path: Path, line: str, message: str) -> None:
    head = "data: d\n" if line.startswith("model") else "model: m\ndata: d\n"
    (problem,) = problems(tmp_path, f"{head}{line}\n")
    assert message in problem.message()


@pytest.mark.parametrize("word", ["no", "off", "yes", "on", "false"])
def test_a_truth_value_in_a_text_field_is_told_to_be_quoted(tmp_path: Path, word: str) -> None:
    (problem,) = problems(tmp_path, f"model: m\ndata:\n  train: d\n  system: {word}\n")
    read_as = "true" if word in ("yes", "on") else "false"
    assert problem.message() == (
        f"data.system must be text (YAML reads {word} as {read_as}: put quotes around it), got {word}"
    )


def test_no_bad_value_of_any_option_is_answered_in_general_words(tmp_path: Path) -> None:
    for path, _field in options():
        for value in (["x", 1], {"a": {"b": 1}}, -2, "~~", False, float("inf"), ""):
            try:
                key = path.partition(".")[2]
                method = {"method": methods_with(key)[0]} if path.startswith("peft.") else {}
                load(named=SMALL | method | {path: value})
            except ConfigError as error:
                places = {
                    str(problem.values["key"]).partition("[")[0]
                    for problem in error.problems
                    if "key" in problem.values
                }
                assert len(places) <= 1, (path, value, str(error))
                assert "another kind of value" not in str(error), (path, value)


def test_a_config_that_cannot_be_read_is_one_problem(tmp_path: Path) -> None:
    large, binary = tmp_path / "large.yaml", tmp_path / "binary.yaml"
    large.write_text("# " + "x" * 1_000_000)
    binary.write_bytes(b"model: m\ndata: \xff\n")
    for path, sentence in [
        (tmp_path / "none.yaml", "no such file"),
        (tmp_path, "it is a folder"),
        (large, "it is larger than 1 MB"),
        (binary, "the file is not UTF-8"),
    ]:
        with pytest.raises(ConfigError, match=sentence):
            load(config=path)


@pytest.mark.parametrize("text", ["[" * 5_000, "- " * 5_000, "\n".join(f"k{i}: 1" for i in range(50_000))])
def test_a_config_made_to_exhaust_is_refused(tmp_path: Path, text: str) -> None:
    assert [p.code for p in problems(tmp_path, text)] == ["E105"]


def test_a_byte_order_mark_and_windows_line_ends_are_harmless(tmp_path: Path) -> None:
    path = tmp_path / "windows.yaml"
    path.write_bytes("\ufeffmodel: m\r\ndata: d\r\npeft: {r: 4}\r\n".encode())
    loaded = load(config=path)
    assert (loaded.run.peft.r, loaded.origins["peft.r"]) == (4, f"{path}:3:8")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("peft.r=8", 8),
        ("train.learning_rate=0.1", 0.1),
        ("train.learning_rate=2e-4", "2e-4"),
        ("data.skip_bad=true", True),
        ("data.system=null", None),
        ("run.name=", None),
        ('peft.target_modules=["q_proj", v_proj]', ["q_proj", "v_proj"]),
        ("data.map={prompt: frage}", {"prompt": "frage"}),
        ("data.system='no'", "no"),
        ("data.system=You are: a *star* # and more", "You are: a *star* # and more"),
        (r"peft.target_modules=.*\.(q|v)_proj", r".*\.(q|v)_proj"),
        ("a=b=c", "b=c"),
        ("data.split=1:30", "1:30"),
    ],
)
def test_set_takes_yaml_scalars_and_bracketed_lists(text: str, value: object) -> None:
    assert parse_set(text) == (text.partition("=")[0], value)


@pytest.mark.parametrize(
    ("text", "code"),
    [("peft.r", "E110"), ("=8", "E110"), ("peft..r=8", "E110"), ("a=[1", "E105"), ("a=[&x 1]", "E107")],
)
def test_a_set_that_cannot_be_read_is_refused(text: str, code: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_set(text)
    assert [(p.code, p.where.file, p.where.source) for p in caught.value.problems] == [(code, "--set", text)]


def test_set_reaches_into_mappings_and_upstream_fields() -> None:
    run = load(
        named=SMALL, sets=["data.map.prompt=frage", "train.lr_scheduler_kwargs.min_lr=0.1", "data.holdout=1e-1"]
    ).run
    assert run.data.map == {"prompt": "frage"}
    assert run.train.extra == {"lr_scheduler_kwargs": {"min_lr": 0.1}}
    assert run.data.holdout == 0.1
