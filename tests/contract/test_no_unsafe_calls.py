"""No call in the package runs foreign code or leaves its one place; the twin test holds that the rules still bite.

Names are followed through imports, so that another name for a call is the same call.
"""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent.parent / "src/tunewright"
MODULES = {"pickle", "dill", "cloudpickle", "shelve", "marshal", "joblib", "pty", "code", "runpy", "imp"}
CALLS = {
    "eval", "exec", "compile", "__import__", "builtins.eval", "builtins.exec", "builtins.compile", "builtins.__import__",
    "torch.load", "torch.jit.load", "torch.export.load", "torch.hub.load", "numpy.load", "pandas.read_pickle",
    "yaml.load", "yaml.load_all", "yaml.full_load", "yaml.unsafe_load", "yaml.add_constructor",
    "os.system", "os.popen", "os.execv", "os.execvp", "os.execve", "os.spawnv", "os.spawnl", "os.posix_spawn", "os.fork",
    "asyncio.create_subprocess_exec", "asyncio.create_subprocess_shell", "multiprocessing.Process",
    "shutil.unpack_archive", "tempfile.mktemp", "logging.config.listen",
    "transformers.dynamic_module_utils.get_class_from_dynamic_module", "datasets.load_from_disk",
}  # fmt: skip
# What may stand in one file alone.
ONLY_IN = {
    "subprocess": "security/processes.py",
    "importlib.import_module": "__init__.py",
    "os.unlink": "rundir/atomic_io.py",
}
# Methods by their last name, whatever they are called on: archives, pickles and accelerate's states.
METHODS = {
    "extractall", "extract", "load_state", "register_for_checkpointing", "save_state", "read_pickle", "to_pickle",
    "load_custom_generate", "push_to_hub",
}  # fmt: skip
LOADERS = ("from_pretrained", "from_config")
NEEDS_NO_TRUST = ("PeftModel", "LoraConfig")  # classes of PEFT, behind security.gate_adapter
KEYWORDS = {"shell": "True", "weights_only": "False", "allow_pickle": "True", "trust_remote_code": "True"}
# Inside rundir/ only atomic_io.py writes, renames and removes.
WRITERS = {
    "unlink", "rename", "rmdir", "rmtree", "write_text", "write_bytes", "touch", "symlink_to", "move", "copyfile", "copytree"
}  # fmt: skip


def faults(source: str, name: str) -> Iterator[str]:
    """What is unsafe in a file of the package, with its line."""
    tree = ast.parse(source)
    names = _imported(tree)
    for node in ast.walk(tree):
        of_node: Iterator[str] = iter(())
        if isinstance(node, ast.Import | ast.ImportFrom):
            of_node = _import_faults(node, name)
        elif isinstance(node, ast.Call):
            of_node = _call_faults(node, name, names)
        elif isinstance(node, ast.Dict):
            of_node = _keyword_faults({k.value: v for k, v in zip(node.keys, node.values, strict=True) if _is_text(k)})
        elif isinstance(node, ast.Attribute | ast.Name):
            of_node = _reference_faults(_full_name(node, names))
        yield from (f"{name}:{node.lineno} {fault}" for fault in of_node)


def _is_text(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _imported(tree: ast.AST) -> dict[str, str]:
    """Names of this file -> what they mean, through imports under another name and plain assignments of names."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {a.asname: a.name for a in node.names if a.asname}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            meant = _full_name(node.value, names)
            if meant in CALLS or meant.split(".")[0] == "subprocess":
                names[node.targets[0].id] = meant
    return names


def _full_name(node: ast.AST, names: Mapping[str, str]) -> str:
    """`r` as subprocess.run; `getattr(os, "system")` and `vars(os)["system"]` as os.system."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        return f"{_full_name(node.value, names)}.{node.attr}"
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        holder = node.value
        if isinstance(holder, ast.Call) and holder.args and ast.unparse(holder.func) == "vars":
            return f"{_full_name(holder.args[0], names)}.{node.slice.value}"
        if isinstance(holder, ast.Attribute) and holder.attr == "__dict__":
            return f"{_full_name(holder.value, names)}.{node.slice.value}"
    if isinstance(node, ast.Call):
        is_getter = ast.unparse(node.func) == "getattr" and len(node.args) > 1 and _is_text(node.args[1])
        if is_getter:
            assert isinstance(node.args[1], ast.Constant)
            return f"{_full_name(node.args[0], names)}.{node.args[1].value}"
        if _full_name(node.func, names) in ("__import__", "importlib.import_module") and node.args:
            return str(node.args[0].value) if isinstance(node.args[0], ast.Constant) else "?"
    return "?"


def _import_faults(node: ast.Import | ast.ImportFrom, name: str) -> Iterator[str]:
    modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
    for module in modules:
        if module.split(".")[0] in MODULES or module in ("torch.package", "multiprocessing"):
            yield f"imports {module}"
    if isinstance(node, ast.ImportFrom):
        for alias in node.names:
            full = f"{node.module}.{alias.name}"
            if full in CALLS or full == "torch.package":
                yield f"imports {full}"


def _reference_faults(full: str) -> Iterator[str]:
    """Dangerous calls that are handed on instead of called."""
    if full in CALLS and "." in full:
        yield f"names {full}"


def _call_faults(node: ast.Call, name: str, names: Mapping[str, str]) -> Iterator[str]:
    full = _full_name(node.func, names).replace("np.load", "numpy.load").replace("pd.read", "pandas.read")
    last = full.rpartition(".")[2]
    if isinstance(node.func, ast.Attribute):
        last = node.func.attr
    keywords = {k.arg: k.value for k in node.keywords if k.arg}
    if full in CALLS:
        yield f"calls {full}"
    for place, file in ONLY_IN.items():
        if full.startswith(place) and full != "subprocess.TimeoutExpired" and name != file:
            yield f"calls {full} outside {file}"
    if last in METHODS and isinstance(node.func, ast.Attribute):
        yield f"calls {last}"
    if last == "import_module" and not (node.args and _is_ours(node.args[0])):
        yield "imports a module that is no literal"
    if ast.unparse(node.func) == "getattr" and not _is_text(node.args[1]) and name != "__init__.py":
        yield "reads an attribute whose name is no literal"
    yield from _keyword_faults(keywords)
    yield from _loader_faults(node, keywords)
    if (
        name.startswith("rundir/")
        and name != "rundir/atomic_io.py"
        and not ast.unparse(node.func).startswith("atomic_io.")
    ):
        yield from _writer_faults(node, last, name)


def _is_ours(node: ast.expr) -> bool:
    """A literal, or a literal that begins with our package's name."""
    if isinstance(node, ast.JoinedStr):
        return isinstance(node.values[0], ast.Constant) and str(node.values[0].value).startswith("tunewright.")
    return _is_text(node)


def _keyword_faults(keywords: Mapping[str, ast.expr]) -> Iterator[str]:
    for key, bad in KEYWORDS.items():
        if key in keywords and ast.unparse(keywords[key]) == bad:
            yield f"says {key}={bad}"


def _loader_faults(node: ast.Call, keywords: Mapping[str, ast.expr]) -> Iterator[str]:
    """A class of transformers that could take code from a folder is told not to, in so many words."""
    if not isinstance(node.func, ast.Attribute) or node.func.attr not in LOADERS:
        return
    if ast.unparse(node.func.value) in NEEDS_NO_TRUST:
        return
    value = keywords.get("trust_remote_code")
    if value is None or ast.unparse(value) != "False":
        yield f"{node.func.attr} without trust_remote_code=False"


def _writer_faults(node: ast.Call, last: str, name: str) -> Iterator[str]:
    if last in WRITERS and isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) != "atomic_io":
        yield f"{last} outside rundir/atomic_io.py"
    if last == "replace" and len(node.args) == 1:  # Path.replace; str.replace takes two
        yield "replace outside rundir/atomic_io.py"
    modes = [*node.args, *(k.value for k in node.keywords if k.arg == "mode")] if last == "open" else []
    if any(_is_text(mode) and set("wax+") & set(ast.literal_eval(mode)) for mode in modes):
        yield "opens for writing outside rundir/atomic_io.py"


def test_the_package_makes_no_unsafe_call() -> None:
    files = sorted(SOURCE.rglob("*.py"))
    assert len(files) > 150
    calls = [
        fault
        for path in files
        for fault in faults(path.read_text(encoding="utf-8"), path.relative_to(SOURCE).as_posix())
    ]
    assert calls == []


BAD = (
    "import pickle",
    "import pickle as p",
    "from pickle import loads",
    "import dill",
    "import cloudpickle.cloudpickle",
    "import shelve",
    "import marshal",
    "from torch import package",
    "import torch.package",
    "import multiprocessing",
    "eval(x)",
    "exec(x)",
    "compile(x, 'f', 'exec')",
    "import builtins\nbuiltins.exec(x)",
    "run = eval\nrun(x)",
    "__import__(name)",
    "torch.load(p)",
    "torch.load(p, weights_only=True)",
    "from torch import load as read\nread(p)",
    "import torch as t\nt.load(p)",
    "torch.jit.load(p)",
    "torch.hub.load(r, m)",
    "np.load(p, allow_pickle=True)",
    "import numpy as n\nn.load(p)",
    "pd.read_pickle(p)",
    "frame.to_pickle(p)",
    "yaml.load(t)",
    "yaml.full_load(t)",
    "from yaml import unsafe_load as read\nread(t)",
    "import yaml as y\ny.load(t, Loader=L)",
    "os.system(c)",
    "os.popen(c)",
    "os.execvp(c, a)",
    "import os as o\no.system(c)",
    "from os import system as s\ns(c)",
    'getattr(os, "system")(c)',
    "getattr(os, name)(c)",
    'vars(os)["system"](c)',
    'os.__dict__["system"](c)',
    "run = os.system\nrun(c)",
    "map(os.system, commands)",
    '__import__("os").system(c)',
    'importlib.import_module("os").system(c)',
    "subprocess.run(c)",
    "subprocess.Popen(c)",
    "from subprocess import run as r\nr(c)",
    "import subprocess as sp\nsp.check_output(c)",
    "asyncio.create_subprocess_shell(c)",
    "importlib.import_module(name)",
    "from importlib import import_module\nimport_module(config['module'])",
    "spawn(c, shell=True)",
    'spawn(c, **{"shell": True})',
    "load(p, weights_only=False)",
    'options = {"weights_only": False}',
    'options = {"trust_remote_code": True}',
    'load(p, **{"allow_pickle": True})',
    "archive.extractall(d)",
    "archive.extract(n, d)",
    "shutil.unpack_archive(p)",
    "accelerator.load_state(p)",
    "accelerator.register_for_checkpointing(x)",
    "model.push_to_hub(n)",
    "AutoModel.from_pretrained(n)",
    "AutoTokenizer.from_pretrained(n, trust_remote_code=True)",
    "AutoConfig.from_pretrained(n, trust_remote_code=asked)",
    "AutoModelForCausalLM.from_config(c)",
    "kind.from_config(c)",
    "from transformers import AutoModel as A\nA.from_pretrained(n)",
    "AutoModel.from_pretrained(n, **options)",
)
BAD_IN_RUNS = (
    'path.open("w")',
    'open(path, "ab")',
    'open(path, mode="x")',
    "path.write_text(t)",
    "path.unlink()",
    "path.rename(other)",
    "path.replace(other)",
    "shutil.rmtree(path)",
    "shutil.copyfile(a, b)",
    "path.touch()",
)


@pytest.mark.parametrize("bad", BAD)
def test_the_rules_bite(bad: str) -> None:
    assert list(faults(bad, "x.py"))


@pytest.mark.parametrize("bad", BAD_IN_RUNS)
def test_a_run_folder_is_written_by_one_file_alone(bad: str) -> None:
    assert list(faults(bad, "rundir/x.py"))
    assert not list(faults(bad, "rundir/atomic_io.py"))


@pytest.mark.parametrize(
    "good",
    [
        "text.replace(a, b)", "re.compile(x)", "yaml.safe_load(t)", 'path.open("rb")', 'import_module("tunewright.api")',
        "AutoModel.from_pretrained(n, trust_remote_code=False)", "PeftModel.from_pretrained(base, folder)",
        'getattr(node, "name")', "spawn(command(m))", "model.eval()", "dict(shell=False)",
    ],
)  # fmt: skip
def test_what_is_safe_is_let_through(good: str) -> None:
    assert list(faults(good, "rundir/x.py")) == []
