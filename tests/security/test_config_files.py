"""Config files of strangers: values and nothing else."""

from pathlib import Path

import pytest

from tests.hostile import TRIED
from tunewright.config.load_config import load
from tunewright.errors import ConfigError

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(9)
)
BAD = {
    "an object": "model: !!python/object/apply:os.system ['touch canary']\ndata: d\n",
    "a module": "model: !!python/module:os\ndata: d\n",
    "a name": "model: !!python/name:os.system\ndata: d\n",
    "a tuple": "model: !!python/tuple [a]\ndata: d\n",
    "an own tag": "model: !component m\ndata: d\n",
    "an anchor": "model: &m smollm2\ndata: d\n",
    "an alias": "model: m\ndata: *m\n",
    "a merge": "model: m\ndata: d\ntrain:\n  <<: {max_steps: 1}\n",
    "a laugh of nine levels": LAUGHS,
    "a loop": "model: m\ndata: d\npeft: &p\n  r: *p\n",
    "too much": "model: " + "x" * 1_000_001,
    "too deep": "peft: " + "[" * 50 + "]" * 50,
    "too many": "peft: [" + "1," * 6000 + "]",
    "bytes": "model: !!binary aGVsbG8=\ndata: d\n",
    "two documents": "model: m\n---\nmodel: n\n",
    "a directive": "%TAG ! tag:yaml.org,2002:python/\n---\nmodel: !name:os.system x\ndata: d\n",
    "a component": "model: m\ndata: d\n_component_: os.system\n",
    "a hook": "model: m\ndata: d\nexec: touch canary\n",
    "code of the model": "model: {name: m, trust_remote_code: true}\ndata: d\n",
    "code of the data": "model: m\ndata: {train: d, trust_remote_code: true}\n",
    "a control character": "model: \x07\ndata: d\n",
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_plain_value_is_refused(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "config.yaml"
    config.write_text(BAD[name], encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(config=config)
    assert {problem.code for problem in caught.value.problems} <= {
        "E101",
        "E102",
        "E103",
        "E105",
        "E107",
        "E108",
        "E112",
        "E118",
    }
    assert not (tmp_path / "canary").exists()
    TRIED["config files"] += 1
