"""No call in the package runs foreign code or leaves its one place; the twin test holds that the rule still bites."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent.parent / "src/tunewright"
MODULES = {"pickle", "dill", "cloudpickle", "shelve", "joblib", "marshal"}
CALLS = {
    "eval", "exec", "compile", "torch.load", "torch.jit.load", "torch.export.load", "yaml.load", "yaml.full_load",
    "yaml.unsafe_load", "os.system", "os.popen", "np.load", "numpy.load", "pd.read_pickle",
}  # fmt: skip
ONLY_IN = {"subprocess.Popen": "trust.py", "subprocess.run": "trust.py", "subprocess.call": "trust.py"}
LOADERS = ("from_pretrained", "from_config")
OURS = {"PeftModel.from_pretrained", "GenerationConfig.from_pretrained"}


def faults(source: str, name: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name.split(".")[0] for alias in node.names} | {
                (getattr(node, "module", "") or "").split(".")[0]
            }
            if names & MODULES:
                yield f"{name}:{node.lineno} imports {names & MODULES}"
        if isinstance(node, ast.Call):
            yield from _call_faults(node, name)


def _call_faults(node: ast.Call, name: str) -> Iterator[str]:
    called = ast.unparse(node.func)
    keywords = {k.arg: ast.unparse(k.value) for k in node.keywords if k.arg}
    if called in CALLS:
        yield f"{name}:{node.lineno} calls {called}"
    if called in ONLY_IN and name != ONLY_IN[called]:
        yield f"{name}:{node.lineno} calls {called} outside {ONLY_IN[called]}"
    if keywords.get("shell") == "True" or keywords.get("weights_only") == "False" or "extractall" in called:
        yield f"{name}:{node.lineno} is unsafe: {called}"
    if (
        called.rsplit(".", 1)[-1] in LOADERS
        and called.startswith("Auto")
        and keywords.get("trust_remote_code") != "False"
    ):
        yield f"{name}:{node.lineno} loads without trust_remote_code=False"


def test_the_package_makes_no_unsafe_call() -> None:
    found = [f for path in SOURCE.rglob("*.py") for f in faults(path.read_text(encoding="utf-8"), path.name)]
    assert found == []


@pytest.mark.parametrize(
    "bad",
    [
        "import pickle", "from pickle import loads", "eval(x)", "exec(x)", "torch.load(p)", "yaml.load(t)", "os.system(c)",
        "subprocess.run(c)", "spawn(c, shell=True)", "load(p, weights_only=False)", "archive.extractall(d)",
        "AutoModel.from_pretrained(n)", "AutoTokenizer.from_pretrained(n, trust_remote_code=True)",
    ],
)  # fmt: skip
def test_the_rule_bites(bad: str) -> None:
    assert list(faults(bad, "x.py"))
