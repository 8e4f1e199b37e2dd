"""Runs behind llama.cpp's server: one merged, or each as an adapter on the base that they share."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tunewright.errors import error
from tunewright.extras.deploy.gguf_cache import gguf_folder, make_adapter, make_model
from tunewright.extras.deploy.served import Served
from tunewright.extras.deploy.served_model import served_model
from tunewright.extras.export.export_plan import ExportPlan
from tunewright.extras.export.write_gguf import ADAPTER, BASE, MODEL
from tunewright.extras.proof.exactness import ORIGINAL
from tunewright.extras.serve.backend import ServedModel
from tunewright.extras.serve.llama_engine import LlamaModel, refuse_without_engine
from tunewright.extras.serve.open_front import llama_front
from tunewright.extras.serve.serve_options import MIN_CONTEXT, ServeOptions
from tunewright.i18n import N_
from tunewright.planning.run_plan import Plan
from tunewright.reporting import Reporter
from tunewright.rundir import atomic_io
from tunewright.rundir.base_fingerprint import refuse_changed_base
from tunewright.rundir.base_model import base_of
from tunewright.security import cache_faults, home


@contextmanager
def by_llama(plans: Sequence[ExportPlan], options: ServeOptions, reporter: Reporter) -> Iterator[Served]:
    """The runs of these plans, by llama.cpp. Raises: ExportError E601, E621, E640, E645; ModelError E324; TrainingError E515."""
    refuse_without_engine()
    refuse_different_bases(plans)
    for number, plan in enumerate(plans):
        refuse_changed_base(plan.plan, plan.run.name)
        make = make_adapter if number else make_model
        make(plan, reporter)
    merges, folders = plans[0].merges, [gguf_folder(plan) for plan in plans]
    models = [served_model(plan.run, options, adapter=None if merges else n) for n, plan in enumerate(plans)]
    if not merges:
        models += _base_beside(plans)
    path = folders[0] / (MODEL if merges else BASE)
    adapters = () if merges else tuple(folder / ADAPTER for folder in folders)
    model = LlamaModel(path, adapters, min(_context(plan.plan) for plan in plans), options.slots)
    with llama_front(model, models, options, log=_log()) as front:
        names = tuple(each.name for each in models)
        precision = ORIGINAL if plans[0].uses_original else plans[0].quant
        yield Served(front.url, "llama", names, model.context, precision, True, options.api_key_file, None, front)


def _base_beside(plans: Sequence[ExportPlan]) -> list[ServedModel]:
    """The base under its name, unless a run has that."""
    name = Path(base_of(plans[0].plan).own_name).name
    return [] if name in {plan.run.name for plan in plans} else [ServedModel(name)]


def _context(plan: Plan) -> int:
    """What one request may have: enough for the rows of the training with their answers, and for some conversation."""
    wanted = max(MIN_CONTEXT, plan.run.data.max_length + plan.run.eval.max_new_tokens)
    return min(plan.facts.model.max_position_embeddings, wanted)


def _log() -> Path:
    """What llama.cpp says: warnings and errors of every server of this home."""
    with cache_faults():
        atomic_io.make_folder(home())
    return home() / "llama.log"


def refuse_different_bases(plans: Sequence[ExportPlan]) -> None:
    """Raises: ExportError E645."""
    first = plans[0]
    for other in plans[1:]:
        ours, theirs = (each.plan.facts.model.contents for each in (first, other))
        different = {
            N_("the base"): ours.weights != theirs.weights,
            N_("the tokenizer"): ours.tokenizer != theirs.tokenizer,
            N_("the chat template"): (ours.template, first.plan.run.model.chat_template)
            != (theirs.template, other.plan.run.model.chat_template),
        }
        for what, differs in different.items():
            if differs:
                raise error("E645", first=first.run.name, other=other.run.name, what=what)
