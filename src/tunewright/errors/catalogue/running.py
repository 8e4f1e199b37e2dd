"""E4, E5 and W5: memory and disk, and what happens while a run trains."""

from collections.abc import Mapping

from tunewright.errors.catalogue.codes import (
    EXIT_CHECK_FAILED,
    EXIT_DATA,
    EXIT_DIVERGED,
    EXIT_DOES_NOT_FIT,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_LOCKED,
    EXIT_MEMORY,
    EXIT_REFUSED,
    Entry,
)
from tunewright.i18n import N_

RUNNING: Mapping[str, Entry] = {
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
        N_("{what} became {value} at step {step} (learning rate {learning_rate}; usual for LoRA: 1e-4 to 5e-4)"),
        N_("The numbers left their range. Nothing that is not finite was saved; the last checkpoint stands."),
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
        N_("another live process owns this run (pid {pid} on {host})"),
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
    "E510": Entry(
        N_("{what} could not be saved: {reason}; the run ended at step {step}"),
        N_("The disk refused, also after older checkpoints had made room. What was saved before still stands."),
        (N_("make room at {path}, then: tunewright runs resume {name}"),),
        EXIT_MEMORY,
    ),
    "E511": Entry(
        N_("{name} holds NaN or infinity at step {step}; it was not saved"),
        N_("The weights exploded. What was saved before is finite and stands."),
        (N_("a smaller step: --set train.learning_rate=1e-4"), N_("a wider range: --set model.precision=fp32")),
        EXIT_DIVERGED,
    ),
    "E512": Entry(
        N_("the held-out loss {when} training is {value}"),
        N_(
            "A model that gives no number for its rows cannot be tested: the base is damaged, or a row leaves its range."
        ),
        (N_("a wider range: --set model.precision=fp32"),),
        EXIT_DIVERGED,
    ),
    "E513": Entry(
        N_("the adapter read back from the disk is not what was trained: {reason}"),
        N_(
            "It was taken away again. The checkpoints are checked by themselves, so the run can go on from the last one."
        ),
        (N_("tunewright runs resume {name}"),),
        EXIT_FAILED,
    ),
    "E514": Entry(
        N_("a process that loads rows died at step {step}: {reason}"),
        N_(
            "Somebody killed it, or it had too little shared memory (/dev/shm, small in containers). A worker that loads its "
            "own rows comes to the same result; as long as the parent lives it starts one by itself."
        ),
        (N_("tunewright runs resume {name} --set train.dataloader_num_workers=0"),),
        EXIT_FAILED,
    ),
    "E515": Entry(
        N_("the base is not the one that {name} was trained on ({key}: {old}, now {new})"),
        N_(
            "Scores, a merge or a proof on another base would be those of a pair that was never trained. Usually the folder was "
            "written over by another model."
        ),
        (
            N_("put the base back as it was"),
            N_("train on the base as it is now: tunewright train MODEL DATA"),
            N_("tunewright chat {name}   answers all the same, with a warning"),
        ),
        EXIT_REFUSED,
    ),
    "E516": Entry(
        N_("the base in {folder} is not the one of the training: {what}"),
        N_("The digests of its weights, tokenizer and chat template were written down when the run was made."),
        (N_("put the base back as it was"), N_("train on the base as it is now: tunewright train MODEL DATA")),
        EXIT_CHECK_FAILED,
    ),
    "E517": Entry(
        N_("the cache folder {path} cannot be written: {reason}"),
        N_(
            "Models that are fetched or converted once are kept there. TUNEWRIGHT_HOME says where, else ~/.cache/tunewright."
        ),
        (N_("another folder: export TUNEWRIGHT_HOME=FOLDER"),),
    ),
    "E518": Entry(
        N_("{path} lies on a file system that has no locks: {reason}"),
        N_("Nothing would keep two processes from training in one folder, each over the files of the other."),
        (N_("another place for the run: -o FOLDER"), N_("a mount with locks (of NFS without `nolock`)")),
    ),
    "E519": Entry(
        N_("the owner of {name} (pid {pid} on {host}) did not answer the request to stop"),
        N_(
            "It lives, as it holds the run's lock: it may be suspended, or too busy to answer. The request stays in the "
            "folder and is obeyed as soon as it goes on."
        ),
        (N_("tunewright runs stop {name} --now"), N_("on {host}: kill -CONT {pid}")),
        EXIT_LOCKED,
    ),
    "E520": Entry(
        N_("there is no room for {path}: {reason}"),
        N_("The disk is full, a quota is used up, or files may not grow as large as this one."),
        (N_("make room there: tunewright runs rm RUN, or delete other files"), N_("-o PATH   on another disk")),
        EXIT_MEMORY,
    ),
    "E521": Entry(
        N_("{path} is refused by the system: {reason}"),
        N_("The disk can only be read, or the rights of the file or folder do not allow it to this user."),
        (N_("another place, where this user may write: -o PATH"), N_("ls -ld {quoted}   shows whose it is")),
    ),
    "E522": Entry(
        N_("{path} cannot be opened or made: {reason}"),
        N_("Nothing has this name, or a file is where a folder is meant, or a folder where a file is."),
        (N_("another path"), N_("ls -ld {quoted}   shows what is there")),
    ),
    "E523": Entry(
        N_("the system refused {path}: {reason}"),
        N_("The disk, the network or a limit of this system failed; Tunewright did what it should."),
        (N_("try again; if it stays so, another disk or folder"), N_("dmesg | tail   tells of disks that fail")),
        EXIT_FAILED,
    ),
    "E524": Entry(
        N_("nothing can be written to {path}: {reason}"),
        N_("Where a result goes is looked at before a model is loaded, so that no work is lost."),
        (N_("mkdir -p {missing}"), N_("another place")),
    ),
    "E525": Entry(
        N_("{file} cannot be read: {reason}"),
        N_(
            "The file was cut off, written over, or written by another program. Nothing was changed. Other runs are not touched by "
            "it; the adapter and the checkpoints of this one are sound where `tunewright verify` says so."
        ),
        (
            N_("put the file back from a copy"),
            N_("leave the line out (the file stays as {lines}.bak): sed -i.bak {line}d {lines}"),
            N_("go on without the file: mv {whole} {aside}"),
            N_("train it again: tunewright train {config}"),
            N_("delete what is left: tunewright runs rm {run}"),
        ),
        EXIT_FAILED,
    ),
    "W501": Entry(
        N_("the fast path {name} differs from the plain one (loss {fast}, plain {plain}) and was switched off"),
        N_("Every fast path is compared with its plain twin before step 1; the run goes on plain."),
    ),
    "W502": Entry(
        N_("the checkpoint of step {step} was not saved: {reason}"),
        N_(
            "The disk refused twice; what was half written is removed, and training goes on. Three in a row end the run."
        ),
        (N_("make room at {path}"),),
    ),
    "W503": Entry(
        N_("the worker was ended at step {step} by {how}; another goes on from step {start} (try {count} of {most})"),
        N_(
            "No stop was asked for, and memory was not short. The run ends the same as without the break. A worker "
            "that dies again and again without a new step in between is given up."
        ),
    ),
    "W504": Entry(
        N_("a process that loads rows died at step {step}; the run goes on from step {start} and loads them itself"),
        N_("`train.dataloader_num_workers` is 0 from here on. The result is the same."),
    ),
    "W505": Entry(
        N_("the base is not the one that {name} was trained on ({key}: {old}, now {new})"),
        N_("The adapter was made for other numbers, so its answers are not those that were tested."),
        (N_("put the base back as it was"), N_("train on the base as it is now: tunewright train MODEL DATA")),
    ),
    "W508": Entry(
        N_("{count} numbers of these rows are too large for JSON or no numbers; they stand as null in the output"),
        N_("JSON has no infinity and no NaN. The answers are not touched, nor is the file that the rows come from."),
        singular=N_("{count} number of these rows is too large for JSON or no number; it stands as null in the output"),
    ),
}
