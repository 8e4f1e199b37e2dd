"""Runs behind an endpoint: llama.cpp or the runs' own sessions, behind one front that speaks OpenAI's API."""

import hashlib
import json
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.api.run_handle import TrainedRun
from tunewright.config.methods import virtual_tokens
from tunewright.config.tasks import TASKS
from tunewright.errors import Problem, error, errors_of
from tunewright.extras.export import export_run
from tunewright.extras.export.export_plan import ExportPlan, make_export_plan
from tunewright.extras.export.gguf import adapter_to_gguf
from tunewright.extras.export.tool_wheels import LLAMA_CPP
from tunewright.extras.export.write_gguf import ADAPTER, BASE, MODEL
from tunewright.extras.serve.llama_engine import LlamaModel
from tunewright.extras.serve.serve_options import MIN_CONTEXT, ServeOptions
from tunewright.i18n import N_, Phrase
from tunewright.launch.session_client import SessionClient
from tunewright.reporting import SILENT, Reporter
from tunewright.rundir import atomic_io, base_fingerprint, file_names
from tunewright.rundir.base_model import base_of
from tunewright.rundir.checkpoints import MANIFEST, sha256
from tunewright.security import cache_faults, home

if TYPE_CHECKING:
    from tunewright.extras.serve.open_front import OpenFront

SESSION = "tunewright.extras.session_worker"
ENGINES = ("llama", "transformers")
NOT_FOR_LLAMA = ("E603", "E620")  # what a run's own session can still serve
PARTS = ("starlette", "uvicorn", "httpx2")  # of the front; llama.cpp's wheel is asked for where it is needed


@dataclass(frozen=True)
class Served:
    """What is served where. `problem` is why llama.cpp cannot serve it, where the run's own session does instead."""

    url: str
    """Without /v1."""
    engine: str
    models: tuple[str, ...]
    """The names that requests choose between."""
    context: int
    """Tokens of prompt and answer together."""
    writes: bool
    """Whether it answers in text; it labels texts otherwise."""
    key_file: Path | None
    problem: Problem | None
    front: "OpenFront"

    def run(self) -> None:
        """Serve in this thread until SIGINT or SIGTERM."""
        self.front.run()

    def to_json(self) -> dict[str, object]:
        """For `serve --json`."""
        return {
            "schema": file_names.SCHEMA, "url": self.url, "engine": self.engine, "models": list(self.models),
            "context": self.context, "key_file": str(self.key_file) if self.key_file else None,
            "problem": self.problem.to_json() if self.problem else None,
        }  # fmt: skip


@contextmanager
def serve(
    runs: TrainedRun | Sequence[TrainedRun], *, engine: str | None = None, quant: str | None = None,
    port: int = 0, api_key_file: str | Path | None = None, with_system: bool = False, reporter: Reporter = SILENT,
) -> Iterator[Served]:  # fmt: skip
    """An endpoint for these runs on this machine while the block lasts: `with tw.serve(run) as served: served.url`.

    Each run is a model by its name for any client of OpenAI's API, with the base URL `served.url + "/v1"`.
    Raises: as `open_server`.
    """
    options = ServeOptions(
        port=port, api_key_file=Path(api_key_file) if api_key_file else None, with_system=with_system
    )
    listed = [runs] if isinstance(runs, TrainedRun) else list(runs)
    opened = open_server(listed, options, engine=engine, quant=quant, reporter=reporter)
    with opened as served, served.front.in_background():
        yield served


@contextmanager
def open_server(
    runs: Sequence[TrainedRun], options: ServeOptions, *, engine: str | None = None, quant: str | None = None,
    reporter: Reporter = SILENT,
) -> Iterator[Served]:  # fmt: skip
    """The runs loaded behind a bound port, to be served by `run`. GGUF files are made once and kept.

    Raises: ConfigError E116; ExportError E601, E620 to E622, E640 to E648; ModelError E324; TrainingError E515; HubError E706.
    """
    options.refuse_unsafe()
    _refuse_without_parts()
    _refuse_same_names(runs)
    if engine not in (None, *ENGINES):
        raise error("E622", what=N_("an engine"), value=engine, choices=" ".join(ENGINES))
    if engine == "transformers":
        with _by_sessions(runs, options, None) as served:
            yield served
        return
    plans = [_llama_plan(run, quant, is_alone=len(runs) == 1) for run in runs]
    run, problem = next(((r, p) for r, plan in zip(runs, plans, strict=True) for p in plan.problems), (runs[0], None))
    if problem is None:
        with _by_llama(runs, plans, options, reporter) as served:
            yield served
        return
    if problem.code not in NOT_FOR_LLAMA:
        raise errors_of([problem])
    if engine == "llama" or len(runs) > 1:
        raise error("E646", name=run.name, quoted=shlex.quote(run.name), reason=problem.values["reason"])
    with _by_sessions(runs, options, problem) as served:
        yield served


def _refuse_without_parts() -> None:
    """Raises: ExportError E601."""
    if not all(map(find_spec, PARTS)):
        raise error("E601", what="tunewright serve", extra="serve")


def _refuse_same_names(runs: Sequence[TrainedRun]) -> None:
    """Raises: ExportError E648."""
    names = [run.name for run in runs]
    for name in names:
        if names.count(name) > 1:
            raise error("E648", name=name)


def _llama_plan(run: TrainedRun, quant: str | None, *, is_alone: bool) -> ExportPlan:
    """How the run becomes GGUF: the adapter on the base's own file where it came as one, merged otherwise; several as adapters."""
    as_adapter = make_export_plan(run.dir, "gguf", Path(MODEL), as_="adapter", quant=quant)
    if not is_alone or (not as_adapter.problems and as_adapter.uses_original):
        return as_adapter
    return make_export_plan(run.dir, "gguf", Path(MODEL), as_="merged", quant=quant)


@contextmanager
def _by_llama(
    runs: Sequence[TrainedRun], plans: Sequence[ExportPlan], options: ServeOptions, reporter: Reporter
) -> Iterator[Served]:
    from tunewright.extras.serve.backend import ServedModel
    from tunewright.extras.serve.llama_engine import refuse_without_engine
    from tunewright.extras.serve.open_front import llama_front

    refuse_without_engine()
    _refuse_different_bases(runs)
    folders = [_gguf_folder(run, plan) for run, plan in zip(runs, plans, strict=True)]
    for number, (run, plan, folder) in enumerate(zip(runs, plans, folders, strict=True)):
        _refuse_changed_base(run)
        _make_gguf(run, plan, folder, reporter, adapter_only=number > 0)
    if plans[0].merges:
        path = folders[0] / MODEL
        models = [ServedModel(runs[0].name, None, _opening(runs[0], options))]
    else:
        path = folders[0] / BASE
        models = [ServedModel(run.name, number, _opening(run, options)) for number, run in enumerate(runs)]
        base = Path(base_of(runs[0].plan).own_name).name
        models += [ServedModel(base)] if base not in {run.name for run in runs} else []
    context = min(map(_context, runs))
    adapters = () if plans[0].merges else tuple(folder / ADAPTER for folder in folders)
    model = LlamaModel(path, adapters, context, options.slots)
    with llama_front(model, models, options, log=_log()) as front:
        names = tuple(model.name for model in models)
        yield Served(front.url, "llama", names, context, True, options.api_key_file, None, front)


@contextmanager
def _by_sessions(runs: Sequence[TrainedRun], options: ServeOptions, problem: Problem | None) -> Iterator[Served]:
    from tunewright.extras.serve.backend import ServedModel
    from tunewright.extras.serve.open_front import session_front
    from tunewright.extras.serve.session_backend import ServedSession

    sessions = {}
    for run in runs:
        several = run.plan.facts.data.problem_type == "multi_label_classification"
        _refuse_unfinished(run)
        sessions[run.name] = ServedSession(SessionClient(run.dir, module=SESSION), run.task, several)
    models = [ServedModel(run.name, None, _opening(run, options)) for run in runs]
    context = min(run.plan.facts.model.max_position_embeddings - virtual_tokens(run.plan.run.peft) for run in runs)
    with session_front(sessions, models, context, options) as front:
        writes = TASKS[runs[0].task].writes
        yield Served(
            front.url, "transformers", tuple(sessions), context, writes, options.api_key_file, problem, front
        )  # fmt: skip


def _refuse_unfinished(run: TrainedRun) -> None:
    """Raises: ConfigError E116; ModelError E324; TrainingError E515."""
    if not run.adapter.is_dir():
        raise error("E116", state=Phrase(run.state), verb="serve", needed=N_("finished"), name=run.name)
    _refuse_changed_base(run)


def _opening(run: TrainedRun, options: ServeOptions) -> "tuple[dict[str, object], ...]":
    """The turns before a conversation that has no system turn."""
    return tuple(dict(turn) for turn in run.opening()) if options.with_system and TASKS[run.task].writes else ()


def _context(run: TrainedRun) -> int:
    """What one request may have: enough for the rows of the training with their answers, and for some conversation."""
    wanted = max(MIN_CONTEXT, run.plan.run.data.max_length + run.plan.run.eval.max_new_tokens)
    return min(run.plan.facts.model.max_position_embeddings, wanted)


def _log() -> Path:
    """What llama.cpp says: warnings and errors of every server of this home."""
    with cache_faults():
        atomic_io.make_folder(home())
    return home() / "llama.log"


def _refuse_different_bases(runs: Sequence[TrainedRun]) -> None:
    """Raises: ExportError E645."""
    first = runs[0]
    for run in runs[1:]:
        ours, theirs = (each.plan.facts.model.contents for each in (first, run))
        different = {
            N_("the base"): ours.weights != theirs.weights,
            N_("the tokenizer"): ours.tokenizer != theirs.tokenizer,
            N_("the chat template"): (ours.template, first.plan.run.model.chat_template)
            != (theirs.template, run.plan.run.model.chat_template),
        }
        for what, differs in different.items():
            if differs:
                raise error("E645", first=first.name, other=run.name, what=what)


def _refuse_changed_base(run: TrainedRun) -> None:
    """Raises: ModelError E324; TrainingError E515."""
    base_fingerprint.refuse_without_base(run.plan)
    if changed := base_fingerprint.changes(run.plan):
        raise errors_of(base_fingerprint.as_problems("E515", changed, name=run.name))


def _gguf_folder(run: TrainedRun, plan: ExportPlan) -> Path:
    """Where the run's GGUF files are kept, by all that they depend on."""
    manifest = run.adapter / MANIFEST
    adapter = sha256(manifest) if manifest.is_file() else ""
    parts: list[Any] = [run.dir.info().id, adapter, plan.way, plan.quant, LLAMA_CPP.version]
    name = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
    return home() / "served" / name


def _make_gguf(run: TrainedRun, plan: ExportPlan, folder: Path, reporter: Reporter, *, adapter_only: bool) -> None:
    """Make the files once; of runs beside the first only the adapter. Raises: as `export`."""
    if adapter_only:
        if not (folder / ADAPTER).is_file():
            with cache_faults():
                atomic_io.make_folder(folder)
            adapter_to_gguf(run.adapter, run.base_folder, folder / ADAPTER, reporter)
        return
    if (folder / (MODEL if plan.merges else BASE)).is_file():
        return
    with cache_faults():
        atomic_io.make_folder(folder.parent)
        if folder.exists():  # its adapter alone, of a time when it was not the first
            atomic_io.remove_folder(folder)
    options: dict[str, Any] = {"as_": plan.way, "quant": None if plan.uses_original else plan.quant}
    export_run.export(run.dir, run.session(), "gguf", folder, **options, check=False, reporter=reporter)
    run.close()
