"""Chats of a server: questions that a thread has answered while pages come and go, by one loaded model at a time."""

import logging
import threading
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from tunewright.api.run_handle import CHAT_TOKENS, Conversation, LabelledText, Speaker, TrainedRun
from tunewright.config.tasks import TASKS
from tunewright.errors import Problem, TunewrightError, error, unexpected
from tunewright.launch.session_client import SessionState

logger = logging.getLogger(__name__)

IDLE_SECONDS = 600.0
LIMIT_SECONDS = 300.0
GRACE_SECONDS = 20.0  # from the request to end an answer to the end of a process that does not heed it
MOST_KEPT = 50


@dataclass
class Exchange:
    """A question and what came of it so far; other threads read it while it grows."""

    question: str
    with_base: bool
    pieces: list[tuple[Speaker, str]] = field(default_factory=list)
    """Pieces of text in their order, with who gave them."""
    labelled: LabelledText | None = None
    notes: tuple[Problem, ...] = ()
    """What to know about the answers: that the base has changed."""
    problems: tuple[Problem, ...] = ()
    """Why there is no answer."""
    seconds: float | None = None
    """How long it took, once it is over."""
    is_cancelled: bool = False
    is_late: bool = False
    """Whether it was ended because it took too long."""
    _over: threading.Event = field(default_factory=threading.Event, repr=False)

    @property
    def is_over(self) -> bool:
        return self._over.is_set()

    def text(self, who: Speaker) -> str:
        """The answer of this model up to now."""
        return "".join(piece for speaker, piece in list(self.pieces) if speaker == who)

    def wait(self) -> None:
        """Return when it is over."""
        self._over.wait()

    def close(self, seconds: float) -> None:
        """It is over."""
        self.seconds = seconds
        self._over.set()


@dataclass
class Chat:
    """The chat with one run: its exchanges, and its model while it is loaded."""

    run: TrainedRun
    idle_seconds: float = IDLE_SECONDS
    limit_seconds: float = LIMIT_SECONDS
    exchanges: list[Exchange] = field(default_factory=list)
    load_problems: tuple[Problem, ...] = ()
    """Why the model could not be loaded when that was last tried."""
    rss_bytes: int | None = None
    """What the loaded model's process holds."""
    load_seconds: float | None = None
    _talk: Conversation | None = field(default=None, repr=False)
    _work: threading.Thread | None = field(default=None, repr=False)
    _idle: threading.Timer | None = field(default=None, repr=False)
    _is_given_up: bool = field(default=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @cached_property
    def system(self) -> str:
        """The system turn of the training rows, which every conversation begins with; empty if they have none in common."""
        return "".join(turn["content"] for turn in self.run.opening()) if TASKS[self.run.task].writes else ""

    @property
    def state(self) -> SessionState:
        """`away`, `loading`, `busy` or `ready`."""
        if not self.is_working:
            return "ready" if self.run.session().state == "ready" else "away"
        return "busy" if self.run.session().state == "busy" else "loading"

    @property
    def is_working(self) -> bool:
        return self._work is not None and self._work.is_alive()

    @property
    def current(self) -> Exchange | None:
        """The question that is being answered."""
        return next((exchange for exchange in self.exchanges[-1:] if not exchange.is_over), None)

    def load(self) -> None:
        """Begin to load the model. Raises: TrainingError E541 while it works."""
        self._begin(threading.Thread(target=self._load, daemon=True))

    def ask(self, text: str, *, with_base: bool, max_new_tokens: int = CHAT_TOKENS) -> Exchange:
        """Begin to answer a question. Raises: TrainingError E541 while another one is answered."""
        exchange = Exchange(text, with_base and TASKS[self.run.task].writes)
        work = threading.Thread(target=self._answer, args=(exchange, max_new_tokens), daemon=True)
        self._begin(work, exchange)
        return exchange

    def cancel(self) -> None:
        """End the answer that is coming; a model that is still being loaded is given up."""
        is_loading = self.is_working and self.state == "loading"  # asked first: what is stopped is over at once
        if exchange := self.current:
            exchange.is_cancelled = True
            if self._talk:
                self._talk.stop()
        if is_loading:
            self._is_given_up = True
            self.run.session().end()

    def unload(self) -> None:
        """Give the model's memory back. Raises: TrainingError E541 while it works."""
        with self._lock:
            self._refuse_busy()
            self._stop_waiting()
            self.rss_bytes = self.load_seconds = None
            self.run.close()

    def forget(self) -> None:
        """Begin a new conversation. Raises: TrainingError E541 while it works."""
        self._refuse_busy()
        self.exchanges, self._talk = [], None

    def end(self) -> None:
        """End whatever it does, at once."""
        self._stop_waiting()
        self._is_given_up = True
        if exchange := self.current:
            exchange.is_cancelled = True
        self.run.session().end()

    def _refuse_busy(self) -> None:
        if self.is_working:
            raise error("E541", name=self.run.name)

    def _begin(self, work: threading.Thread, exchange: Exchange | None = None) -> None:
        with self._lock:
            self._refuse_busy()
            self._stop_waiting()
            self.load_problems, self._is_given_up = (), False
            if exchange:
                self.exchanges = [*self.exchanges, exchange][-MOST_KEPT:]
            self._work = work
            work.start()

    def _load(self) -> None:
        started = time.monotonic()
        try:
            self.rss_bytes = self.run.load()
            self.load_seconds = time.monotonic() - started
        except Exception as fault:
            self.load_problems = () if self._is_given_up else _problems(fault)
        self._wait_idly()

    def _answer(self, exchange: Exchange, max_new_tokens: int) -> None:
        started = time.monotonic()
        session = self.run.session()
        overdue = threading.Timer(self.limit_seconds + GRACE_SECONDS, session.end)
        overdue.daemon = True
        overdue.start()

        try:
            if session.state == "away":
                exchange.notes = tuple(self.run.base_problems())
                self.rss_bytes = self.run.load()
                self.load_seconds = time.monotonic() - started
            if TASKS[self.run.task].writes:
                talk = self._talk = self._talk or Conversation(self.run, system=self.system or None)
                talk.with_base, talk.max_new_tokens = exchange.with_base, max_new_tokens

                def on_text(who: Speaker, piece: str) -> None:
                    exchange.pieces.append((who, piece))
                    exchange.is_late |= time.monotonic() - started > self.limit_seconds
                    if exchange.is_cancelled or exchange.is_late:
                        talk.stop()

                talk.ask(exchange.question, on_text)
            else:
                exchange.labelled = self.run.labels(exchange.question)
        except Exception as fault:
            exchange.is_late |= time.monotonic() - started > self.limit_seconds
            exchange.problems = () if exchange.is_cancelled else _problems(fault)
        finally:
            overdue.cancel()
            self._wait_idly()
            exchange.close(time.monotonic() - started)

    def _wait_idly(self) -> None:
        self._stop_waiting()
        self._idle = threading.Timer(self.idle_seconds, self._give_back)
        self._idle.daemon = True
        self._idle.start()

    def _stop_waiting(self) -> None:
        if self._idle:
            self._idle.cancel()

    def _give_back(self) -> None:
        with self._lock:
            if not self.is_working:
                self.rss_bytes = self.load_seconds = None
                self.run.close()


@dataclass
class Chats:
    """The chats of a server, by run; of all of them one holds its model, as memory is for runs."""

    idle_seconds: float = IDLE_SECONDS
    limit_seconds: float = LIMIT_SECONDS
    _chats: dict[tuple[Path, str], Chat] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, run: TrainedRun) -> Chat:
        """The chat with a run, whose model is loaded when it is first needed. Raises: TrainingError E525."""
        return self._chats.setdefault(_key(run), Chat(run, self.idle_seconds, self.limit_seconds))

    def load(self, run: TrainedRun) -> None:
        """Begin to load a run's model; another one's is unloaded. Raises: TrainingError E541 while any model works."""
        with self._lock:
            self._others_give_way(run)
            self.of(run).load()

    def ask(self, run: TrainedRun, text: str, *, with_base: bool, max_new_tokens: int = CHAT_TOKENS) -> Exchange:
        """Begin to answer a question with a run's model; another one's is unloaded. Raises: TrainingError E541 while any works."""
        with self._lock:
            self._others_give_way(run)
            return self.of(run).ask(text, with_base=with_base, max_new_tokens=max_new_tokens)

    def close(self) -> None:
        """End all of them, at once: for the end of the server."""
        for chat in list(self._chats.values()):
            chat.end()

    def _others_give_way(self, run: TrainedRun) -> None:
        for key, chat in list(self._chats.items()):
            if key != _key(run):
                chat.unload()


def _problems(fault: Exception) -> tuple[Problem, ...]:
    """What a thread failed of, for the page: behind it there is nobody to raise it to."""
    if isinstance(fault, TunewrightError):
        return fault.problems
    logger.exception("a chat failed", exc_info=fault)
    return unexpected(fault).problems


def _key(run: TrainedRun) -> tuple[Path, str]:
    """Where a run is and which one: another may have been made in its place, and a copy has the same id."""
    return run.path.resolve(), run.dir.info().id
