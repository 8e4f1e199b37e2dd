"""Commands that only read are quick: torch and its kin stay out, and the help is there at once."""

import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes
HEAVY = ("torch", "transformers", "peft", "accelerate", "datasets", "numpy")
BEST_OF = 5
HELP_SECONDS = 0.5
HELP_TIMES_BARE_PYTHON = 40  # of CPU time; measured 13 on two busy cores


def _modules(*words: str, folder: Path) -> set[str]:
    """Heavy modules that a command has loaded when it ends."""
    code = (
        "import sys, atexit\n"
        f"atexit.register(lambda: print('LOADED', *[m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr))\n"
        "from tunewright.cli.main import main\n"
        "main()\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 0, ended.stderr
    line = next(line for line in ended.stderr.splitlines() if line.startswith("LOADED"))
    return set(line.split()[1:])


@pytest.mark.parametrize(
    "words", [("--help",), ("explain", "r"), ("config", "validate", "my.yaml"), ("runs", "list"), ("train", "--help")]
)
def test_no_heavy_module_is_loaded(words: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text("model: smollm2\ndata: my.jsonl\n")
    assert _modules(*words, folder=tmp_path) == set()


def test_the_help_loads_nothing_but_typer(tmp_path: Path) -> None:
    code = "import sys, tunewright.cli.main\nprint([m for m in ('pydantic', 'rich', 'yaml', 'jinja2') if m in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ended.stdout == "[]\n"


def test_the_help_is_there_at_once() -> None:
    wall, cpu = _best("-m", "tunewright", "--help")
    _bare_wall, bare_cpu = _best("-c", "pass")
    assert cpu < HELP_TIMES_BARE_PYTHON * bare_cpu, (cpu, bare_cpu)
    assert wall < HELP_SECONDS or cpu < HELP_SECONDS, f"{wall:.2f} s, of which {cpu:.2f} s of CPU"


def _best(*words: str) -> tuple[float, float]:
    """The least wall and CPU seconds of a few tries, as others may use the machine."""
    walls, cpus = [], []
    for _try in range(BEST_OF):
        before, start = _children_cpu(), time.perf_counter()
        subprocess.run([sys.executable, *words], stdout=subprocess.DEVNULL, check=True, timeout=60)
        walls.append(time.perf_counter() - start)
        cpus.append(_children_cpu() - before)
    return min(walls), min(cpus)


def _children_cpu() -> float:
    """Seconds of CPU that ended children took; `os.times` counts in ticks of 10 ms, in which a bare Python is nothing."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
