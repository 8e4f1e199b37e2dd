"""Shows a run while it is running: a live view in a terminal, one line a log step elsewhere; and its end."""

import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol

from tunewright.cli import console, paste_commands, plan_summary
from tunewright.cli.console import Channel
from tunewright.cli.problem_display import print_problems, printable
from tunewright.cli.progress_view import bar, frame, log_line, trained_line
from tunewright.cli.redrawn_lines import RedrawnLines
from tunewright.i18n import Phrase, _

if TYPE_CHECKING:
    from tunewright.api.run_handle import TrainedRun
    from tunewright.rundir.events import Event
    from tunewright.rundir.run_progress import ProgressView

REDRAW_SECONDS = 0.2
PROGRESS_LINE_SECONDS = 10.0


class Renderer(Protocol):
    """What shows a run's events."""

    def show(self, event: "Event") -> None: ...
    def tick(self) -> None: ...
    def say(self, text: str) -> None: ...


@dataclass
class LineRenderer:
    """One line an event, without cursor codes."""

    channel: Channel
    is_quiet: bool = False
    last_progress: float = 0.0

    def show(self, event: "Event") -> None:
        if self.is_quiet and event.kind != "alert":
            return
        if event.kind == "progress":
            if time.monotonic() - self.last_progress < PROGRESS_LINE_SECONDS:
                return
            self.last_progress = time.monotonic()
        line = log_line(event)
        if line:
            self.channel.line(line)
        _show_message(event, self.channel)

    def tick(self) -> None:
        """Nothing moves between events."""

    def say(self, text: str) -> None:
        if not self.is_quiet:
            self.channel.line(text)


@dataclass
class ScreenRenderer:
    """Two lines that are redrawn at the current width, with permanent lines above them."""

    view: "ProgressView"
    drawing: RedrawnLines
    phases: dict[str, str]
    drawn: float = 0.0

    def show(self, event: "Event") -> None:
        from tunewright.rundir.events import PhaseEndEvent, ScoreEvent

        above = _Printed(console.err())
        channel = above.channel
        _show_message(event, channel)
        if isinstance(event, ScoreEvent):
            label = _("Before") if event.which == "before" else _("After")
            plan_summary.labelled(channel, label, plan_summary.score_line(self.view.task, event))
        if isinstance(event, PhaseEndEvent) and event.phase == "train":
            plan_summary.labelled(channel, _("Train"), trained_line(self.view, channel, event.seconds))
        if text := above.text():
            self.drawing.say(text)
        self.tick()

    def tick(self) -> None:
        if time.monotonic() - self.drawn >= REDRAW_SECONDS:
            self.drawn = time.monotonic()
            self.drawing.draw(frame(self.view, console.err(), self.phases))

    def say(self, text: str) -> None:
        self.drawing.say(console.render(text))


class _Printed:
    """Collects what would be printed, for printing above a live view."""

    def __init__(self, channel: Channel) -> None:
        import io

        self.stream = io.StringIO()
        self.channel = Channel(self.stream, channel.is_tty, channel.has_color, channel.width)

    def text(self) -> str:
        """Everything that was printed, without the last line's end."""
        return self.stream.getvalue().removesuffix("\n")


def _show_message(event: "Event", channel: Channel) -> None:
    """Print alerts and notes, which stay on the screen."""
    from tunewright.rundir.events import AlertEvent, NoteEvent

    if isinstance(event, AlertEvent):
        print_problems([event.problem], channel)
    elif isinstance(event, NoteEvent):
        channel.paragraph(channel.paint(printable(event.message()), "dim"))


@contextmanager
def renderer_for(view: "ProgressView", *, is_quiet: bool = False) -> Iterator[Renderer]:
    """The live view in a terminal, lines elsewhere."""
    channel = console.err()
    if is_quiet or not channel.is_tty:
        yield LineRenderer(channel, is_quiet)
        return
    from tunewright.report import formatting

    phases = {name: formatting.label(formatting.PHASES, name) for name in formatting.PHASES}
    with RedrawnLines(channel.stream) as drawing:
        yield ScreenRenderer(view, drawing, phases)


@dataclass
class Interrupts:
    """Counts Ctrl-C and SIGTERM; the loop reads the count, as a signal handler may do nothing else safely."""

    count: int = 0
    number: int = 0
    _before: dict[int, Any] = field(default_factory=dict)

    def __enter__(self) -> "Interrupts":
        self._before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        self.number = self.number or number


def see_through(
    run: "TrainedRun",
    *,
    is_quiet: bool = False,
    is_verbose: bool = False,
    is_json: bool = False,
    after: int = -1,
    events: Iterable["Event | None"] = (),
) -> int:
    """Show a run that was started here to its end; the exit code. Events up to number `after` are known already.

    `events` are those of the run, if the caller follows it already.
    How it ended is printed, or left to the caller where the answer is JSON.
    The first Ctrl-C asks the run to save and end, and this waits for that; the second ends it at once.
    """
    view = _view(run)
    with Interrupts() as interrupts, renderer_for(view, is_quiet=is_quiet) as renderer:
        sent = 0
        log = log_tail(run, renderer.say) if is_verbose else _no_log
        for event in events or _follow(run):
            if event is not None:
                view.take([event])
                if event.seq > after:
                    renderer.show(event)
            else:
                renderer.tick()
            log()
            if interrupts.count > sent:
                run.stop(now=sent > 0)
                sent += 1
                saving = _("Stopping: a checkpoint is being saved. Ctrl-C again ends the run at once.")
                renderer.say(saving if sent == 1 else _("Ending it now."))
    if not is_json:
        say_end(run, view, is_interrupted=bool(interrupts.number), is_quiet=is_quiet)
    return exit_code(run, interrupted_by=interrupts.number)


def _follow(run: "TrainedRun") -> Iterator["Event | None"]:
    from tunewright import api

    return api.follow(run.dir)


def _view(run: "TrainedRun") -> "ProgressView":
    """A view that knows what the plan knows."""
    from tunewright.rundir.run_progress import ProgressView

    plan = run.plan
    return ProgressView(task=run.task, total_memory=int(plan.facts.machine.memory_bytes))


def _no_log() -> None:
    """Libraries talk to the log only."""


def log_tail(run: "TrainedRun", say: Callable[[str], None]) -> Callable[[], None]:
    """A function that prints what was written to log.txt since its last call."""
    position = 0

    def read() -> None:
        nonlocal position
        path = run.path / "log.txt"
        if not path.is_file():
            return
        with path.open("rb") as file:
            file.seek(position)
            content = file.read()
        position += len(content)
        for line in content.decode("utf-8", "replace").splitlines():
            say(printable(line))

    return read


def exit_code(run: "TrainedRun", *, interrupted_by: int = 0) -> int:
    """The exit code of a command that saw a run to its end; of the signal, if one ended it."""
    state = run.state
    if state == "finished":
        return 0
    if interrupted_by:
        return 128 + interrupted_by
    return run.exit_code or next((problem.entry.exit_code for problem in run.problems), 1)


def say_end(run: "TrainedRun", view: "ProgressView", *, is_interrupted: bool = False, is_quiet: bool = False) -> None:
    """Why a run ended early, and the command that continues; nothing for one that finished."""
    state = run.state
    channel = console.err()
    if state == "finished":
        return
    if state == "stopped" or (is_interrupted and state == "failed"):
        if not is_quiet:
            _say_stopped(run, view, channel)
        return
    if state == "lost":
        channel.line(_("The run's processes have disappeared; the machine may have been switched off."))
        channel.line(paste_commands.command("runs resume", paste_commands.handle(run)))
        print_problems(run.problems, channel)
        return
    say_why(run)


def say_why(run: "TrainedRun") -> None:
    """What went wrong with a run, and where its log is."""
    channel = console.err()
    channel.line(_("log: {path}").format(path=plan_summary.shorten(run.path / "log.txt")))
    print_problems(run.problems, channel)


def _say_stopped(run: "TrainedRun", view: "ProgressView", channel: Channel) -> None:
    if run.plan.run.launch.node_rank:
        channel.line(_("Stopped; what is saved is on the first machine."))
        return
    if view.checkpoint_step is None:
        text = _("Stopped before the first checkpoint. Start it again:")
    else:
        text = _("Saved checkpoint {step}. Continue with:").format(step=view.checkpoint_step)
    channel.line(f"{text}  {paste_commands.command('runs resume', paste_commands.handle(run))}")


def watch(run: "TrainedRun", *, is_verbose: bool = False, is_json: bool = False) -> bool:
    """Show a run without owning it: Ctrl-C leaves only the view. True if the run ended."""
    view = _view(run)
    try:
        with renderer_for(view) as renderer:
            log = log_tail(run, renderer.say) if is_verbose else _no_log
            if run.state == "waiting":
                text = _("It waits in the queue, and is shown once it has begun. Where it stands:  {command}")
                renderer.say(text.format(command=paste_commands.command("queue list")))
            for event in _follow(run):
                if event is not None:
                    view.take([event])
                    renderer.show(event)
                else:
                    renderer.tick()
                log()
    except KeyboardInterrupt:
        channel = console.err()
        text = _("Left the view; the run goes on. Stop it with:  {command}")
        channel.line(text.format(command=paste_commands.command("runs stop", paste_commands.handle(run))))
        return False
    if not is_json:
        say_end(run, view)
    return True


def data_line(text: str) -> None:
    """A line for programs while a meter is shown, which is redrawn after it."""
    channel = console.err()
    if channel.is_tty:
        channel.stream.write(console.ERASE)
        channel.stream.flush()
    console.out().data(text)


@dataclass
class ConsoleReporter:
    """Shows notes, and under a title the progress of one long call: a bar in a terminal, a line every ten seconds elsewhere."""

    title: str = ""
    channel: Channel = field(default_factory=console.err, init=False)
    last: float = field(default_factory=time.monotonic, init=False)

    def progress(self, done: int, total: int) -> None:
        pause = REDRAW_SECONDS if self.channel.is_tty else PROGRESS_LINE_SECONDS
        if not self.title or time.monotonic() - self.last < pause:
            return
        self.last = time.monotonic()
        if self.channel.is_tty:
            share = f"{bar(done / total, self.channel)} {done}/{total}" if total else f"{done:,}"
            line = f"{self.title}  {share}"
            self.channel.stream.write(console.ERASE + console.render(line))
            self.channel.stream.flush()
        else:
            self.channel.line(f"progress {done}/{total}" if total else f"progress {done}")

    def note(self, text: str) -> None:
        console.note(text.spoken() if isinstance(text, Phrase) else text)

    def erase(self) -> None:
        """Remove the bar."""
        if self.channel.is_tty and self.title:
            self.channel.stream.write(console.ERASE)
            self.channel.stream.flush()


@contextmanager
def meter(title: str, *, is_quiet: bool = False) -> Iterator[ConsoleReporter]:
    """The reporter of one long call, whose bar is removed at its end; without a bar where it is quiet."""
    reporter = ConsoleReporter("" if is_quiet else title)
    try:
        yield reporter
    finally:
        reporter.erase()
