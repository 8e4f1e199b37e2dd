"""Chat templates in the language of Ollama (Go's text/template), for the templates whose text was compared with the run's.

Ollama does not read the Jinja template of a GGUF: it has its own, or writes messages without any marks. A template is taken
from this table only if the run's own renders every probe conversation to the same text. Beginnings of text (bos) are left out
of Go templates, as Ollama's engine adds them where the file says so.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import jinja2

from tunewright.data.examples.formats import Message
from tunewright.data.tokenized.tokenizer import TextTokenizer


@dataclass(frozen=True)
class GoTemplate:
    """One form: what stands around each turn. `source` is its Go text; `render` writes the same text here.

    `turn` holds {role} and {content}; `prompt` begins the answer; `assistant` is what the form calls the model's role.
    """

    name: str
    turn: str
    prompt: str
    assistant: str = "assistant"
    takes_system: bool = True

    @property
    def source(self) -> str:
        """The template in Go's language."""
        role = "{{ .Role }}"
        if self.assistant != "assistant":
            role = '{{ if eq .Role "assistant" }}' + self.assistant + "{{ else }}{{ .Role }}{{ end }}"
        turn = self.turn.replace("{role}", role).replace("{content}", "{{ .Content }}")
        # No trim marks ({{- and -}}): they would eat the line ends of the turns.
        return f"{{{{ range .Messages }}}}{turn}{{{{ end }}}}{self.prompt}"

    def render(self, messages: Sequence[Message]) -> str:
        """The conversation with the beginning of an answer, as the Go template writes it."""
        turns = (
            self.turn.replace("{role}", self.assistant if message.role == "assistant" else message.role).replace(
                "{content}", message.content
            )
            for message in messages
        )
        return "".join(turns) + self.prompt


GO_TEMPLATES: tuple[GoTemplate, ...] = (
    GoTemplate("chatml", "<|im_start|>{role}\n{content}<|im_end|>\n", "<|im_start|>assistant\n"),
    GoTemplate(
        "llama3",
        "<|start_header_id|>{role}<|end_header_id|>\n\n{content}<|eot_id|>",
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
    ),
    GoTemplate(
        "gemma",
        "<start_of_turn>{role}\n{content}<end_of_turn>\n",
        "<start_of_turn>model\n",
        assistant="model",
        takes_system=False,
    ),
    GoTemplate("phi3", "<|{role}|>\n{content}<|end|>\n", "<|assistant|>\n"),
    GoTemplate("phi4-mini", "<|{role}|>{content}<|end|>", "<|assistant|>"),
)


@dataclass(frozen=True)
class ComparedTemplate:
    """A form that writes what the run's template writes, with the system turn that the template adds by itself.

    `keeps_blanks` is false where the run's template cuts blanks off both ends of a message, which Go's does not.
    """

    go: GoTemplate
    default_system: str
    keeps_blanks: bool


def compared_template(tokenizer: TextTokenizer) -> ComparedTemplate | None:
    """The form that equals the run's template on all probes; None if there is none, as for templates with own rules."""
    for go in GO_TEMPLATES:
        default = _default_system(go, tokenizer)
        if default is not None and all(_agrees(go, tokenizer, probe, default) for probe in _probes(go)):
            keeps_blanks = all(_agrees(go, tokenizer, probe, default) for probe in _blank_probes(go))
            return ComparedTemplate(go, default, keeps_blanks)
    return None


QUESTION, ANSWER = Message("user", "What is {1}?"), Message("assistant", "It is one.\nIndeed.")
SYSTEM = Message("system", "Answer in one word.")


def _probes(go: GoTemplate) -> Iterator[list[Message]]:
    """Conversations that a template may treat in its own way: one turn, several, and a system turn."""
    yield [QUESTION]
    yield [QUESTION, ANSWER, Message("user", "And 2?")]
    if go.takes_system:
        yield [SYSTEM, QUESTION]
        yield [SYSTEM, QUESTION, ANSWER, Message("user", "And 2?")]


def _blank_probes(go: GoTemplate) -> Iterator[list[Message]]:
    """The same with blanks at both ends of a message."""
    yield [Message("user", " blanks \n")]
    yield [QUESTION, Message("assistant", " It is.\n"), Message("user", "3?")]
    if go.takes_system:
        yield [Message("system", " Be brief.\n"), QUESTION]


def _text(go: GoTemplate, tokenizer: TextTokenizer, messages: Sequence[Message]) -> str | None:
    """What the run's template writes, without the beginning of text that the engine adds by itself.

    None where the template refuses, and where the engine would put a beginning of text before a prompt that had none in
    training, or leave one out.
    """
    try:
        text = tokenizer.render(messages, add_generation_prompt=True)
    except jinja2.TemplateError:
        return None
    bos = tokenizer.special_tokens.get("bos_token", "")
    has_bos = bool(bos) and text.startswith(bos) and not go.turn.startswith(bos)  # SmolLM2's is <|im_start|> itself
    adds_bos = tokenizer.encode("a", add_special_tokens=True) != tokenizer.encode("a")
    return text.removeprefix(bos) if has_bos and adds_bos else text if has_bos == adds_bos else None


def _default_system(go: GoTemplate, tokenizer: TextTokenizer) -> str | None:
    """The system turn that the template puts before a conversation without one, perhaps none; None if it is another form."""
    text, plain = _text(go, tokenizer, [QUESTION]), go.render([QUESTION])
    if text is None or not text.endswith(plain):
        return None
    added = text.removesuffix(plain)
    before, _mark, after = go.turn.replace("{role}", "system").partition("{content}")
    if not added:
        return ""
    if not go.takes_system or not (added.startswith(before) and added.endswith(after)):
        return None
    return added[len(before) : len(added) - len(after)]


def _agrees(go: GoTemplate, tokenizer: TextTokenizer, probe: Sequence[Message], default_system: str) -> bool:
    if default_system and probe[0].role != "system":
        probe = [Message("system", default_system), *probe]
    without_default = [
        message for message in probe if not (message.role == "system" and message.content == default_system)
    ]
    return _text(go, tokenizer, without_default) == go.render(probe)
