"""PEFT's own tests with our fast paths on: `python tests/external/run.py [STEP...]`.

The installed PEFT's source package is fetched from the package index into a folder that is thrown away; of its tests those
of LoRA and of what LoRA stands on are run as they are, and again with our fast paths on. All that passed must pass again.
A test that fails both times, as one that asks the Hub for what is not there, proves nothing and is not counted: there is
no list of skipped tests. Every test draws the same numbers both times.

Some tests hold sums of a thousand products to 1e-6, where it is rounding that decides. So a test that was lost is run on more
draws, also without us but with the sums of a plainer processor (which MKL can be told to make), and it is not counted either
if it fails on any of them without us. Those that are known to be lost are named in KNOWN with the reason; any other one fails
the run, and so does a path that ran in no test.
"""

import argparse
import json
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import environment

HERE = Path(__file__).parent
# What PEFT's tests import and we do not need.
EXTRAS = (
    "parameterized==0.9.0", "scipy==1.17.1", "scikit-learn==1.9.1", "joblib==1.6.0", "threadpoolctl==3.8.0",
    "cloudpickle==3.1.3", "narwhals==2.29.0", "diffusers==0.42.1", "attrs==26.1.0", "importlib_metadata==10.2.0",
    "zipp==4.1.2", "pillow==13.0.0",
)  # fmt: skip
FILES = (
    "test_custom_models.py", "test_decoder_models.py", "test_mapping.py", "test_loraplus.py", "test_mixed.py",
    "test_target_parameters.py", "test_trainable_tokens.py", "test_low_level_api.py", "test_initialization.py",
    "test_tuners_utils.py", "test_config.py", "test_lora_variants.py",
)  # fmt: skip
ONE_IN = 4
DRAWS = range(1, 6)
# They hold sums of 1,000 products of random numbers to 1e-6; of such sums oneDNN's are off by up to 1.3e-6, MKL's by 0.7e-6.
_CONVERTED = "tests/test_initialization.py::TestLoraInitialization::test_"
KNOWN = frozenset(
    {
        f"{_CONVERTED}lora_pissa_conversion_same_output_after_loading",
        f"{_CONVERTED}lora_pissa_conversion_same_output_after_loading_with_alpha_pattern",
        f"{_CONVERTED}olora_conversion_same_output_after_loading_with_rslora",
    }
)
PATHS = ("onednn_matmul", "merged_lora", "document_attention")
STEPS = ("prepare", "stock", "fast", "again", "compare")
Tests = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Way:
    """How PEFT's tests are run."""

    plugins: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


STOCK, FAST, PLAINER = "stock", "fast", "plainer"
WAYS = {STOCK: Way(), FAST: Way(plugins=("fastpaths",)), PLAINER: Way(environment={"MKL_CBWR": "COMPATIBLE"})}


@dataclass(frozen=True)
class Folder:
    """Where one run of this script keeps what it fetched and found."""

    path: Path

    @property
    def suite(self) -> Path:
        return self.path / f"peft-{version('peft')}"

    def record(self, name: str) -> Path:
        return self.path / f"{name}.jsonl"

    def environment(self) -> dict[str, str]:
        """One thread, no Hub, and this source tree in front."""
        return os.environ | {
            "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "HF_HOME": str(self.path / "huggingface"),
            "PYTHONPATH": os.pathsep.join((str(environment.SOURCE), str(HERE))),
        }  # fmt: skip


def prepare(folder: Folder) -> None:
    """Fetch the tests, and make an environment and the models that they need."""
    import standins  # torch, which the other steps do without

    name = f"peft=={version('peft')}"
    options = ("--no-deps", "--no-binary", ":all:", "--no-build-isolation", "--quiet", "--disable-pip-version-check")
    subprocess.run([sys.executable, "-m", "pip", "download", *options, "-d", folder.path, name], check=True)
    with tarfile.open(next(folder.path.glob("peft-*.tar.gz"))) as package:
        package.extractall(folder.path, filter="data")
    (folder.suite / "tests" / "__init__.py").touch()
    (folder.suite / "empty.ini").write_text("[pytest]\n")
    environment.make(folder.path / "environment", packages=EXTRAS)
    standins.write(folder.path / "huggingface" / "hub")


def run_tests(folder: Folder, way: str, tests: Sequence[str], *, one_in: int, seed: int = 0) -> None:
    """Tests in one of the ways. That some fail is no failure here; that they cannot be run is."""
    python, name = folder.path / "environment" / environment.PYTHON, _name(way, seed)
    options = ["-c", "empty.ini", "--rootdir", ".", "-q", "--tb=native", "-p", "no:cacheprovider", "-p", "recorded"]
    ours = [f"--record={folder.record(name)}", f"--one-in={one_in}", f"--seed={seed}"]
    command = [python, "-m", "pytest", *options, *(f"-p{plugin}" for plugin in WAYS[way].plugins), *ours, *tests]
    variables = folder.environment() | WAYS[way].environment
    with (folder.path / f"{name}.log").open("wb") as log:
        done = subprocess.run(command, cwd=folder.suite, env=variables, stdout=log, stderr=subprocess.STDOUT)
    if done.returncode not in (0, 1):
        sys.exit(f"pytest ended with {done.returncode}: {log.name}")


def _name(way: str, seed: int) -> str:
    return f"{way}-{seed}" if seed else way


def again(folder: Folder) -> None:
    """What was lost, on more draws, in every way."""
    tests = _lost(folder)
    for seed in DRAWS if tests else ():
        for way in WAYS:
            run_tests(folder, way, tests, one_in=1, seed=seed)


def _lost(folder: Folder) -> list[str]:
    stock, fast = _read(folder.record(STOCK)), _read(folder.record(FAST))
    return sorted(test for test in stock if stock[test]["passed"] and not fast[test]["passed"])


def compare(folder: Folder) -> bool:
    """Print what passed and where each path ran, as JSON; True if nothing new was lost and every path ran."""
    stock, fast = _read(folder.record(STOCK)), _read(folder.record(FAST))
    draws = {test: {way: _passed_draws(folder, way, test) for way in WAYS} for test in _lost(folder)}
    lost = [test for test, passed in draws.items() if passed[STOCK] == passed[PLAINER] == len(DRAWS)]
    ran = {path: _ran(fast, path) for path in PATHS}
    lost_tests = {
        "peft": version("peft"), "torch": version("torch"), "transformers": version("transformers"),
        "tests": len(stock), "passed_stock": _num_passed(stock), "passed_fast": _num_passed(fast), "lost": lost,
        f"passed_of_{len(DRAWS)}_draws": draws, "fast_paths": ran, "stock_onednn_matmul": _ran(stock, "onednn_matmul"),
        "by_file": {file: _by_file(stock, fast, file) for file in FILES},
    }  # fmt: skip
    print(json.dumps(lost_tests, indent=1))
    return (
        not set(lost) - KNOWN and stock.keys() == fast.keys() and all(record["passed_tests"] for record in ran.values())
    )


def _read(record: Path) -> Tests:
    return {line["test"]: line for line in map(json.loads, record.read_text().splitlines())}


def _passed_draws(folder: Folder, way: str, test: str) -> int:
    return sum(_read(folder.record(_name(way, seed)))[test]["passed"] for seed in DRAWS)


def _num_passed(tests: Tests) -> int:
    return sum(line["passed"] for line in tests.values())


def _ran(tests: Tests, path: str) -> dict[str, int]:
    """How often a path ran, and in how many of the tests that passed."""
    passed = [line["counts"].get(path, 0) for line in tests.values() if line["passed"]]
    return {"times": sum(passed), "passed_tests": sum(count > 0 for count in passed)}


def _by_file(stock: Tests, fast: Tests, file: str) -> dict[str, int]:
    of = {"stock": stock, "fast": fast}
    mine = {
        name: {test: result for test, result in tests.items() if f"/{file}::" in test} for name, tests in of.items()
    }
    return {"tests": len(mine["stock"]), **{name: _num_passed(tests) for name, tests in mine.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("steps", nargs="*", default=STEPS, metavar="STEP", help=f"of {', '.join(STEPS)}; all if none")
    parser.add_argument("--folder", type=Path, help="keep everything here, so that steps can be run one by one")
    parser.add_argument("--one-in", type=int, default=ONE_IN, help="of the LoRA tests of the large files; 1 takes all")
    options = parser.parse_args()
    if unknown := set(options.steps) - set(STEPS):
        parser.error(f"no such step: {', '.join(sorted(unknown))}")
    with TemporaryDirectory() as temporary:
        folder = Folder((options.folder or Path(temporary)).resolve())
        folder.path.mkdir(parents=True, exist_ok=True)
        files = [f"tests/{file}" for file in FILES]
        steps = {
            "prepare": lambda: prepare(folder),
            "stock": lambda: run_tests(folder, STOCK, files, one_in=options.one_in),
            "fast": lambda: run_tests(folder, FAST, files, one_in=options.one_in),
            "again": lambda: again(folder),
        }
        for step in options.steps:
            started = time.monotonic()
            if step == "compare":
                sys.exit(0 if compare(folder) else 1)
            steps[step]()
            print(f"{step}: {time.monotonic() - started:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
