"""Ollama's templates: what Go writes is what was compared, and only templates that were compared are taken."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from tests.deploy.go_template import instructions, rendered
from tunewright.data.examples.formats import Message
from tunewright.data.tokenized.chat_template import BUILT_IN
from tunewright.data.tokenized.tokenizer import TextTokenizer
from tunewright.extras.export.go_templates import GO_TEMPLATES, GoTemplate, compared_template
from tunewright.extras.export.modelfile import Modelfile, context_for

TURNS = [Message("user", "One?"), Message("assistant", " Two.\n"), Message("user", "Three {{ 3 }} {content}?")]
SMOLLM2 = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
GEMMA = (
    "{% for message in messages %}{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}"
    "{% if role == 'system' %}{{ raise_exception('no system turn') }}{% endif %}"
    "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)


@pytest.fixture
def tokenizer() -> Callable[..., TextTokenizer]:
    def build(template: str, **special: str) -> TextTokenizer:
        backend = Tokenizer(models.BPE())
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        return TextTokenizer(backend, special, template, (0,), frozenset(), None)

    return build


@pytest.mark.parametrize("go", GO_TEMPLATES, ids=lambda go: go.name)
def test_go_writes_what_was_compared(go: GoTemplate) -> None:
    assert rendered(go.source, TURNS) == go.render(TURNS)
    with_system = [Message("system", "Be brief."), *TURNS]
    assert rendered(go.source, with_system) == go.render(with_system)


def test_trim_marks_would_eat_the_line_ends() -> None:
    source = GO_TEMPLATES[0].source.replace("{{ end }}", "{{- end }}")
    assert rendered(source, TURNS) != GO_TEMPLATES[0].render(TURNS)


def test_a_template_is_known_by_what_it_writes(tokenizer: Callable[..., TextTokenizer]) -> None:
    plain = compared_template(tokenizer(BUILT_IN["chatml"]))
    assert plain is not None and (plain.go.name, plain.default_system, plain.keeps_blanks) == ("chatml", "", True)
    smollm2 = compared_template(tokenizer(SMOLLM2, bos_token="<|im_start|>"))
    assert smollm2 is not None and smollm2.default_system.startswith("You are a helpful AI assistant named SmolLM")
    gemma = compared_template(tokenizer(GEMMA))
    assert gemma is not None and (gemma.go.name, gemma.keeps_blanks) == ("gemma", False)


@pytest.mark.parametrize(
    "template",
    [
        BUILT_IN["plain"],
        BUILT_IN["chatml"].replace("<|im_end|>", "<|im_end|> "),
        BUILT_IN["chatml"].replace("message['content'] +", "(message['content'] | upper) +"),
        "{{ strftime_now('%d') }}" + BUILT_IN["chatml"],
        BUILT_IN["chatml"].replace("messages %}", "messages[-1:] %}"),
    ],
    ids=["plain", "a blank more", "other letters", "a date", "only the last turn"],
)
def test_any_other_template_is_not_taken_for_a_known_one(
    template: str, tokenizer: Callable[..., TextTokenizer]
) -> None:
    assert compared_template(tokenizer(template)) is None


def test_a_beginning_of_text_that_the_engine_would_not_write_is_no_match(
    tokenizer: Callable[..., TextTokenizer],
) -> None:
    with_bos = tokenizer("{{ bos_token }}" + BUILT_IN["chatml"], bos_token="<s>")
    assert compared_template(with_bos) is None  # its tokenizer adds none, so the file tells the engine to add none
    assert compared_template(replace(with_bos, chat_template=BUILT_IN["chatml"])) is not None


def test_a_modelfile_is_read_back_as_it_was_meant(tokenizer: Callable[..., TextTokenizer]) -> None:
    template = compared_template(tokenizer(SMOLLM2, bos_token="<|im_start|>"))
    assert template is not None
    text = Modelfile("base.gguf", "adapter.gguf", template, "", ("<|im_end|>", 'a "b"'), 4096).text()
    read = list(instructions(text))
    assert read == [
        ("FROM", "./base.gguf"),
        ("ADAPTER", "./adapter.gguf"),
        ("TEMPLATE", template.go.source),
        ("SYSTEM", template.default_system),
        ("PARAMETER stop", "<|im_end|>"),
        ("PARAMETER stop", 'a "b"'),
        ("PARAMETER temperature", "0"),
        ("PARAMETER num_ctx", "4096"),
    ]
    own = Modelfile("model.gguf", "", template, "Our own.\nSystem.", (), 4096).text()
    assert dict(instructions(own))["SYSTEM"] == "Our own.\nSystem."
    assert "ADAPTER" not in own


def test_the_context_holds_the_longest_row_twice_and_never_more_than_the_model() -> None:
    assert [context_for(96, 8192), context_for(3000, 8192), context_for(3000, 2048)] == [4096, 6000, 2048]
