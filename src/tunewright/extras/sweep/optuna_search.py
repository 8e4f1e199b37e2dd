"""The search itself: Optuna proposes settings and gets their scores (ask and tell). It knows nothing about runs.

Optuna is imported inside functions only, as it is optional (the extra `sweep`). Trials are created through its storage
together with the name of their owner, in one transaction, so that every trial has an owner.
"""

import math
import re
import warnings
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from importlib.util import find_spec
from typing import Any, ParamSpec, TypeVar

from tunewright.errors import TunewrightError, error
from tunewright.extras.comparison.search_space import SearchAxis, belongs
from tunewright.extras.sweep.sweep_record import FEWEST_FOR_IMPORTANCE, TrialState

STARTUP = 5  # finished trials before TPE proposes and the pruner prunes
TOP_TRIALS = 5  # PED-ANOVA needs this many good trials
SECONDS_FOR_LOCK = 60  # that another process may hold an SQLite file
TRIES = 3  # two processes that create the tables at once disturb each other
SHARED = "shared"
ENDS: Mapping[str, TrialState] = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}  # by Optuna's names
P = ParamSpec("P")
R = TypeVar("R")
PASSWORD = re.compile(r"(://[^:/@]*):[^@/]*@")


@dataclass(frozen=True)
class TrialRecord:
    """A trial in the storage; `picked` by name of the axis, `notes` are its user attributes."""

    number: int
    state: TrialState
    value: float | None
    picked: Mapping[str, object]
    notes: Mapping[str, Any]


def check_installed() -> None:
    """Raises: ExportError E601 without Optuna."""
    if find_spec("optuna") is None:
        raise error("E601", what="tunewright sweep", extra="sweep")


def open_search(url: str, name: str, *, is_higher_better: bool) -> "OptunaSearch":
    """The search of that name, created now or earlier, here or elsewhere. Raises: ExportError E601, ConfigError E128."""
    check_installed()
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = _open_storage(url)
    direction = "maximize" if is_higher_better else "minimize"
    pruner = optuna.pruners.MedianPruner(n_startup_trials=STARTUP)
    try:
        study = optuna.create_study(
            study_name=name, storage=storage, direction=direction, pruner=pruner, load_if_exists=True
        )
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as fault:
        raise _refused(url, fault) from fault
    return OptunaSearch(study, storage, storage.get_study_id_from_name(name), is_higher_better, url)


def _open_storage(url: str) -> Any:
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    options = {"connect_args": {"timeout": SECONDS_FOR_LOCK}} if url.startswith("sqlite") else {}
    template = url.replace("{", "{{").replace("}", "}}")  # Optuna fills it with its version by str.format
    fault: Exception | None = None
    for _try in range(TRIES):
        try:
            return optuna.storages.RDBStorage(template, engine_kwargs=options)
        except (SQLAlchemyError, optuna.exceptions.OptunaError, ImportError, RuntimeError) as failed:
            fault = failed
    raise _refused(url, fault) from fault


def _refused(url: str, fault: Exception | None) -> TunewrightError:
    """The database's own message, as for a full disk; passwords are left out."""
    hidden = PASSWORD.sub(r"\1:***@", url)
    cause = (fault.__cause__ if fault else None) or fault
    return error("E128", url=hidden, reason=str(cause).splitlines()[0].replace(url, hidden))


def _asks_storage(method: Callable[P, R]) -> Callable[P, R]:
    """A method that uses the storage. Raises: ConfigError E128 where the storage fails."""

    @wraps(method)
    def asking(*words: P.args, **options: P.kwargs) -> R:
        import optuna
        from sqlalchemy.exc import SQLAlchemyError

        try:
            return method(*words, **options)
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as fault:
            search: Any = words[0]
            raise _refused(search.url, fault) from fault

    return asking


@dataclass(frozen=True)
class OptunaSearch:
    """One search in its storage; other processes may be at the same."""

    study: Any
    storage: Any
    study_id: int
    is_higher_better: bool
    url: str

    @_asks_storage
    def shared(self) -> dict[str, Any]:
        """The settings that all processes share; empty before the first of them stored them."""
        return dict(self.study.user_attrs.get(SHARED, {}))

    @_asks_storage
    def share(self, values: Mapping[str, object]) -> dict[str, Any]:
        self.study.set_user_attr(SHARED, dict(values))
        return self.shared()

    @_asks_storage
    def trials(self) -> list[TrialRecord]:
        """All trials by number."""
        trials = [
            TrialRecord(
                number=trial.number,
                state=ENDS.get(trial.state.name, "running"),
                value=trial.value if trial.state.name == "COMPLETE" else None,
                picked=trial.params,
                notes=trial.user_attrs,
            )
            for trial in self.study.get_trials(deepcopy=False)
        ]
        return sorted(trials, key=lambda trial: trial.number)

    def trial(self, number: int) -> TrialRecord:
        return self.trials()[number]

    @_asks_storage
    def add(self, owner: str) -> None:
        """One more trial, which is the owner's from its first moment on."""
        import optuna

        trial = optuna.trial.create_trial(state=optuna.trial.TrialState.RUNNING, user_attrs={"owner": owner})
        self.storage.create_new_trial(self.study_id, trial)

    @_asks_storage
    def propose(
        self, number: int, axes: Sequence[SearchAxis], *, first: Mapping[str, object], seed: int
    ) -> dict[str, object]:
        """A value for each axis that the picked method has; those that were proposed before stay.

        Trial 0 takes `first`. The sampler is seeded by seed and number, so a search that was killed proposes the same values again.
        """
        import optuna

        draw = zlib.crc32(f"{seed}/{number}".encode())
        self.study.sampler = optuna.samplers.TPESampler(n_startup_trials=STARTUP, seed=draw)
        trial_id = self._id(number)
        for axis in axes:
            if number == 0 and axis.name in first:
                distribution = _distribution(axis)
                inner = distribution.to_internal_repr(first[axis.name])
                self.storage.set_trial_param(trial_id, axis.name, inner, distribution)
        trial = optuna.Trial(self.study, trial_id)
        picked: dict[str, object] = {}
        for axis in axes:
            if "method" not in picked or belongs(axis.path, str(picked["method"])):
                picked[axis.name] = _suggest(trial, axis)
        return picked

    @_asks_storage
    def report(self, number: int, step: int, loss: float) -> bool:
        """Report a held-out loss of a running trial; whether the trial should be pruned."""
        import optuna

        trial_id = self._id(number)
        known = self.storage.get_trial(trial_id).intermediate_values
        if step in known:
            return False
        trial = optuna.Trial(self.study, trial_id)
        trial.report(-loss if self.is_higher_better else loss, step)
        # The first loss reflects the warm-up, not the result.
        return bool(known) and bool(trial.should_prune())

    @_asks_storage
    def note(self, number: int, **notes: Any) -> None:
        """Store user attributes of a running trial."""
        for key, value in notes.items():
            self.storage.set_trial_user_attr(self._id(number), key, value)

    @_asks_storage
    def tell(self, number: int, state: str, value: float | None = None) -> None:
        """How a trial ended: complete, pruned or failed."""
        import optuna

        states = optuna.trial.TrialState
        self.study.tell(
            number, value, state={"complete": states.COMPLETE, "pruned": states.PRUNED, "failed": states.FAIL}[state]
        )

    @_asks_storage
    def importance(self) -> dict[str, float]:
        """How much each axis had to do with a good score, in shares of 1, by PED-ANOVA; empty for few trials."""
        import optuna
        from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

        done = self.study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
        if len(done) < FEWEST_FOR_IMPORTANCE:
            return {}
        evaluator = PedAnovaImportanceEvaluator(target_quantile=min(0.5, max(0.1, TOP_TRIALS / len(done))))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the report itself warns about few trials
            shares = get_param_importances(self.study, evaluator=evaluator)
        return {name: float(share) for name, share in shares.items() if math.isfinite(share)}

    def _id(self, number: int) -> int:
        return int(self.storage.get_trial_id_from_study_id_trial_number(self.study_id, number))


def _distribution(axis: SearchAxis) -> Any:
    from optuna import distributions

    if axis.choices:
        return distributions.CategoricalDistribution(axis.choices)
    if axis.is_whole:
        return distributions.IntDistribution(round(axis.low), round(axis.high), log=axis.is_log)
    return distributions.FloatDistribution(axis.low, axis.high, log=axis.is_log)


def _suggest(trial: Any, axis: SearchAxis) -> Any:
    if axis.choices:
        return trial.suggest_categorical(axis.name, axis.choices)
    if axis.is_whole:
        return trial.suggest_int(axis.name, round(axis.low), round(axis.high), log=axis.is_log)
    return trial.suggest_float(axis.name, axis.low, axis.high, log=axis.is_log)
