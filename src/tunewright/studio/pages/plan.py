"""What a run would take, before it is started: settings with their reasons, and what each change of them brings, at once."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tunewright import api
from tunewright.config.load_config import LoadedConfig
from tunewright.config.section import AUTO
from tunewright.config.written_config import WrittenConfig
from tunewright.errors import Problem, TunewrightError
from tunewright.i18n import N_, _
from tunewright.planning.run_plan import Alternative, Plan
from tunewright.report import formatting
from tunewright.studio import data_choices, model_fetch, plan_form, rendering
from tunewright.studio.background_looks import PendingLook
from tunewright.studio.model_fetch import ModelFetch
from tunewright.studio.pages import runs
from tunewright.studio.plan_form import PlanForm
from tunewright.studio.state import studio_of

PAGE_SECONDS = 1.5  # that a page waits for the first look at rows before it shows a bar
AGAIN_SECONDS = 0.2  # the same for a page that asks each second
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


@dataclass(frozen=True)
class PlanResult:
    """What settings bring, and each setting with its reason; before that the model comes, or its rows are looked at."""

    form: PlanForm
    plan: Plan | None
    fetch: ModelFetch | None
    looking: PendingLook[None] | None
    was_stopped: bool
    """whether somebody ended the look at the rows"""
    few: Sequence[Setting]
    settings: Sequence[Setting]
    """all others"""
    device_problems: Sequence[Problem]
    problems: Sequence[Problem]
    """those that belong to no field"""
    num_problems: int
    figures: Mapping[str, Figure]
    was: str
    """the figures as the next plan is told them"""
    command: WrittenConfig | None
    compared: Sequence[tuple[str, str]]

    @property
    def waits(self) -> bool:
        """Whether the page is to ask again."""
        return self.looking is not None or (self.fetch is not None and self.fetch.is_running)

    def take(self, problem: Problem) -> list[str]:
        """The fixes of a problem that are settings, to be taken by a button."""
        return [fix for fix in problem.fixes() if api.settings_in(fix, self.form.method)]


Outcome = PendingLook[None] | ModelFetch | None


async def show(request: Request) -> Response:
    """`/plan`: the settings in the address, and what they bring."""
    planned_form = await run_in_threadpool(plan_form.read, request.query_params.multi_items())
    return await _page(request, planned_form)


async def change(request: Request, form: FormData) -> Response:
    """`POST /plan/try`: what the settings bring, as the part of the page; the page itself for a plain form.

    With `waiting` in the address the page asks again: nothing but the bar has changed until there is a plan.
    """
    planned_form = await run_in_threadpool(plan_form.read, form.multi_items())
    if not rendering.is_partial(request):
        return rendering.see(request, planned_form.address())
    waiting = "waiting" in request.query_params
    outcome = await _outcome(request, planned_form, AGAIN_SECONDS if waiting else PAGE_SECONDS)

    def answer() -> Response:
        was = _figures_in(rendering.text_of(form, "was"))
        result = _result(request, planned_form, outcome, was=was)
        is_part = not (waiting and result.waits)
        return rendering.page("plan_result.html.j2", request, result=result, sure=_(SURE), is_part=is_part)

    return await run_in_threadpool(answer)


def open_page(request: Request, form: FormData) -> Response:
    """`POST /plan/open`: the page of other settings, with an address of its own; with `take` those of an alternative or a fix."""
    data = rendering.text_of(form, "data")
    if data and data != rendering.text_of(form, "was_data"):
        return rendering.see(request, f"/plan?data={rendering.quoted(data)}")  # other rows come with other settings
    return rendering.see(request, plan_form.read(form.multi_items()).address())


async def alternatives(request: Request, form: FormData) -> Response:
    """`POST /plan/alternatives`: the same run with one thing changed, with what each takes."""
    planned_form = await run_in_threadpool(plan_form.read, form.multi_items())
    if not rendering.is_partial(request):
        return rendering.see(request, planned_form.address())
    outcome = await _outcome(request, planned_form, AGAIN_SECONDS)

    def answer() -> Response:
        plan = _result(request, planned_form, outcome, with_alternatives=True).plan  # what is wrong stands above
        return rendering.page("plan_alternatives.html.j2", request, plan=plan, others=_others(plan))

    return await run_in_threadpool(answer)


async def start(request: Request, form: FormData) -> Response:
    """`POST /plan/start`: start it, or with `waits` put it into the queue; what does not fit only where that was typed."""
    planned_form = await run_in_threadpool(plan_form.read, form.multi_items())
    if await run_in_threadpool(model_fetch.needed, planned_form.model_name):
        return rendering.see(request, planned_form.address())
    try:
        return await run_in_threadpool(_started, request, form, planned_form)
    except TunewrightError as fault:
        return await _page(request, planned_form, fault.problems)


def _started(request: Request, form: FormData, planned_form: PlanForm) -> Response:
    is_sure = rendering.text_of(form, "sure").strip().casefold() == _(SURE).casefold()
    with studio_of(request).starting(rendering.text_of(form, "form_id")) as is_first:
        if not is_first:
            return rendering.see(request, "/")
        waits = rendering.text_of(form, "waits") == "yes"
        loaded = planned_form.load()
        api.refuse_changed(loaded.run.data.paths)
        return runs.begin(request, loaded, force=is_sure, waits=waits)


def fetch(request: Request, form: FormData) -> Response:
    """`POST /plan/fetch`: download the built-in model of the page, as was agreed to, or stop that."""
    planned_form = plan_form.read(form.multi_items())
    page = planned_form.address()
    return model_fetch.answer(request, form, planned_form.model_name, page) or rendering.see(request, page)


def look(request: Request, form: FormData) -> Response:
    """`POST /plan/look`: end the first look at the rows, which takes long; or begin it again after that."""
    planned_form = plan_form.read(form.multi_items())
    studio = studio_of(request)
    key = studio.planner.unseen(planned_form.load(), device=planned_form.device or None)
    if rendering.text_of(form, "look") == "again":
        studio.plan_looks.again(key)
    else:
        studio.plan_looks.stop(key)
    return rendering.see(request, planned_form.address())


async def _outcome(request: Request, planned_form: PlanForm, patience: float) -> Outcome:
    """What a plan waits for, after so many seconds at most; None where nothing has to be looked at or downloaded."""
    outcome = await run_in_threadpool(_begun, request, planned_form)
    if isinstance(outcome, PendingLook):
        await outcome.ended(patience)
    return outcome


def _begun(request: Request, planned_form: PlanForm) -> Outcome:
    if missing := model_fetch.needed(planned_form.model_name):
        return missing
    studio, device = studio_of(request), planned_form.device or None
    try:
        loaded = planned_form.load()
        key = studio.planner.unseen(loaded, device=device)
    except TunewrightError:
        return None  # the plan says what is wrong
    if key is None:
        return None
    return studio.plan_looks.at(key, lambda reporter: studio.planner.look(loaded, device=device, reporter=reporter))


async def _page(request: Request, planned_form: PlanForm, refused: Sequence[Problem] = ()) -> Response:
    """The whole page; `refused` is why a start did not come about."""
    outcome = await _outcome(request, planned_form, PAGE_SECONDS)

    def answer() -> Response:
        result = _result(request, planned_form, outcome, with_alternatives=True, refused=refused)
        return rendering.page(
            "plan.html.j2",
            request,
            status=409 if refused else 200,
            result=result,
            sure=_(SURE),
            is_part=False,
            data_choices=data_choices.choices(),
            own_model=str(planned_form.base["model.name"]),
            models=list(api.builtin_models()),
            devices=DEVICES,
            plan=result.plan,
            others=_others(result.plan),
            leading=LEADING,
        )

    return await run_in_threadpool(answer)


def _result(
    request: Request,
    planned_form: PlanForm,
    outcome: Outcome,
    *,
    was: Mapping[str, float] | None = None,
    with_alternatives: bool = False,
    refused: Sequence[Problem] = (),
) -> PlanResult:
    plan, loaded, problems = None, None, list(refused)
    fetch = outcome if isinstance(outcome, ModelFetch) else None
    look = outcome if isinstance(outcome, PendingLook) else None
    looking = look if look and not look.has_ended else None
    try:
        loaded = planned_form.load()
        if look and not looking:
            look.result()
        if not fetch and not looking:
            device = planned_form.device or None
            plan = studio_of(request).planner.plan(loaded, device=device, with_alternatives=with_alternatives)
    except TunewrightError as fault:
        problems += [problem for problem in fault.problems if problem not in problems]
    by_option: dict[str, list[Problem]] = {}
    for problem in problems:
        option = "device" if problem.code == "E124" else api.option_of(problem)
        by_option.setdefault(option, []).append(problem)
    settings = _settings(planned_form, plan, loaded, by_option)
    few = [setting for path in _few(planned_form) for setting in settings if setting.path == path]
    fields = {setting.path for setting in settings} | {"device"}
    figures = _figures(plan) if plan else {}
    return PlanResult(
        form=planned_form,
        plan=plan,
        fetch=fetch,
        looking=looking,
        was_stopped=look is not None and not looking and look.is_stopped,
        few=few,
        settings=[setting for setting in settings if setting not in few],
        device_problems=by_option.get("device", []),
        problems=_first_of_each_code(
            [problem for option, several in by_option.items() if option not in fields for problem in several]
        ),
        num_problems=len(problems),
        figures=_shown(figures, was or {}),
        was=" ".join(str(figures.get(name, "-")) for name in FIGURES),
        command=api.command(loaded) if loaded else None,
        compared=_compared(loaded) if loaded else [],
    )


def _first_of_each_code(problems: Sequence[Problem]) -> list[Problem]:
    """The problems without the later ones of many with the same code."""
    by_code: dict[str, list[Problem]] = {}
    for problem in problems:
        by_code.setdefault(problem.code, []).append(problem)
    return [problem for several in by_code.values() for problem in several[:MOST_OF_A_CODE]]


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
    Route("/plan/try", rendering.read_form(change), methods=["POST"]),
    Route("/plan/open", rendering.posted(open_page), methods=["POST"]),
    Route("/plan/alternatives", rendering.read_form(alternatives), methods=["POST"]),
    Route("/plan/start", rendering.read_form(start), methods=["POST"]),
    Route("/plan/fetch", rendering.posted(fetch), methods=["POST"]),
    Route("/plan/look", rendering.posted(look), methods=["POST"]),
]
