"""What a run would take, before it is started: settings with their reasons, and what each change of them brings, at once."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tunewright import api
from tunewright.config.load_config import LoadedConfig
from tunewright.config.section import AUTO
from tunewright.errors import Problem, TunewrightError
from tunewright.i18n import N_, _
from tunewright.planning.run_plan import Alternative, Plan
from tunewright.report import formatting
from tunewright.studio import data_choices, plan_form, rendering
from tunewright.studio.pages import runs
from tunewright.studio.plan_form import PlanForm
from tunewright.studio.state import studio_of

RANK = "peft.r"  # or what the method calls it
# The few settings that matter to most runs, in the order of the page.
FEW: Mapping[str, str] = {
    "task": N_("Task"),
    "method": N_("Method"),
    "preset": N_("How hard the task is"),
    RANK: N_("Rank"),
    "train.num_train_epochs": N_("Passes over the rows"),
    "data.max_length": N_("Longest row, in tokens"),
    "train.per_device_train_batch_size": N_("Rows at once"),
    "train.gradient_accumulation_steps": N_("Micro-batches a step"),
    "train.learning_rate": N_("Learning rate"),
    "model.quantization": N_("Weights of the base"),
    "train.activation_checkpointing": N_("Recompute activations"),
}
LEADING = ("task", "method")  # another page of settings belongs to each
DEVICES = ("12GB GPU", "16GB GPU", "24GB GPU", "a100-40", "a100-80", "h100-80", "8x h100-80")
SURE = N_("start anyway")
NUMBER = re.compile(r"\d{1,20}(\.\d{1,20})?")
MOST_OF_A_CODE = 3  # of hundreds of damaged rows the first are told, and how many there are
FIGURES = ("seconds", "peak_bytes", "trainable", "adapter_bytes", "disk_bytes")


@dataclass(frozen=True)
class Setting:
    """One field: what may be typed, what the plan makes of it and why, what is wrong with it."""

    path: str
    label: str
    choices: tuple[str, ...]
    typed: str
    type: str
    default: str
    about: str
    value: str
    reason: str
    origin: str
    problems: Sequence[Problem]

    @property
    def id(self) -> str:
        return self.path.replace(".", "-")


@dataclass(frozen=True)
class Figure:
    """What a run takes of something: now, and what it took before the last change if that was something else."""

    label: str
    now: str
    was: str
    has_grown: bool


def show(request: Request) -> Response:
    """`/plan`: the settings in the address, and what they bring."""
    planned_form = plan_form.read(request.query_params.multi_items())
    return rendering.page("plan.html.j2", request, **_page(request, planned_form))


def change(request: Request, form: FormData) -> Response:
    """`POST /plan/try`: what the settings bring, as the part of the page; the page itself for a plain form."""
    planned_form = plan_form.read(form.multi_items())
    if not rendering.is_partial(request):
        return rendering.see(request, planned_form.address())
    values = _values(request, planned_form, was=_figures_in(rendering.text_of(form, "was")))
    return rendering.page("plan_result.html.j2", request, **values, is_part=True)


def open_page(request: Request, form: FormData) -> Response:
    """`POST /plan/open`: the page of other settings, with an address of its own; with `take` those of an alternative or a fix."""
    data = rendering.text_of(form, "data")
    if data and data != rendering.text_of(form, "was_data"):
        return rendering.see(request, f"/plan?data={rendering.quoted(data)}")  # other rows come with other settings
    return rendering.see(request, plan_form.read(form.multi_items()).address())


def alternatives(request: Request, form: FormData) -> Response:
    """`POST /plan/alternatives`: the same run with one thing changed, with what each takes."""
    planned_form = plan_form.read(form.multi_items())
    if not rendering.is_partial(request):
        return rendering.see(request, planned_form.address())
    try:
        plan = _planned(request, planned_form.load(), planned_form, with_alternatives=True)
    except TunewrightError:
        plan = None  # the part above says what is wrong
    return rendering.page("plan_alternatives.html.j2", request, plan=plan, others=_others(plan))


def start(request: Request, form: FormData) -> Response:
    """`POST /plan/start`: start it, or with `waits` put it into the queue; what does not fit only where that was typed."""
    planned_form = plan_form.read(form.multi_items())
    is_sure = rendering.text_of(form, "sure").strip().casefold() == _(SURE).casefold()
    try:
        with studio_of(request).starting(rendering.text_of(form, "form_id")) as is_first:
            if not is_first:
                return rendering.see(request, "/")
            waits = rendering.text_of(form, "waits") == "yes"
            return runs.begin(request, planned_form.load(), force=is_sure, waits=waits)
    except TunewrightError as fault:
        values = _page(request, planned_form, fault.problems)
        return rendering.page("plan.html.j2", request, status=409, **values)


def fetch(request: Request, form: FormData) -> Response:
    """`POST /plan/fetch`: download the built-in model of the page, as was agreed to."""
    planned_form = plan_form.read(form.multi_items())
    if planned_form.model_name in api.builtin_models():
        api.fetch(planned_form.model_name)
    return rendering.see(request, planned_form.address())


def _page(request: Request, planned_form: PlanForm, refused: Sequence[Problem] = ()) -> dict[str, Any]:
    """What the whole page shows; `refused` is why a start did not come about."""
    values = _values(request, planned_form, with_alternatives=True, refused=refused)
    return {
        **values,
        "data_choices": data_choices.choices(),
        "own_model": str(planned_form.base["model.name"]),
        "models": list(api.builtin_models()),
        "devices": DEVICES,
        "others": _others(values["plan"]),
        "leading": LEADING,
        "is_part": False,
    }


def _values(
    request: Request,
    planned_form: PlanForm,
    *,
    was: Mapping[str, float] | None = None,
    with_alternatives: bool = False,
    refused: Sequence[Problem] = (),
) -> dict[str, Any]:
    """What the result shows, and each setting with its reason."""
    plan, loaded, problems, missing = None, None, list(refused), _missing(planned_form)
    try:
        loaded = planned_form.load()
        if not missing:
            plan = _planned(request, loaded, planned_form, with_alternatives=with_alternatives)
    except TunewrightError as fault:
        problems += [problem for problem in fault.problems if problem not in problems]
    by_option: dict[str, list[Problem]] = {}
    for problem in problems:
        option = "device" if problem.code == "E124" else api.option_of(problem)
        by_option.setdefault(option, []).append(problem)
    settings = _settings(planned_form, plan, loaded, by_option)
    few = [setting for path in _few(planned_form) for setting in settings if setting.path == path]
    shown = {setting.path for setting in settings} | {"device"}
    figures = _figures(plan) if plan else {}
    return {
        "asked": planned_form,
        "plan": plan,
        "missing": missing,
        "few": few,
        "settings": [setting for setting in settings if setting not in few],
        "device_problems": by_option.get("device", []),
        "problems": _told([one for option, several in by_option.items() if option not in shown for one in several]),
        "num_problems": len(problems),
        "take": lambda problem: _take(problem, planned_form.method),
        "figures": _shown(figures, was or {}),
        "was": " ".join(str(figures.get(name, "-")) for name in FIGURES),
        "sure": _(SURE),
        "command": api.command(loaded) if loaded else None,
        "compared": _compared(loaded) if loaded else [],
    }


def _told(problems: Sequence[Problem]) -> list[Problem]:
    """The problems without the later ones of many with the same code."""
    told: dict[str, list[Problem]] = {}
    for problem in problems:
        told.setdefault(problem.code, []).append(problem)
    return [problem for several in told.values() for problem in several[:MOST_OF_A_CODE]]


def _planned(request: Request, loaded: LoadedConfig, planned_form: PlanForm, *, with_alternatives: bool) -> Plan:
    return studio_of(request).planner.plan(
        loaded, device=planned_form.device or None, with_alternatives=with_alternatives
    )


def _missing(planned_form: PlanForm) -> api.BuiltinModelStatus | None:
    """The built-in model that has to be downloaded before anything can be planned: what that takes."""
    model = api.builtin_models().get(planned_form.model_name)
    return None if model is None or model.is_here else model


def _few(planned_form: PlanForm) -> list[str]:
    return [api.rank_path(planned_form.method) if path == RANK else path for path in FEW]


def _settings(
    planned_form: PlanForm, plan: Plan | None, loaded: LoadedConfig | None, problems: Mapping[str, Sequence[Problem]]
) -> list[Setting]:
    """Every setting of the form, and those that were passed on or mistyped, which have no description."""
    labels = dict(zip(_few(planned_form), FEW.values(), strict=True))
    choices = {choice.path: choice for choice in plan.choices} if plan else {}
    rows = {row.path: row for row in api.option_rows(planned_form.method) if planned_form.is_typed(row.path)}
    origins = loaded.origins if loaded else {}
    settings = []
    for path in dict.fromkeys((*rows, *planned_form.typed)):
        row, choice = rows.get(path), choices.get(path)
        settings.append(
            Setting(
                path=path,
                label=_(labels[path]) if path in labels else path,
                choices=tuple(word for word in row.choices if word != AUTO) if row else (),
                typed=planned_form.typed.get(path, ""),
                type=row.type if row else "",
                default=row.default if row else "",
                about=row.description if row else _("Passed on to transformers or peft unchanged."),
                value=formatting.plain(choice.value) if choice else "",
                reason=choice.why() if choice else "",
                origin=formatting.label(formatting.ORIGINS, choice.origin if choice else origins.get(path, "default")),
                problems=problems.get(path, ()),
            )
        )
    return settings


def _take(problem: Problem, method: str) -> list[str]:
    """The fixes of a problem that are settings, to be taken by a button."""
    return [fix for fix in problem.fixes() if api.settings_in(fix, method)]


def _figures(plan: Plan) -> dict[str, float]:
    """What a run takes, by name."""
    figures: dict[str, float] = {
        "peak_bytes": plan.memory.peak_bytes,
        "trainable": plan.trainable_parameters,
        "adapter_bytes": plan.adapter_bytes,
        "disk_bytes": plan.disk_bytes,
    }
    return figures | ({"seconds": plan.time.seconds} if plan.time else {})


def _figures_in(text: str) -> dict[str, float]:
    """The figures of the last plan, as the form brings them; what is no number is left out."""
    words = dict(zip(FIGURES, text.split(), strict=False))
    return {name: float(word) for name, word in words.items() if NUMBER.fullmatch(word)}


def _shown(now: Mapping[str, float], was: Mapping[str, float]) -> dict[str, Figure]:
    """Each figure in words; what it was is said where the words differ."""
    kinds: dict[str, tuple[str, Callable[[float], str]]] = {
        "seconds": (_("time"), formatting.duration),
        "peak_bytes": (_("peak memory"), formatting.size),
        "trainable": (_("trained parameters"), _count),
        "adapter_bytes": (_("adapter"), formatting.size),
        "disk_bytes": (_("on disk"), formatting.size),
    }
    shown = {}
    for name, value in now.items():
        label, words = kinds[name]
        before = words(was[name]) if name in was else ""
        text = words(value)
        shown[name] = Figure(label, text, before if before != text else "", value > was.get(name, value))
    return shown


def _count(number: float) -> str:
    return formatting.count(round(number))


def _others(plan: Plan | None) -> list[Alternative]:
    return list(plan.alternatives) if plan else []


def _compared(loaded: LoadedConfig) -> list[tuple[str, str]]:
    """Commands that train several runs of this config, with what they are for."""
    method = str(loaded.run.method)
    rank = api.rank_path(method)
    compared = []
    if api.belongs(method, rank):
        line = api.command_for(loaded, "compare", "--ranks", "4,8,16", "--seeds", "2", without=(rank,))
        compared.append((_("Compare ranks, each twice"), line))
    return [*compared, (_("Search among 20 settings"), api.command_for(loaded, "sweep", "--trials", "20"))]


ROUTES = [
    Route("/plan", show),
    Route("/plan/try", rendering.posted(change), methods=["POST"]),
    Route("/plan/open", rendering.posted(open_page), methods=["POST"]),
    Route("/plan/alternatives", rendering.posted(alternatives), methods=["POST"]),
    Route("/plan/start", rendering.posted(start), methods=["POST"]),
    Route("/plan/fetch", rendering.posted(fetch), methods=["POST"]),
]
