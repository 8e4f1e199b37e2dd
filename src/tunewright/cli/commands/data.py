"""`tunewright data check`, `show` and `fix`"""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tunewright.cli import console, live_display, options, paste_commands, plan_summary
from tunewright.cli.console import Channel
from tunewright.cli.problem_display import print_problems, printable
from tunewright.config.tasks import TASKS
from tunewright.i18n import _, ngettext

if TYPE_CHECKING:
    from tunewright.data.summary import DataSummary
    from tunewright.data.tokenized.tokenization import TokenizedExample
    from tunewright.launch.checked_data import DataCheck
    from tunewright.launch.data_looks import FixedRows

DataFilesArgument = Annotated[
    list[str], typer.Argument(metavar="FILE...", help=_("Files, folders or Hub ids."), show_default=False)
]
TokenizerOfFlag = Annotated[str, typer.Option("-m", "--model", help=_("Whose tokenizer and chat template are used."))]
NUMBERS_SHOWN = 8


def add_to(app: typer.Typer) -> None:
    group = options.branch(_("Check a file of examples; show rows as the model sees them"))
    group.command("check", help=_("Every row accounted for: format, lengths, what is damaged, repeated or cut"))(check)
    group.command("show", help=_("Rows as the model sees them, with the tokens in the loss marked"))(show_rows)
    group.command("fix", help=_("A copy with rows left out, and a record of each change; your file stays as it is"))(
        fix
    )
    app.add_typer(group, name="data")


def _settings(task: str | None, columns: list[str] | None) -> dict[str, object]:
    mapping = options.mapping(columns)
    return {**({"task": task} if task else {}), **({"data.map": mapping} if mapping else {})}


def _look(
    files: list[str], model: str, task: str | None, columns: list[str] | None, skip_bad: bool, sets: list[str] | None
) -> "DataCheck":
    from tunewright import api

    settings: dict[str, object] = {"data.skip_bad": skip_bad, **_settings(task, columns)}
    with live_display.meter(_("Inspecting the data")) as reporter:
        return api.data_check(
            files if len(files) > 1 else files[0], model, sets=sets or (), reporter=reporter, **settings
        )


def check(
    context: typer.Context,
    files: DataFilesArgument,
    model: TokenizerOfFlag = "smollm2",
    task: options.TaskFlag = None,
    columns: options.MapFlag = None,
    skip_bad: options.SkipBadFlag = False,
    sets: options.SetFlag = None,
    as_json: options.JsonFlag = False,
) -> None:
    checked = _look(files, model, task, columns, skip_bad, sets)
    if as_json:
        console.as_json(_check_json(", ".join(files), checked))
    else:
        _print_check(", ".join(files), checked, console.out())
        if not checked.stopping:
            console.next_steps(_training(context, model, files))
    if checked.stopping:
        raise typer.Exit(checked.stopping[0].entry.exit_code)


def _training(context: typer.Context, model: str, files: list[str]) -> tuple[str, str]:
    """The command that trains on the rows as they were read here."""
    options = paste_commands.typed(context, "train", without=("--model",))
    return paste_commands.command("train", *map(paste_commands.operand, (model, *files)), *options), _("train on it")


def _check_json(file: str, checked: "DataCheck") -> dict[str, object]:
    return {
        "schema": 1,
        "path": file,
        "ok": not checked.stopping,
        "account": checked.validated.summary.model_dump(mode="json"),
        "stopping": [problem.to_json() for problem in checked.stopping],
        "left_out": [problem.to_json() for problem in checked.validated.loaded.problems]
        if not checked.stopping
        else [],
        "warnings": [problem.to_json() for problem in checked.warnings],
    }


def _print_check(file: str, checked: "DataCheck", channel: Channel) -> None:

    from tunewright.report import formatting

    summary = checked.validated.summary
    rows = ngettext(
        "{rows} row · {used} to train, {held_out} held out, {dropped} left out",
        "{rows} rows · {used} to train, {held_out} held out, {dropped} left out",
        summary.rows,
    )
    used = rows.format(
        rows=f"{summary.rows:,}",
        used=f"{summary.used:,}",
        held_out=f"{summary.held_out:,}",
        dropped=f"{summary.dropped:,}",
    )
    if summary.not_drawn:
        used += ", " + _("{count} not drawn").format(count=f"{summary.not_drawn:,}")
    plan_summary.labelled(channel, _("Data"), f"{plan_summary.one_line(file)}   {used}")
    if checked.validated.loaded.share and not summary.held_out:
        none = _("nothing: too few rows, or none to spare; name rows of their own: {option}")
        plan_summary.labelled(channel, _("Held out"), none.format(option="--set data.holdout=FILE"))
    task = TASKS[summary.task]
    change = _("change: {option}").format(option="--task")
    plan_summary.labelled(channel, _("Task"), f"{task.name} · {_(task.meaning)}   {change}")
    plan_summary.labelled(
        channel, _("Format"), f"{checked.validated.loaded.format.describe()}   {_('change: --map ROLE=COLUMN')}"
    )
    if keys := [f"{name} ({count:,})" for name, count in summary.unused.items() if name.startswith("turns[].")]:
        plan_summary.labelled(
            channel,
            _("Not used"),
            _("keys of turns, with the rows that have them: {keys}").format(keys=", ".join(keys)),
        )
    lengths = " · ".join(
        f"{formatting.label(formatting.LENGTHS, name)} {count:,}" for name, count in summary.lengths.items()
    )
    plan_summary.labelled(channel, _("Length"), _("in tokens: {lengths}").format(lengths=lengths))
    if (blocks := summary.blocks.train) > summary.looked_at:
        form = "mixed" if summary.sources else summary.format
        lines = plan_summary.texts_of(form, summary.looked_at, blocks, summary.max_length)
        plan_summary.labelled(channel, *lines)
    plan_summary.labelled(channel, _("Loss"), formatting.in_loss(summary))
    if summary.looked_at < summary.used:
        text = _("lengths and tokens are those of the first {count} rows; all rows were read and compared")
        plan_summary.labelled(channel, _("Checked"), text.format(count=f"{summary.looked_at:,}"))
    if summary.sources:
        channel.line()
        _print_sources(summary, channel)
    counts = [
        (f"{count:,}", _(formatting.KINDS[kind][0]), _what_happens(kind, checked), _numbers(kind, summary))
        for kind, count in summary.counts.items()
        if count
    ]
    if counts:
        channel.line()
        console.table(channel, counts, (_("rows"), _("what"), _("what happens"), _("which")), right=(0,))
    if summary.dropped and not checked.stopping:
        channel.line()
        plan_summary.labelled(channel, _("Left out"), _left_out(summary.dropped))
    if checked.warnings or checked.stopping:
        channel.line()
    print_problems(checked.warnings, channel)
    print_problems(checked.stopping, channel, full_list=_("all of them: --json"))


def _print_sources(summary: "DataSummary", channel: Channel) -> None:
    from tunewright.report import formatting

    total = max(1, sum(source.tokens for source in summary.sources))
    rows = [
        (
            plan_summary.one_line(source.path),
            formatting.numbers_of(source),
            f"{source.used:,}",
            f"{source.held_out:,}",
            f"{source.dropped:,}",
            f"{source.not_drawn:,}",
            formatting.percent(source.tokens / total),
        )
        for source in summary.sources
    ]
    heads = (_("source"), _("rows"), _("to train"), _("held out"), _("left out"), _("not drawn"), _("of the tokens"))
    console.table(channel, rows, heads, right=(1, 2, 3, 4, 5, 6))


def _left_out(dropped: int) -> str:
    from tunewright.rundir import file_names

    text = ngettext(
        "{count} row, which a run keeps with its text and the reason in {file}",
        "{count} rows, which a run keeps with their texts and the reasons in {file}",
        dropped,
    )
    return text.format(count=f"{dropped:,}", file=file_names.BAD_ROWS)


def _what_happens(kind: str, checked: "DataCheck") -> str:
    from tunewright.report import formatting

    happens = formatting.KINDS[kind][1]
    is_fatal = any(problem.code == "E216" for problem in checked.stopping)
    return _("stops the run") if is_fatal and happens == "left out" and kind != "leaked" else _(happens)


def _numbers(kind: str, summary: "DataSummary") -> str:
    numbers = summary.numbers.get(kind, [])
    text = ", ".join(str(number) for number in numbers[:NUMBERS_SHOWN])
    return text + (", ..." if summary.counts[kind] > NUMBERS_SHOWN else "")


def show_rows(
    context: typer.Context,
    files: DataFilesArgument,
    model: TokenizerOfFlag = "smollm2",
    task: options.TaskFlag = None,
    count: Annotated[int, typer.Option("-n", min=1, help=_("How many rows."))] = 3,
    number: Annotated[int | None, typer.Option("--row", min=1, help=_("Only the row with this number."))] = None,
    columns: options.MapFlag = None,
    sets: options.SetFlag = None,
    as_json: options.JsonFlag = False,
) -> None:
    checked = _look(files, model, task, columns, True, sets)
    rows = sorted([*checked.validated.train, *checked.validated.held_out], key=lambda row: row.number)
    rows = [row for row in rows if row.number == number] if number else rows[:count]
    problems = checked.validated.loaded.problems
    loaded = checked.validated.loaded
    bad = [problem for problem in problems if loaded.row_of(problem)[1] == number] if number else []
    if not rows and not number:
        bad = problems
    if as_json:
        records = [_row_json(row, checked) for row in rows]
        console.as_json(
            {"schema": 1, "path": ", ".join(files), "rows": records, "problems": [problem.to_json() for problem in bad]}
        )
    else:
        channel = console.out()
        for row in rows:
            _print_row(row, checked, channel)
        print_problems(bad, channel)
        if not rows and not bad:
            _say_none(context, files, is_row=number is not None)
        elif rows:
            console.next_steps(_training(context, model, files))
    if not rows:
        raise typer.Exit(bad[0].entry.exit_code if bad else 2)


def _say_none(context: typer.Context, files: list[str], *, is_row: bool) -> None:
    """Why nothing is shown, and the command that shows more."""
    text = _("There is no such row.") if is_row else _("No row can be shown: none of them is valid.")
    console.err().line(text)
    options = paste_commands.typed(context, "data check")
    console.next_steps(
        (
            paste_commands.command("data check", *map(paste_commands.operand, files), *options),
            _("every row accounted for"),
        )
    )


def _row_json(row: "TokenizedExample", checked: "DataCheck") -> dict[str, object]:

    return {
        "row": row.number,
        "held_out": row in checked.validated.held_out,
        "tokens": len(row.input_ids),
        "label_tokens": row.num_label_tokens,
        "full_length": row.full_length,
        "pieces": [{"text": piece.text, "is_learned": piece.is_learned} for piece in checked.pieces(row)],
        "ids": row.input_ids,
        "labels": row.labels,
    }


def _print_row(row: "TokenizedExample", checked: "DataCheck", channel: Channel) -> None:

    tokens = ngettext("{count} token", "{count} tokens", len(row.input_ids)).format(count=len(row.input_ids))
    in_loss = _("{count} in the loss").format(count=row.num_label_tokens)
    head = f"{_('row')} {row.number} · {tokens} · {in_loss}"
    if row in checked.validated.held_out:
        head += f" · {_('held out')}"
    if row.is_truncated:
        head += " · " + _("cut, {count} in full").format(count=row.full_length)
    channel.line(channel.paint(head, "bold"))
    text = ""
    for piece in checked.pieces(row):
        clean = printable(piece.text)
        if not piece.is_learned:
            text += clean
        elif channel.has_color:
            text += "\n".join(channel.paint(line, "green", "bold") for line in clean.split("\n"))
        else:
            text += f"[[{clean}]]"
    channel.line(text)
    channel.line()


def fix(
    context: typer.Context,
    files: DataFilesArgument,
    leave_out: Annotated[
        list[str] | None,
        typer.Option(metavar="CODE", help=_("Leave out the rows with this code, such as E207; may be repeated.")),
    ] = None,
    keep_first: Annotated[
        bool, typer.Option("--keep-first", help=_("Of rows that repeat each other keep the first."))
    ] = False,
    model: TokenizerOfFlag = "smollm2",
    task: options.TaskFlag = None,
    columns: options.MapFlag = None,
    sets: options.SetFlag = None,
    as_json: options.JsonFlag = False,
) -> None:
    from tunewright import api

    data = files if len(files) > 1 else files[0]
    with live_display.meter(_("Inspecting the data")) as reporter:
        settings: dict[str, Any] = _settings(task, columns)
        look = api.look_at_rows(data, model, sets=sets or (), reporter=reporter, **settings)
    chosen = {code: tuple(look.numbers_with(code)) for code in leave_out or ()}
    fixes: list[api.RowFix] = [api.LeaveOut(rows=rows, code=code) for code, rows in chosen.items() if rows]
    if keep_first and (repeated := look.numbers_of("duplicate")):
        fixes.append(api.LeaveOut(change="keep_first", rows=tuple(repeated), code="W211"))
    fixed = api.fix_rows(look, fixes)
    if as_json:
        changes = [change.model_dump(mode="json") for change in fixed.changes]
        console.as_json({"schema": 1, "paths": list(fixed.paths), "settings": dict(fixed.settings), "changes": changes})
    elif not fixes:
        console.out().line(_("No row is of this kind; nothing was written."))
    else:
        _print_fixed(context, fixed, look.check.validated.summary.rows, model)


def _print_fixed(context: typer.Context, fixed: "FixedRows", rows: int, model: str) -> None:
    channel = console.out()
    left_out = len({change.row for change in fixed.changes})
    text = ngettext("{count} row left out of {rows}", "{count} rows left out of {rows}", left_out)
    plan_summary.labelled(channel, _("Mended"), text.format(count=f"{left_out:,}", rows=f"{rows:,}"))
    for path in fixed.paths:
        channel.line(plan_summary.one_line(path))
    holdout = fixed.settings.get("data.holdout")
    words = [*fixed.paths, *(["--set", f"data.holdout={holdout}"] if holdout else [])]
    typed = paste_commands.typed(context, "train", without=("--model", "--leave-out", "--keep-first"))
    command = paste_commands.command("train", *map(paste_commands.operand, (model, *words)), *typed)
    console.next_steps((command, _("train on it")))
