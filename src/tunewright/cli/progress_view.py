"""What the state of a run (rundir/run_progress.py) looks like: lines. No terminal here."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from tunewright.cli import console
from tunewright.cli.console import Channel
from tunewright.i18n import _
from tunewright.i18n import width as columns_of

if TYPE_CHECKING:
    from tunewright.rundir.events import Event, LogEvent
    from tunewright.rundir.run_progress import ProgressView

BARS = "▁▂▃▄▅▆▇█"
BAR_WIDTH = 20
NARROWEST_BAR = 6
SPARKS = 16


def sparkline(values: Sequence[float], width: int = SPARKS) -> str:
    """The values as bars of eight heights, means of neighbours where there are more than fit."""
    if not values:
        return ""
    if len(values) > width:
        edges = [len(values) * i // width for i in range(width + 1)]
        values = [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
    low, high = min(values), max(values)
    span = high - low
    return "".join(BARS[round((value - low) / span * 7)] if span else BARS[0] for value in values)


def bar(share: float, channel: Channel, width: int = BAR_WIDTH) -> str:
    """A progress bar."""
    full = round(min(1.0, max(0.0, share)) * width)
    return channel.paint("━" * full, "green") + channel.paint("╌" * (width - full), "dim")


def clock(seconds: float | None) -> str:
    """Seconds as 4:41 or 1:02:03."""
    if seconds is None:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def short(value: float | None) -> str:
    """A number in three digits, small ones with an exponent: 1.92, 1.8e-4."""
    if value is None:
        return "nan"
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:.3g}"
    mantissa, _e, exponent = f"{value:.1e}".partition("e")
    return f"{mantissa}e{int(exponent)}"


def frame(view: "ProgressView", channel: Channel, phases: Mapping[str, str]) -> list[str]:
    """The two lines of the live view; `phases` are the words for the phases."""
    title = phases.get(view.phase, view.phase)
    if view.phase != "train":
        lines = [_phase_line(view, title, channel)]
        return [*lines, _curves_line(view, channel)] if view.losses.values else lines
    if not view.losses.values:
        return [_phase_line(view, title, channel)]
    return [_step_line(view, channel), _curves_line(view, channel)]


def _step_line(view: "ProgressView", channel: Channel) -> str:
    """How far training is; the bar takes what speed, time and memory leave of the width."""
    share = view.step / view.max_steps if view.max_steps else 0.0
    head = f"{_('step')} {view.step}/{view.max_steps}"
    percent = f"{share:4.0%}"
    figures = [
        _("{speed} tok/s").format(speed=short(view.tokens_per_second)),
        f"ETA {clock(view.eta_seconds)}",
        *_lateness(view),
        _memory(view),
    ]
    beside = columns_of("   ".join([f"{head}   {percent}", *figures]))
    room = BAR_WIDTH if channel.width is None else min(BAR_WIDTH, max(NARROWEST_BAR, channel.width - beside))
    return _fit([f"{head}  {bar(share, channel, room)} {percent}", *figures], channel)


def _lateness(view: "ProgressView") -> list[str]:
    """Why training ends late, where other programs have the cores."""
    if not view.waits_much:
        return []
    return [_("waits {percent} % for cores").format(percent=round(100 * view.core_wait_share))]


def trained_line(view: "ProgressView", channel: Channel, seconds: float) -> str:
    """What stays of the live view when training has ended."""
    parts = [f"{bar(1.0, channel)} {view.step}/{view.max_steps}"]
    if view.losses.values:
        curve = channel.paint(sparkline(view.losses.values, 8), "cyan")
        parts.append(f"{_('loss')} {short(view.losses.values[0])} {curve} {short(view.losses.values[-1])}")
    return "   ".join([*parts, clock(seconds)])


def _phase_line(view: "ProgressView", title: str, channel: Channel) -> str:
    if not view.phase:
        return _("Starting")
    if not view.total:
        return f"{title} ..."
    return f"{title}  {bar(view.done / view.total, channel)} {view.done}/{view.total}"


def _memory(view: "ProgressView") -> str:
    used = f"{view.rss_bytes / 2**30:.1f}"
    if not view.total_memory:
        return _("mem {used} GiB").format(used=used)
    return _("mem {used} of {total} GiB").format(used=used, total=f"{view.total_memory / 2**30:.1f}")


def _curves_line(view: "ProgressView", channel: Channel) -> str:
    parts = [f"{_('train')} {short(view.losses.values[-1])} {channel.paint(sparkline(view.losses.values), 'cyan')}"]
    if view.held_out.values:
        parts.append(
            f"{_('held-out')} {short(view.held_out.values[-1])} {channel.paint(sparkline(view.held_out.values), 'yellow')}"
        )
    parts.append(f"lr {short(view.learning_rate)}")
    if view.grad_norm is not None:
        parts.append(f"grad {short(view.grad_norm)}")
    return _fit(parts, channel)


def _fit(parts: Sequence[str], channel: Channel) -> str:
    """As many of the parts as the width holds, the first ones first."""
    line = parts[0]
    for part in parts[1:]:
        if channel.width is not None and columns_of(console.plain(f"{line}   {part}")) > channel.width:
            break
        line = f"{line}   {part}"
    return line


def log_line(event: "Event") -> str:
    """A line for a log, where no terminal is: names and numbers that programs can read, in English."""
    from tunewright.rundir import events

    match event:
        case events.LogEvent():
            return _step_text(event)
        case events.EvalEvent():
            best = " best" if event.is_best else ""
            return f"eval step={event.step} held_out_loss={short(event.held_out_loss)}{best}"
        case events.PhaseBeginEvent():
            return f"phase={event.phase} {event.state}"
        case events.PhaseEndEvent():
            return f"phase={event.phase} {event.state} seconds={event.seconds:.1f}"
        case events.ProgressEvent():
            return f"progress phase={event.phase} {event.done}/{event.total}"
        case events.CheckpointEvent():
            return f"checkpoint step={event.step} path={event.path}"
        case events.ScoreEvent():
            scores = " ".join(f"{name}={short(value)}" for name, value in event.scores.items())
            return f"score {event.which} {scores}{' from_cache' if event.computed else ''}"
    return ""


def _step_text(event: "LogEvent") -> str:
    from tunewright.rundir.run_progress import MUCH_WAITING

    seconds = round(event.eta_seconds or 0)
    eta = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    max_steps = "?" if event.max_steps is None else event.max_steps
    share = event.core_wait_share or 0.0
    waited = f" core_wait={share:.2f}" if share >= MUCH_WAITING else ""
    return (
        f"step={event.step}/{max_steps} loss={short(event.loss)} lr={short(event.learning_rate)} "
        f"tok_s={short(event.tokens_per_second)} eta={eta} mem_gib={event.rss_bytes / 2**30:.1f}{waited}"
    )
