"""The table of verbs, the help of the whole, and the one place where an error becomes a display and an exit code."""

import sys
import traceback
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tunewright.cli import console, paste_commands
from tunewright.cli.commands import (
    chat,
    compare,
    config,
    data,
    diagnose,
    doctor,
    eject,
    env,
    evaluate,
    explain,
    export,
    export_check,
    generate,
    init,
    merge,
    plan,
    prepare,
    presets,
    queue,
    quickstart,
    report,
    runs,
    serve,
    studio,
    sweep,
    train,
    verify,
)
from tunewright.cli.parser import Application, Verbs, sentence
from tunewright.errors.exit_codes import EXIT_INTERRUPTED
from tunewright.i18n import N_, _, speaking, width

GROUPS = (
    (N_("Start"), ("quickstart", "studio", "doctor", "init")),
    (N_("Prepare"), ("data", "prepare", "plan", "presets")),
    (N_("Train"), ("train", "runs", "queue")),
    (N_("Evaluate"), ("eval", "compare", "sweep", "verify", "diagnose", "report")),
    (N_("Use"), ("chat", "generate", "merge", "export", "serve", "eject")),
    (N_("Help"), ("explain", "config", "env")),
)
EXAMPLES = (
    ("tunewright quickstart", N_("see it work, on generated data")),
    ("tunewright train smollm2 my.jsonl", N_("train on your own rows")),
    ("tunewright chat last --with base", N_("talk to both models")),
)


EXPORT_CHECK = "export check"


class TopLevelGroup(Verbs):
    """The top level: our help, our errors, our exit codes."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        arguments = list(sys.argv[1:] if args is None else args)
        console.prepare_streams()
        with speaking("en") if is_json(arguments) else nullcontext():
            sys.exit(self._run(arguments, complete_var))

    def _run(self, arguments: list[str], complete_var: str | None) -> int:
        try:
            _refuse_empty(arguments)
            code = super().main(_as_options(arguments), "tunewright", complete_var, standalone_mode=False)
            return code if isinstance(code, int) else 0
        except typer.TyperException as fault:
            return _usage_error(fault, self._path(arguments), arguments)
        except (typer.Abort, KeyboardInterrupt):
            return EXIT_INTERRUPTED
        except Exception as fault:
            return _failure(fault, arguments)

    def _path(self, arguments: list[str]) -> str:
        """The verb that the arguments name, as one would type it."""
        words = ["tunewright"]
        group = self
        for word in arguments:
            command = group.commands.get(word)
            if command is None:
                break
            words.append(word)
            if not isinstance(command, TyperGroup):
                break
            group = command  # type: ignore[assignment]
        return " ".join(words)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        formatter.write(help_text(self))


def help_text(group: TyperGroup) -> str:
    """The help of the whole program, at most 50 lines."""
    lines = [f"{_('Usage: ')}tunewright {_('COMMAND')} ...", ""]
    lines += [_("From a model name and a file of examples to a trained, proven, usable adapter."), ""]
    for title, verbs in GROUPS:
        lines.append(_(title))
        lines += [f"  {name:<12}{(group.commands[name].help or '').splitlines()[0]}" for name in verbs]
    lines += [""]
    lines += [_("tunewright COMMAND --help shows its options. RUN is a path, a name, the beginning of one, or `last`.")]
    lines += [
        _("Every command takes --json; --version shows the version, --install-completion sets up tab completion.")
    ]
    lines += [_("TUNEWRIGHT_LANG=en or zh chooses the language (中文: TUNEWRIGHT_LANG=zh).")]
    lines += ["", _("Examples")]
    column = max(width(command) for command, _why in EXAMPLES) + 3
    lines += [f"  {console.pad(command, column)}{_(why)}" for command, why in EXAMPLES]
    return "\n".join(lines)


def is_json(arguments: Sequence[str]) -> bool:
    """True if the answer is for a program; everything after `--` is data."""
    words = list(arguments)
    return "--json" in words[: words.index("--")] if "--" in words else "--json" in words


def _as_options(arguments: list[str]) -> list[str]:
    """`version`, `help` and `help train` as the equivalent options; `export check` as the one verb that it is."""
    if arguments == ["version"]:
        return ["--version"]
    if arguments[:1] == ["help"]:
        arguments = [*arguments[1:], "--help"]
    return [EXPORT_CHECK, *arguments[2:]] if arguments[:2] == EXPORT_CHECK.split() else arguments


def _refuse_empty(arguments: Sequence[str]) -> None:
    """Raises: ConfigError E129 for a word that is empty, which would name whatever comes first, or this folder."""
    from tunewright.errors import error

    if "" in arguments:
        raise error("E129", number=arguments.index("") + 1)


def _usage_error(fault: typer.TyperException, path: str, arguments: Sequence[str]) -> int:
    from tunewright.cli.other_tools import suggested_command
    from tunewright.errors import Problem
    from tunewright.i18n import Phrase

    reason = sentence(fault.format_message())
    values = {"reason": reason, "command": path}
    if instead := suggested_command(reason, arguments):
        values["instead"] = Phrase(instead)
    return _show([Problem("E119", values=values)], arguments)


def _failure(fault: Exception, arguments: Sequence[str]) -> int:
    from tunewright.errors import TunewrightError, of_system, unexpected

    if isinstance(fault, TunewrightError):
        _show(fault.problems, arguments, nothing_started=bool(arguments) and arguments[0] in ("train", "quickstart"))
        return fault.exit_code
    if isinstance(fault, OSError):
        return _show(of_system(fault, _("standard output")).problems, arguments)
    return _show(unexpected(fault).problems, arguments, log=_write_crash(fault))


def _show(
    problems: Sequence[Any], arguments: Sequence[str], *, log: Path | None = None, nothing_started: bool = False
) -> int:
    from tunewright.cli.problem_display import print_json, print_problems

    with suppress(OSError):  # standard error may be a file on a full disk; the exit code still says it
        if is_json(arguments):
            print_json(problems, log=log)
        else:
            where = paste_commands.named(_("all of them: tunewright data check FILE --json"))
            print_problems(problems, console.err(), full_list=where, nothing_started=nothing_started)
            if log:
                console.err().line(_("traceback: {path}").format(path=log))
    return int(problems[0].entry.exit_code)


def _write_crash(fault: Exception) -> Path | None:
    """The traceback's file; on the screen instead if that is requested, or if nothing can be written."""
    import os

    from tunewright.security import home, redact

    text = redact("".join(traceback.format_exception(fault)))
    path = home() / "crash.log"
    if os.environ.get("TUNEWRIGHT_DEBUG") != "1":
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            return path
        except OSError:
            pass
    console.err().line(text)
    return None


app = Application(
    name="tunewright",
    cls=TopLevelGroup,
    help=_("From a model name and a file of examples to a trained, proven, usable adapter."),
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


@app.callback()
def _top(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("-V", "--version", help=_("Show the version and exit."))] = False,
) -> None:
    from tunewright import __version__

    if version:
        console.out().line(f"tunewright {__version__}")
    elif ctx.invoked_subcommand is None:
        console.out().line(ctx.get_help())


for _module in (
    quickstart, studio, doctor, init, data, prepare, plan, presets, train, runs, queue, evaluate, compare, sweep, verify,
    diagnose, report, chat, generate, merge, export, export_check, serve, eject, explain, config, env,
):  # fmt: skip
    _module.add_to(app)


def main() -> None:
    """The command `tunewright`."""
    app()
