"""Our rendering against transformers': the same text for templates of many kinds."""

import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from tunewright.data.examples.formats import Message
from tunewright.data.tokenized.chat_template import BUILT_IN, render

TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
TEMPLATES = {
    **BUILT_IN,
    "blocks": "{% for m in messages %}\n    {% if loop.first %}\n{{ bos_token }}\n    {% endif %}\n{{ m.content }}\n{% endfor %}",
    "tools": "{% if tools %}{{ tools | tojson }}{% else %}none{% endif %}{% if documents is none %}!{% endif %}",
    "namespace": "{% set s = namespace(n=0) %}{% for m in messages %}{% set s.n = s.n + 1 %}{% endfor %}{{ s.n }}{{ dict(a=1).a }}",
    "loops": "{% for m in messages %}{% if loop.first %}{% continue %}{% endif %}{{ m.content | tojson }}{% break %}{% endfor %}",
    "generation": "{% for m in messages %}{% generation %}{{ m.content | trim }}{% endgeneration %}{% endfor %}",
    "methods": "{% for m in messages %}{{ m['content'].split('\n')[0].strip() | upper }}{{ m.get('tool_calls') }}{% endfor %}",
    "date": "{{ strftime_now('%Y') }}{{ messages[0].role is defined }}{{ messages | length }}",
}
TURNS = [("system", 'Be <brief> & "kind".'), ("user", " hi\nthere "), ("assistant", "ünï 你好"), ("user", "bye")]


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("generation_prompt", [True, False])
def test_a_template_renders_as_in_transformers(name: str, generation_prompt: bool) -> None:
    theirs, _ = render_jinja_template(
        [[{"role": role, "content": content} for role, content in TURNS]],
        chat_template=TEMPLATES[name],
        add_generation_prompt=generation_prompt,
        **TOKENS,
    )
    ours = render(TEMPLATES[name], [Message(*turn) for turn in TURNS], TOKENS, add_generation_prompt=generation_prompt)
    assert ours == theirs[0]
