"""Processes: started here alone, from our own modules, and with limits where they touch what may be endless."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from tunewright.security.printable_text import SECRETS

MODULES = (
    "tunewright.launch.supervisor",
    "tunewright.launch.queue_runner",
    "tunewright.engine.worker",
    "tunewright.engine.lean_start",
    "tunewright.engine.session_server",
    "tunewright.extras.session_worker",
    "tunewright.extras.ray_starter",
    "tunewright.extras.lm_eval.harness_worker",
    "tunewright.extras.export.scale_worker",
    "tunewright.extras.export.quantize_worker",
    "tunewright.extras.export.exporter_worker",
    "tunewright.extras.export.ct2_worker",
    "tunewright.extras.serve.llama_worker",
    "tunewright.extras.deploy.background_worker",
    "tunewright.engine.system.device_probe",
    "tunewright.engine.system.training_probe",
    "tunewright.engine.system.link_probe",
    "tunewright.engine.models.meta_shapes",
    "tunewright.engine.training.dry_run",
    "tunewright.engine.models.gguf_weights",
    "tunewright.engine.models.encoder_decoder",
    "tunewright.engine.models.convert_tokenizer",
    "tunewright.data.tokenized.template_sandbox",
    "tunewright.data.tokenized.tokenizer_sandbox",
    "tunewright.data.tokenized.encoder_worker",
    "tunewright.security.regex_timeout",
    "pip",
)
# What a person's shell sets for Python itself must not change what our processes say, nor the code they end with.
STREAMS = {"PYTHONIOENCODING": "utf-8"}
INTERACTIVE = ("PYTHONINSPECT",)
WAIT_SECONDS = 60  # for a child whose own limit is in seconds of computing, on a machine with other work


def command(module: str, *arguments: str) -> list[str]:
    """The argv that starts one of our own modules; nothing of the user's becomes code or an option.

    -P, as without it Python looks in the current folder first, which may be one that was downloaded.
    """
    assert module in MODULES, module
    return [sys.executable, "-P", "-m", module, *(str(argument) for argument in arguments)]


def script_command(script: Path, *arguments: str) -> list[str]:
    """The argv that starts a script of a pinned tool; its folder's digest was just checked (extras/export/tool_wheels.py).

    Without -P, as the script imports what lies beside it; nothing is written beside it, so that its digest stays.
    """
    return [sys.executable, "-s", "-B", str(script), *(str(argument) for argument in arguments)]


def spawn(
    argv: Sequence[str],
    *,
    stdin: int | IO[Any] = subprocess.DEVNULL,
    stdout: int | IO[Any] = subprocess.DEVNULL,
    stderr: int | IO[Any] = subprocess.DEVNULL,
    detached: bool = False,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[str]:
    """The only place that starts a process: no shell; detached ones get a session of their own.

    None of them is given the Hub's token: only benchmarks ask the Hub at all, for public data, with `--online`.
    """
    own_environment = {name: value for name, value in os.environ.items() if name not in (*SECRETS, *INTERACTIVE)}
    return subprocess.Popen(
        list(argv),
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        start_new_session=detached,
        env={**own_environment, **STREAMS, **(environment or {})},
        text=True,
        encoding="utf-8",
    )


def tried(module: str, request: Mapping[str, object], *, wait_seconds: float = WAIT_SECONDS) -> dict[str, Any] | None:
    """The answer of a module that limits itself to one request, in a process of its own; None if its limits ended it."""
    process = spawn(command(module), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        output, _none = process.communicate(json.dumps(request), timeout=wait_seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return None
    return dict(json.loads(output)) if process.returncode == 0 else None


def limit_this_process(seconds: int, megabytes: int, *, only_held: bool = False) -> None:
    """End by SIGXCPU after this much CPU time, a second later by SIGKILL, and limit the memory.

    With `only_held` addresses that are reserved and hold nothing do not count: a GPU's driver reserves very many.
    """
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    if sys.platform == "linux":  # macOS knows the limit and does not hold to it
        kind = resource.RLIMIT_DATA if only_held else resource.RLIMIT_AS
        resource.setrlimit(kind, (megabytes * 2**20, megabytes * 2**20))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
