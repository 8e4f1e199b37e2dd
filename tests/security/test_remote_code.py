"""Code that comes with a model never runs: canaries at every entry, watched by an audit hook in a process of its own."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hostile import CHATML, TRIED, adapter_folder, model_folder, write_json
from tunewright.inspection.machine_info import SpeedProbe, probe_path
from tunewright.rundir import atomic_io

# Files that some library somewhere would import, and names that shadow modules that our processes import.
CODE = (
    "modeling_evil.py", "modeling_llama.py", "configuration_llama.py", "tokenization_llama.py", "processing_llama.py",
    "custom_generate/generate.py", "__init__.py", "sitecustomize.py", "usercustomize.py", "tokenizers.py", "json.py",
    "torch.py", "transformers.py", "peft/__init__.py", "tunewright.py", "numpy.py", "jinja2.py", "conftest.py", "setup.py",
)  # fmt: skip
WATCH = """
import json, os, sys
folder, canary, entry, arguments = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
seen = []
def watch(event, given):
    if event == "open" and isinstance(given[0], str):
        place = os.path.realpath(given[0])
        if (place.startswith(folder) and place.endswith((".py", ".pyc", ".bin"))) or place == canary or "/other-base/" in place:
            seen.append(f"open {place}")
    elif event == "exec" and getattr(given[0], "co_filename", "").startswith(folder):
        seen.append(f"exec {given[0].co_filename}")
    elif event == "import" and str(given[0]).startswith(("modeling_evil", "transformers_modules", "evil")):
        seen.append(f"import {given[0]}")
    elif event == "subprocess.Popen" and list(given[1][:3]) != [sys.executable, "-P", "-m"]:
        if not str(given[1][0]).endswith(("lscpu", "ldconfig", "gcc", "cc", "uname", "lsb_release")):
            seen.append(f"process {given[1]}")
    elif event in ("os.system", "socket.connect", "pty.spawn") or event.startswith("os.exec"):
        seen.append(event)
sys.addaudithook(watch)
from tunewright.errors import TunewrightError
code = ""
try:
    from tests import entries
    vars(entries)[entry](folder, *arguments)
except TunewrightError as fault:
    code = fault.problems[0].code
json.dump({"seen": seen, "code": code}, sys.stdout)
"""


@pytest.fixture
def evil(tmp_path: Path, home: Path) -> Iterator[Path]:
    """A sound model with code in every file that could be taken for its own, and a speed so that nothing is measured."""
    folder = model_folder(tmp_path / "model")
    for name in CODE:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"open({str(tmp_path / 'canary')!r}, 'w').write('ran')\n")
    probe = SpeedProbe(device="cpu", device_name="CPU", memory_bytes=0, flops={"fp32": 2e11, "bf16": 1e11})
    atomic_io.write_text(probe_path(), probe.model_dump_json())
    rows = (
        {"messages": [{"role": "user", "content": f"q{i}"}, {"role": "assistant", "content": f"a{i}"}]}
        for i in range(9)
    )
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    yield folder
    assert not (tmp_path / "canary").exists()


def enter(folder: Path, entry: str, *arguments: Path) -> dict[str, Any]:
    """What the audit hook saw, and the code of the refusal; the current folder is the model's."""
    argv = [sys.executable, "-P", "-c", WATCH, str(folder), str(folder.parent / "canary"), entry, *map(str, arguments)]
    root = Path(__file__).parent.parent.parent
    path = f"{root / 'src'}:{root}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", path)
        patch.setenv("HF_HUB_OFFLINE", "1")
        ended = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=240)
    assert ended.returncode == 0, ended.stderr[-3000:]
    TRIED["entries with a canary"] += 1
    return dict(json.loads(ended.stdout.splitlines()[-1]))


@pytest.mark.parametrize("entry", ["plan", "data_check"])
def test_files_of_code_beside_a_model_are_ignored(evil: Path, entry: str) -> None:
    assert enter(evil, entry, evil.parent / "rows.jsonl") == {"seen": [], "code": ""}


@pytest.mark.parametrize("entry", ["plan", "data_check", "train"])
@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "generation_config.json"])
def test_a_config_that_asks_for_code_is_refused_at_every_entry(evil: Path, entry: str, name: str) -> None:
    path = evil / name
    content = json.loads(path.read_text()) if path.is_file() else {}
    write_json(path, {**content, "auto_map": {"AutoModelForCausalLM": "modeling_evil.Model"}})
    assert enter(evil, entry, evil.parent / "rows.jsonl") == {"seen": [], "code": "E307"}


def test_a_template_that_reaches_for_code_is_refused(evil: Path) -> None:
    reaching = CHATML + "{{ cycler.__init__.__globals__.os.system('touch ../canary') }}"
    (evil / "chat_template.jinja").write_text(reaching)
    assert enter(evil, "data_check", evil.parent / "rows.jsonl") == {"seen": [], "code": "E314"}


def test_torch_loads_model_tokenizer_and_adapter_past_the_canaries(evil: Path) -> None:
    adapter = adapter_folder(evil.parent / "adapter", base_model_name_or_path=str(evil.parent / "other-base"))
    shutil.copytree(evil, evil.parent / "other-base")
    for name in CODE:
        (adapter / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(evil / name, adapter / name)
    assert enter(evil, "load_everything", evil.parent / "rows.jsonl", adapter) == {"seen": [], "code": ""}
