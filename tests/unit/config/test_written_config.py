"""A config as a line, as YAML and as Python: whatever was set, each form gives an equal config again."""

import shlex
import subprocess
import types
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from tests.fuzz.values import TEXTS, some
from tunewright import api
from tunewright.api.configs import named_values
from tunewright.cli import run_and_follow
from tunewright.cli.main import app
from tunewright.config.load_config import LoadedConfig, load
from tunewright.config.run_config import RunConfig
from tunewright.config.schema_keys import SECTIONS, methods_with, options, upstream
from tunewright.config.written_config import as_value, flags, settings_in, written
from tunewright.errors import ConfigError

BASE = {"model.name": "smollm2", "data.train": "my.jsonl"}
Read = Callable[[str], LoadedConfig]


@pytest.fixture
def from_line(monkeypatch: pytest.MonkeyPatch) -> Read:
    """The config that the command line makes of a line, as a shell hands it over."""
    taken: list[LoadedConfig] = []
    monkeypatch.setattr(run_and_follow, "run", lambda loaded, **options: taken.append(loaded))

    def read(line: str) -> LoadedConfig:
        program, *words = shlex.split(line)
        assert program == "tunewright"
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, (line, result.output, result.exception)
        return taken.pop()

    return read


def from_python(code: str) -> RunConfig:
    """The config that the arguments of the call give."""
    taken: list[RunConfig] = []

    def train(model: str | None = None, data: Any = None, **settings: Any) -> None:
        taken.append(api.load(named=named_values(model, data, settings)).run)

    scope = {"__builtins__": {"__import__": lambda name, *_more: types.SimpleNamespace(train=train)}}
    exec(code, scope)
    return taken.pop()


def assert_all_forms_give(loaded: LoadedConfig, from_line: Read, folder: Path) -> None:
    forms = written(loaded.run)
    by_line = from_line(forms.line)
    assert by_line.run == loaded.run, forms.line
    assert forms.load() == by_line, forms.line
    assert from_python(forms.python) == loaded.run, forms.python
    file = folder / "form.yaml"
    file.write_text(forms.yaml, encoding="utf-8")
    assert load(config=file).run == loaded.run, forms.yaml


def sound(keys: list[str], count: int) -> list[LoadedConfig]:
    """Configs with one text of `--set` for one of the keys: so many pairs are drawn, and those that are refused left out."""
    configs = []
    for key, text in some([(key, text) for key in keys for text in TEXTS], count):
        method = methods_with(key.partition(".")[2])[0] if key.startswith("peft.") else "lora"
        with suppress(ConfigError):
            sets = [*([f"method={method}"] if method != "lora" else []), f"{key}={text}"]
            configs.append(load(named=BASE, sets=sets))
    return configs


@pytest.mark.parametrize("is_own", [True, False])
def test_every_option_with_values_at_the_borders_comes_back(is_own: bool, from_line: Read, tmp_path: Path) -> None:
    own = [path for path, _field in options() if path not in BASE]
    passed_on = [f"{section}.{name}" for section in SECTIONS for name in sorted(upstream(section))]
    configs = sound(own, 700) if is_own else sound(passed_on, 300)
    assert len(configs) > 30
    for loaded in configs:
        assert_all_forms_give(loaded, from_line, tmp_path)


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)
NAMES = TEXT | st.sampled_from(
    ["my rows (1).jsonl", "it's.jsonl", '"quoted".csv', "文件 数据.jsonl", "$HOME `x` \\.jsonl", "-dash.jsonl", "a.yaml", "null",
     "2024-01-01", "1e3", "~", "two\nlines", "b\u202ec", "a: b", "# x", "{a}", "true", " x "]
)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    model=NAMES,
    data=NAMES | st.lists(NAMES, min_size=1, max_size=3) | st.lists(
        st.fixed_dictionaries({"path": NAMES, "rows": st.integers(1, 9)}), min_size=1, max_size=2
    ),
    columns=st.dictionaries(NAMES, NAMES, max_size=2),
    system=st.none() | NAMES,
    output=st.none() | NAMES,
    rate=st.floats(1e-9, 0.5),
)  # fmt: skip
def test_names_and_texts_of_any_characters_come_back(
    from_line: Read, tmp_path: Path, model: str, data: Any, columns: dict[str, str], system: Any, output: Any, rate: float
) -> None:  # fmt: skip
    named = {
        "model.name": model, "data.train": data, "data.map": columns, "data.system": system, "run.output_dir": output,
        "train.learning_rate": rate, "fast_paths": {"packing": False},
    }  # fmt: skip
    assert_all_forms_give(load(named=named), from_line, tmp_path)


def test_the_short_words_are_used_where_there_are_some(tmp_path: Path) -> None:
    named = {
        **BASE, "method": "adalora", "peft.target_r": 4, "train.num_train_epochs": 2.0, "train.learning_rate": 2e-4,
        "data.skip_bad": True, "data.map": {"prompt": "frage"}, "data.max_length": 256, "peft.lora_dropout": 0.1,
    }  # fmt: skip
    forms = written(load(named=named).run)
    assert forms.line == (
        "tunewright train smollm2 my.jsonl --map prompt=frage --skip-bad --method adalora --rank 4 --epochs 2.0 --lr 0.0002 "
        "--set data.max_length=256 --set peft.lora_dropout=0.1"
    )
    assert forms.yaml.startswith("model: smollm2\ndata:\n  train: my.jsonl\n")
    assert forms.python == (
        'import tunewright\n\nrun = tunewright.train(\n    "smollm2",\n    "my.jsonl",\n'.replace('"', "'")
        + "    map={'prompt': 'frage'},\n    skip_bad=True,\n    method='adalora',\n    rank=4,\n    epochs=2.0,\n    lr=0.0002,\n"
        + "    peft={'lora_dropout': 0.1},\n    **{'data.max_length': 256},\n)\n"
    )


def test_a_line_shows_what_it_holds_and_a_shell_reads_it_back(tmp_path: Path) -> None:
    named = {**BASE, "data.train": "two\nlines \u202e.jsonl", "data.system": "it's\x1b[31m"}
    line = written(load(named=named).run).line
    assert line.isprintable()
    ended = subprocess.run(["bash", "-c", f"printf '%s\\0' {line}"], capture_output=True, check=True, timeout=60)
    assert ended.stdout.decode().split("\0")[:-1] == shlex.split(line)


@pytest.mark.parametrize("value", [None, True, 3, 1e-5, "a b", "null", ["q_proj", 1], {"a": {"b": [1.5]}}, "x" * 4000])
def test_a_value_is_read_back_from_a_set(value: object) -> None:
    assert settings_in(flags({"train.x": value}), "lora") == {"train.x": value}
    assert "\n" not in as_value(value)


@pytest.mark.parametrize(
    ("fix", "method", "expected"),
    [
        ("--set data.max_length=64", "lora", {"data.max_length": 64}),
        ("--preset simple --set data.max_length=64", "lora", {"preset": "simple", "data.max_length": 64}),
        ("--rank 4", "adalora", {"peft.target_r": 4}),
        ("--method adalora --rank 4", "lora", {"method": "adalora", "peft.target_r": 4}),
        ("--device-index 0 --processes 2", "lora", {"run.device_index": 0, "launch.processes": 2}),
        ("--skip-bad", "lora", {"data.skip_bad": True}),
        ("--model minilm", "lora", {"model.name": "minilm"}),
        ("""--set peft.modules_to_save='["lm_head"]' --set peft.x=true""", "lora",
         {"peft.modules_to_save": ["lm_head"], "peft.x": True}),
        ("--task seq_cls --map text=message --map 'label=Answered by'", "lora",
         {"task": "seq_cls", "data.map": {"text": "message", "label": "Answered by"}}),
        ("--map message", "lora", None),
        ("tunewright train smollm2", "lora", None),
        ("start a new run", "lora", None),
        ("--price 3", "lora", None),
        ("--set", "lora", None),
        ("it's", "lora", None),
        ("", "lora", None),
    ],
)  # fmt: skip
def test_a_fix_of_flags_is_settings_and_any_other_is_not(fix: str, method: str, expected: object) -> None:
    assert settings_in(fix, method) == expected
