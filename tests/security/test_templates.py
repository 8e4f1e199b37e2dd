"""Chat templates of strangers: none gets out of the sandbox, none goes on for ever, and each fault has its place."""

from datetime import datetime
from pathlib import Path

import pytest

from tests.hostile import CHATML, TRIED, tokenizer_folder
from tunewright.data.examples.formats import Message
from tunewright.data.tokenized import template_sandbox
from tunewright.data.tokenized.chat_template import BUILT_IN, render
from tunewright.data.tokenized.tokenizer import TOOL_TEMPLATE, load_tokenizer
from tunewright.errors import ModelError
from tunewright.rundir import run_dir

ESCAPES = (
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ ().__class__.__base__ }}",
    "{{ cycler.__init__.__globals__.os.system('touch canary') }}",
    "{{ joiner.__init__.__globals__ }}",
    "{{ namespace.__init__.__globals__ }}",
    "{{ raise_exception.__globals__ }}",
    "{{ strftime_now.__globals__ }}",
    "{{ self.__init__.__globals__ }}",
    "{{ messages.__class__ }}{{ messages.__class__.__base__.__subclasses__() }}",
    "{{ (messages|attr('__class__'))|attr('__mro__') }}",
    "{{ '%s'.format.__self__.__class__.__mro__ }}",
    "{{ '{0.__class__.__mro__}'.format(messages)[0].__subclasses__() }}",
    "{{ messages.append(1) }}",
    "{{ messages[0].update({'role': 'x'}) }}",
    "{% set ns = namespace(a=1) %}{% set ns.__class__ = 1 %}{{ ns.__class__.__mro__ }}",
    "{{ lipsum.__globals__['os'].popen('touch canary').read() }}",
    "{{ dict.__subclasses__() }}",
    "{{ raise_exception.__code__.co_code }}",
)
ENDLESS = {
    "one loop": ("a\n{% for i in range(10**9) %}x{% endfor %}", 2),
    "loops in loops": ("{% for a in range(99999) %}\n{% for b in range(99999) %}{% endfor %}{% endfor %}", 2),
    "macros that call themselves": (
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}", 1
    ),
    "loops over texts": (
        "{% set t = 'x' * 99999 %}{% for a in t %}{% for b in t %}{% endfor %}{% endfor %}", 1
    ),
    "more than its memory": ("{{ ('x' * 1000000000)|length }}", 1),
    "a doubling text": (
        "{% set ns = namespace(t='xxxxxxxx') %}{% for i in range(99) %}{% set ns.t = ns.t ~ ns.t %}{% endfor %}", 1
    ),
    "more than anybody reads": ("{% for i in range(99999) %}{{ 'x' * 9999 }}{% endfor %}", 0),
    "a number of all digits": ("{{ 9 ** (9 ** 9) }}", 0),
}  # fmt: skip
BROKEN = {
    "{% for message in messages %}": 1, "a\n{{ messages[ }}": 2, "{% include 'x' %}{% nosuch %}": 1, "{{ x|nosuch }}": 1,
    "a\nb\n{% endfor %}": 3, "x" * 300_000: 0,
}  # fmt: skip


def refusal(folder: Path, template: str) -> ModelError:
    with pytest.raises(ModelError, match="E314") as caught:
        load_tokenizer(tokenizer_folder(folder, template))
    TRIED["templates"] += 1
    return caught.value


@pytest.mark.parametrize("name", ENDLESS)
def test_a_template_without_end_is_refused_and_not_followed(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(template_sandbox, "SECONDS", 1)
    template, line = ENDLESS[name]
    problem = refusal(tmp_path, template).problems[0]
    assert problem.where.file == str(tmp_path / "tokenizer_config.json")
    assert not line or f"line {line}:" in problem.message(), problem.message()
    assert problem.fixes() == ["--set model.chat_template=chatml"]


@pytest.mark.parametrize("template", ESCAPES)
def test_no_template_gets_out_of_the_sandbox(tmp_path: Path, template: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    reason, _line = template_sandbox._attempt(template, {})
    written = ""
    if not reason:  # what the sandbox gives as undefined fails or is empty in every row
        try:
            written = render(template, [Message("user", "hello")], {})
        except template_sandbox.jinja2.TemplateError:
            reason = "refused"
    assert "class" not in written and "object at" not in written and "built-in" not in written
    assert not (tmp_path / "canary").exists()
    TRIED["templates"] += 1


def test_an_escape_is_told_with_its_line(tmp_path: Path) -> None:
    message = refusal(tmp_path, "a\nb{{ ''.__class__.__mro__ }}").problems[0].message()
    assert "line 2:" in message


@pytest.mark.parametrize(("template", "line"), BROKEN.items(), ids=range(len(BROKEN)))
def test_what_is_no_template_is_told_with_its_line(tmp_path: Path, template: str, line: int) -> None:
    message = refusal(tmp_path, template).problems[0].message()
    assert not line or f"line {line}:" in message


def test_a_template_file_is_told_by_its_own_line(tmp_path: Path) -> None:
    (tokenizer_folder(tmp_path) / "chat_template.jinja").write_text("a\n\n{{ x|nosuch }}")
    with pytest.raises(ModelError, match="E314") as caught:
        load_tokenizer(tmp_path)
    assert str(caught.value.problems[0].where) == f"{tmp_path / 'chat_template.jinja'}:3"
    (tmp_path / "chat_template.jinja").write_bytes(b"\xff")
    with pytest.raises(ModelError, match="E314"):
        load_tokenizer(tmp_path)
    TRIED["templates"] += 2


@pytest.mark.parametrize("stored", [5, {}, [1], [{"name": "default"}], [{"name": "other", "template": "x"}], []])
def test_a_stored_template_that_is_none_is_as_if_it_were_not_there(tmp_path: Path, stored: object) -> None:
    tokenizer_folder(tmp_path, stored)  # type: ignore[arg-type]
    assert load_tokenizer(tmp_path).chat_template is None


def test_a_sound_template_is_tried_once_and_ours_never(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requests: list[str] = []
    monkeypatch.setattr(
        template_sandbox, "tried", lambda module, request: requests.append(module) or {"reason": "", "line": 0}
    )
    folder = tokenizer_folder(tmp_path, CHATML + "{# once #}")
    for _ in range(3):
        assert load_tokenizer(folder).chat_template
    for name in BUILT_IN:
        load_tokenizer(folder, name)
    assert requests == ["tunewright.data.tokenized.template_sandbox"]


@pytest.mark.parametrize("template", ["{{ 1 / 0 }}", "{{ messages[9]['x'] }}", "{{ 'a' + 1 }}", "{{ range(10**9) }}"])
def test_a_template_that_fails_on_a_row_is_that_rows_refusal(template: str) -> None:
    with pytest.raises(template_sandbox.jinja2.TemplateError):
        render(template, [Message("user", "hello")], {})
    TRIED["templates"] += 1


DATED = "{{ strftime_now('%Y-%m-%d %H:%M:%S %s') }}" + CHATML


def test_a_row_does_not_depend_on_the_second_but_on_the_day_of_the_run(tmp_path: Path) -> None:
    folder = tokenizer_folder(tmp_path, DATED)
    turns = [Message("user", "Hi.")]
    first = load_tokenizer(folder)
    assert first.is_dated and not load_tokenizer(folder, "chatml").is_dated
    assert first.render(turns).startswith(f"{datetime.now():%Y-%m-%d} 00:00:00")
    of_run = load_tokenizer(folder, day=datetime(2024, 2, 29))
    assert of_run.render(turns).startswith("2024-02-29 00:00:00")
    assert of_run.render(turns) == of_run.render(turns)


def test_the_day_of_a_run_is_that_of_its_creation(tmp_path: Path) -> None:
    run = run_dir.create(tmp_path / "run", "x")
    run.update_info(created=datetime(2024, 2, 29, 23, 59, 59).timestamp())
    assert run.day() == datetime(2024, 2, 29)


@pytest.mark.parametrize("name", ["chat_template.jinja", TOOL_TEMPLATE])
def test_a_template_file_too_large_is_not_read(tmp_path: Path, name: str) -> None:
    path = tokenizer_folder(tmp_path) / name
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as file:
        file.truncate(64 * 2**30)
    with pytest.raises(ModelError, match=r"E314.*larger than"):
        load_tokenizer(tmp_path)
    TRIED["templates"] += 1


def test_a_template_for_tools_that_leads_out_of_the_folder_is_not_read(tmp_path: Path) -> None:
    folder, secret = tokenizer_folder(tmp_path / "model"), tmp_path / "secret"
    secret.write_text("{{ messages }}")
    path = folder / TOOL_TEMPLATE
    path.parent.mkdir()
    path.symlink_to(secret)
    with pytest.raises(ModelError, match="E315"):
        load_tokenizer(folder)
    TRIED["templates"] += 1
