"""E1: what was asked for."""

from collections.abc import Mapping

from tunewright.errors.catalogue.codes import Entry
from tunewright.i18n import N_

SPEC: Mapping[str, Entry] = {
    "E101": Entry(
        N_('cannot read the config "{path}": {reason}'),
        N_("The file is missing, is a folder, or may not be read."),
        (N_("tunewright init MODEL DATA   writes a config to start from"),),
    ),
    "E102": Entry(
        N_('unknown key "{key}" in {section}'),
        N_("Keys are checked against the schema, so that a typing error is never ignored."),
        (N_('did you mean "{suggestion}"?'), N_("tunewright explain {section}   lists the keys")),
    ),
    "E103": Entry(
        N_("{key} {reason}, got {value}"),
        N_("The value has the wrong type or lies outside its range."),
        (N_("tunewright explain {key}   tells what it means"),),
    ),
    "E104": Entry(
        N_('"{old}" is called "{new}" here'),
        N_("The key was renamed in today's transformers or peft, or is another tool's; only one name is accepted."),
        (N_("write {new} instead of {old}"),),
    ),
    "E105": Entry(
        N_("this is not YAML: {reason}"),
        N_("Often an indent, a tab, a missing space after a colon or an unclosed bracket."),
    ),
    "E106": Entry(
        N_('the key "{key}" stands twice (first in line {first})'),
        N_("YAML readers silently keep the last one; Tunewright refuses to guess which you meant."),
    ),
    "E107": Entry(
        N_("YAML anchors, aliases and tags are not used here ({what})"),
        N_("They can hide values and blow up memory; a config is read as plain text."),
    ),
    "E108": Entry(
        N_("{key} is missing"),
        N_("A run needs a model and training data."),
        (N_("tunewright train MODEL DATA"), N_("tunewright train smollm2 my.jsonl")),
    ),
    "E109": Entry(
        N_("{first} and {second} do not go together: {reason}"),
        N_("The combination cannot work, so it is refused before anything starts."),
        (N_("{fix}"),),
    ),
    "E110": Entry(
        N_('"{text}" is not PATH=VALUE'),
        N_("`--set` takes a path into the config and a YAML value."),
        (N_("--set train.learning_rate=1e-4"),),
    ),
    "E111": Entry(
        N_('"{word}" is neither a code nor a key nor a term that is known here'),
        N_("`explain` knows error codes, config keys, presets and the words of the guide."),
        (N_('did you mean "{suggestion}"?'),),
    ),
    "E112": Entry(
        N_('"{old}" no longer exists: {reason}'),
        N_("The key was removed from today's transformers or peft."),
        (N_("delete the line"),),
    ),
    "E113": Entry(
        N_('no run is called "{name}"'),
        N_("A run is named by its path, its name, the beginning of its name, or `last`."),
        (N_("tunewright runs list"),),
    ),
    "E114": Entry(
        N_('"{name}" begins the names of several runs: {matches}'),
        N_("The beginning of a run's name must belong to one run only."),
    ),
    "E115": Entry(
        N_("{path} exists already and is not empty"),
        N_("Nothing is overwritten; another place is needed."),
        (N_("write over it: {force}"), N_("a place that is free: {free}")),
    ),
    "E116": Entry(
        N_("this run is {state}; {verb} needs a run that is {needed}"),
        N_("The run is not in a state in which this can be done."),
        (N_("tunewright runs watch {name}"), N_("tunewright runs resume {name}")),
    ),
    "E118": Entry(
        N_('"{key}" is not written here: {instead}'),
        N_("Tunewright sets this itself, so that what the plan says stays true."),
        (N_("delete the line"),),
    ),
    "E119": Entry(
        N_("{reason}"),
        N_("The command line was not understood."),
        (N_("{instead}"), N_("{command} --help")),
    ),
    "E120": Entry(
        N_("{what} must be confirmed, and nobody can be asked here"),
        N_("Without a terminal nothing is ever asked; a yes must stand on the command line."),
        (N_("--yes   confirms"), N_("--dry-run   only shows what would be done")),
    ),
    "E121": Entry(
        N_('"{key}" is no field of {method}; it belongs to {methods}'),
        N_("Each method takes the fields of its own config in PEFT; another method's would be ignored."),
        (N_("delete the line, or choose another method"),),
    ),
    "E122": Entry(
        N_("{method} does not work for {task} with {family}: {reason}"),
        N_("Not every method exists for every task and every kind of model; PEFT would fail at the first step."),
        (N_("--method {works}"),),
    ),
    "E123": Entry(
        N_('"{word}" is no preset'),
        N_("A preset is named by a family of models and a level: simple, medium or complex."),
        (N_('did you mean "{suggestion}"?'), N_("tunewright presets   lists them")),
    ),
    "E124": Entry(
        N_('"{device}" is no device that is known'),
        N_("Without the device itself, its memory and its speed come from a table."),
        (N_('--device "24GB GPU"   any card of that size'), N_("--device NAME   one of {known}")),
    ),
    "E125": Entry(
        N_("these runs were not tested on the same rows, so their scores cannot be compared: {names}"),
        N_("Scores are compared row by row: task, kind of answers and held-out rows must be those of all the runs."),
        (N_("tunewright compare MODEL DATA --ranks 4,8,16   trains and tests all in the same way"),),
    ),
    "E126": Entry(
        N_("{path} holds other runs than this comparison asks for"),
        N_("A comparison goes on in its folder, where all runs share model, data and settings; these have others."),
        (N_("-o FOLDER   compares in another folder"),),
    ),
    "E127": Entry(
        N_("the rows of {path} are not those that this sweep began with"),
        N_("Trials are held against each other on the same rows; the file has changed, or is another on this machine."),
        (N_("-o FOLDER   begins another sweep"),),
    ),
    "E128": Entry(
        N_("the storage {url} cannot be opened: {reason}"),
        N_("A sweep keeps its trials in a database: an SQLite file in its folder, or where --storage says."),
        (
            N_("--storage sqlite:////somewhere/sweep.db   a file that exists or can be made"),
            N_("other databases need their driver, as in: pip install psycopg2-binary"),
        ),
    ),
    "E129": Entry(
        N_("word {number} of the command is empty"),
        N_("No file, model or run has an empty name. Mostly a variable of the shell is not set."),
        (N_('echo "$NAME"   shows what a variable holds'), N_("tunewright runs list   has the names of the runs")),
    ),
    "E131": Entry(
        N_("{key}: {value} is written otherwise here: {instead}"),
        N_("Other tools have a name of its own for it; here it is a method together with another setting."),
        (N_("{fix}"),),
    ),
    "E132": Entry(
        N_("{name} is no argument here"),
        N_("Arguments are the sections and top-level keys of a config, and the short words of the command line."),
        (N_("write {whole}"), N_("write {short}"), N_("tunewright explain config   lists the keys")),
    ),
    "E138": Entry(
        N_("row {number} of the list is no row: {reason}"),
        N_("Each row of a list is a dict of values that JSON knows: text, numbers, lists, dicts, True, False, None."),
        (N_('rows as in [dict(prompt="Hello", completion="Hi")]'),),
    ),
    "E139": Entry(
        N_("data is a path, a Hub id or a list of rows, not a {kind}"),
        N_("Rows are dicts in a list; tables of other libraries are not read as they are."),
        (N_("data={fix}"),),
    ),
    "E140": Entry(
        N_("{key} names {value}, and this model has {count} {what}"),
        N_("Layers and tokens are counted from 0; a number beyond the last one names nothing."),
        (N_("leave {key} out, or name smaller numbers"),),
    ),
    "E141": Entry(
        N_("{key} cannot be used here; {upstream} says: {reason}"),
        N_(
            "It is passed on as it is. Before a run begins it is tried without weights and rows, and it was refused there."
        ),
        (N_("leave {key} out: everything works without it"), N_("tunewright explain {key}   tells what it means")),
    ),
    "E142": Entry(
        N_("these settings could not be tried within {seconds} seconds of computing and {gib} GiB: {keys}"),
        N_("What is passed on to transformers and PEFT is tried before a run begins, in a process with limits."),
        (N_("leave some of them out"),),
    ),
    "E143": Entry(
        N_("{key} holds no pattern that can be used: {reason}"),
        N_("It is held as a regular expression against the names of all layers."),
        (N_("a name is a pattern, too, as in q_proj; a bracket or a star stands behind a backslash"),),
    ),
    "E144": Entry(
        N_("{what} would be {count}; more than {most} cannot be counted"),
        N_("Counters of transformers and torch hold no larger numbers."),
        (N_("--set train.per_device_train_batch_size=auto --set train.gradient_accumulation_steps=auto"),),
    ),
    "E145": Entry(
        N_("{key} names {names}, and no module of this model is called so"),
        N_("A name is a module's own, or the end of its path."),
        (N_("leave {key} out: heads that classify are trained as a whole by themselves"),),
    ),
    "E146": Entry(
        N_("{key}: {value} does not divide {size}, a size of {name}"),
        N_("A layer is cut into blocks of one size, which must divide the numbers that go in and come out."),
        (N_("{key}=auto   takes a size that divides all of them"),),
    ),
    "E130": Entry(
        N_('"{name}" is not the whole name of a run'),
        N_(
            "What is deleted is named by its whole name or its path, as the beginning of a name may be that of another run."
        ),
        (N_("tunewright runs rm {matches}"), N_("tunewright runs list   has the whole names")),
    ),
}
