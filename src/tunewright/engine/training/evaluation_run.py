"""The evaluation of a run, before and after training, with its progress and its files."""

import math
from dataclasses import dataclass

from torch import nn

from tunewright.config.stored_record import Scores
from tunewright.engine.evaluation.evaluator import Evaluator
from tunewright.engine.training.base_scores import BaseScores
from tunewright.engine.training.callbacks import PhaseTimer, StopFlag
from tunewright.engine.training.event_reporter import EventReporter
from tunewright.errors import error
from tunewright.i18n import N_
from tunewright.rundir.event_log import EventLog
from tunewright.rundir.events import ScoreEvent
from tunewright.rundir.run_dir import RunDir


@dataclass(frozen=True)
class EvaluationScore:
    """The result of one evaluation: `rows` were answered or labelled, the loss is over all `held_out_rows`.

    `computed` is when an earlier run computed it; None if this one did.
    """

    scores: Scores
    rows: int
    held_out_rows: int
    seconds: float
    computed: float | None = None


@dataclass
class EvaluationRunner:
    """Evaluates a run's model and writes the results; stops between batches on request. Of several processes all evaluate, and
    the first writes."""

    run: RunDir
    stop: StopFlag
    events: EventLog

    def score(
        self, which: str, evaluator: Evaluator, model: nn.Module, cache: BaseScores | None = None
    ) -> EvaluationScore | None:
        """Scores of the current model; None without held-out rows. The base of a resumed run is not evaluated again.

        With `cache` they are read from there, or put there.
        Raises: TrainingError E512 for a held-out loss that is not finite.
        """
        if not evaluator.rows:
            return None
        ranks = evaluator.backoff.ranks
        stored = self._stored_score(which) if ranks.is_first and which == "before" else None
        if ranks.of_first(stored is not None):
            return stored
        with PhaseTimer(self.events, f"evaluate_{which}") as timer:
            cached = cache.read() if cache and ranks.is_first else None
            if ranks.of_first(cached is not None) and not ranks.is_first:
                return None
            evaluation = cached.result() if cached else evaluator.evaluate(model, self.reporter(f"evaluate_{which}"))
        loss = evaluation.scores["held_out_loss"]
        if not math.isfinite(loss):
            raise error("E512", when=N_("before") if which == "before" else N_("after"), value=str(loss))
        if not ranks.is_first:
            return None
        if cache and not cached:
            cache.write(evaluation)
        self.run.write_test(which, evaluation.samples, evaluation.losses)
        score = EvaluationScore(
            dict(evaluation.scores),
            len(evaluation.samples),
            len(evaluation.losses),
            round(timer.seconds, 3),
            cached.computed if cached else None,
        )
        self.events.write(
            "score", which=which, **{name: value for name, value in vars(score).items() if value is not None}
        )
        return score

    def _stored_score(self, which: str) -> EvaluationScore | None:
        events = [e for e in self.run.each_event() if isinstance(e, ScoreEvent) and e.which == which]
        if not events:
            return None
        last = events[-1]
        return EvaluationScore(last.scores, last.rows, last.held_out_rows, last.seconds, last.computed)

    def reporter(self, phase: str) -> EventReporter:
        """The reporter of one phase."""
        return EventReporter(self.run.name, phase, self.stop, self.events)
