"""Chat: base and tuned model side by side, or labels with their probabilities; a model that is loaded when it is asked for."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tunewright import api
from tunewright.api.run_handle import LoadingEstimate
from tunewright.config.tasks import TASKS
from tunewright.rundir.run_dir import unfit
from tunewright.studio import rendering
from tunewright.studio.pages import run_rows
from tunewright.studio.state import studio_of

LENGTHS = (64, 128, 256, 512, 1024)
USUAL = 256


@dataclass(frozen=True)
class Talk:
    """What was said, and what the model does: the part of the page that is sent again while it answers."""

    name: str
    chat: api.Chat
    state: str
    is_working: bool
    writes: bool
    """Whether answers are texts, and no labels."""
    loading: LoadingEstimate

    @property
    def idle_minutes(self) -> int:
        return round(self.chat.idle_seconds / 60)


@dataclass(frozen=True)
class Asking:
    """What is known before anything is asked: the questions that the run was made for, what it shares its cores with."""

    is_single_turn: bool
    is_pair: bool
    is_words: bool
    busy_runs: Sequence[str]
    command: str
    python: str
    lengths: Sequence[int] = LENGTHS
    usual: int = USUAL


def show(request: Request) -> Response:
    """`/runs/{name}/chat`: what was said, and a question; `prompt` in the address is its text."""
    run = _answering(request)
    prompt = request.query_params.get("prompt", "")
    talk = _talk(request, run)
    return rendering.page("chat.html.j2", request, name=run.name, talk=talk, asking=_asking(run), prompt=prompt)


def stream(request: Request) -> Response:
    """`/runs/{name}/chat/stream`: what was said up to now whenever it has grown, until the answer is whole."""
    run = _answering(request)
    chat = _chats(request).of(run)

    def look() -> tuple[str, str]:
        is_over = not chat.is_working  # looked at first: what comes between the two is in the text
        text = rendering.html("chat_talk.html.j2", request, talk=_talk(request, run))
        return ("" if is_over else text), text

    return studio_of(request).live.stream(look)


def ask(request: Request, form: FormData) -> Response:
    """`POST /runs/{name}/chat`: a question. Without htmx the answer is waited for."""
    run = _answering(request)
    text = rendering.text_of(form, "question")
    length = rendering.text_of(form, "length")
    if text.strip():
        exchange = _chats(request).ask(
            run,
            text.replace("\r\n", "\n").strip(),
            with_base=rendering.text_of(form, "base") == "yes",
            max_new_tokens=int(length) if length in map(str, LENGTHS) else USUAL,
        )
        if not rendering.is_partial(request):
            exchange.wait()
    return _changed(request, run)


def change(verb: str, request: Request, form: FormData) -> Response:
    """`POST /runs/{name}/chat/...`: load, unload, stop, new."""
    run = _answering(request)
    chats = _chats(request)
    if verb == "load":
        chats.load(run)
    elif verb == "unload":
        chats.of(run).unload()
    elif verb == "stop":
        chats.of(run).cancel()
    else:
        chats.of(run).forget()
    return _changed(request, run)


def _changed(request: Request, run: api.TrainedRun) -> Response:
    if rendering.is_partial(request):
        return rendering.page("chat_frame.html.j2", request, talk=_talk(request, run))
    return rendering.see(request, rendering.run_address(run.name, "/chat"))


def _chats(request: Request) -> api.Chats:
    return studio_of(request).chats


def _answering(request: Request) -> api.TrainedRun:
    """The run, which has an adapter. Raises: ConfigError E113, E116; TrainingError E525."""
    run = run_rows.run_named(request.path_params["name"])
    _plan = run.plan
    if not (run.adapter / "adapter_config.json").is_file():
        raise unfit(run.dir, "chat")
    return run


def _talk(request: Request, run: api.TrainedRun) -> Talk:
    chat = _chats(request).of(run)
    return Talk(run.name, chat, chat.state, chat.is_working, TASKS[run.task].writes, run.loading())


def _asking(run: api.TrainedRun) -> Asking:
    return Asking(
        is_single_turn=run.is_single_turn,
        is_pair="pair" in run.plan.facts.data.columns,
        is_words=run.task == "token_cls",
        busy_runs=[other.name for other in api.queue().running],
        command=shlex.join(["tunewright", "chat", run.name]),
        python=f'import tunewright as tw\ntw.open_run({run.name!r}).chat("...")',
    )


ROUTES = [
    Route("/runs/{name}/chat", show),
    Route("/runs/{name}/chat", rendering.posted(rendering.telling(ask)), methods=["POST"]),
    Route("/runs/{name}/chat/stream", stream),
    *(
        Route(
            f"/runs/{{name}}/chat/{verb}", rendering.posted(rendering.telling(partial(change, verb))), methods=["POST"]
        )
        for verb in ("load", "unload", "stop", "new")
    ),
]
