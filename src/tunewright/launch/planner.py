"""Plans of one config after another, as somebody tries settings: what was seen of model and rows is held and used again."""

import threading
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tunewright.config.dotted_paths import value_at
from tunewright.config.load_config import LoadedConfig, patch
from tunewright.config.methods import virtual_tokens
from tunewright.config.run_config import RunConfig
from tunewright.errors import DataError, Problem, system_faults
from tunewright.inspection.data_info import DataInfo
from tunewright.inspection.machine_info import BlockShape
from tunewright.inspection.model_info import ModelInfo
from tunewright.launch.inspect_inputs import (
    block_of,
    inspect,
    machine_of,
    measure,
    originals_of,
    own_products,
)
from tunewright.launch.nodes import placed
from tunewright.launch.start_run import SEEN_IN_DATA, check_output, plan_on
from tunewright.planning.run_plan import InspectedFacts, Plan, PlannedChoice
from tunewright.reporting import SILENT, Reporter
from tunewright.rundir import atomic_io

MOST_HELD = 16  # some kilobytes each: of the rows only their figures are held


@dataclass(frozen=True)
class _Seen:
    """The facts of model and rows, and what was settled while they were looked at."""

    model: ModelInfo
    data: DataInfo
    settled: Mapping[str, object]
    choices: tuple[PlannedChoice, ...]


@dataclass
class Planner:
    """Plans configs, and looks anew only at what it has not seen.

    The model is looked at for another name, revision or chat template; the rows for any other setting of `data`, another task,
    another seed of their order, other virtual tokens in front of them, and after a change of their files. All else, such as
    method, rank or batch, is planned on the facts that are held. Free memory and disk are read each time. Of several threads
    one looks and measures at a time, and those that want the same have what it found; a plan on facts that are held waits for none.
    """

    _held: dict[Hashable, _Seen | tuple[Problem, ...]] = field(default_factory=dict, init=False, repr=False)
    _measured: set[tuple[int, BlockShape, str]] = field(default_factory=set, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)  # of what is held
    _looking: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    @system_faults()
    def plan(
        self,
        loaded: LoadedConfig,
        *,
        device: str | None = None,
        with_alternatives: bool = False,
        reporter: Reporter = SILENT,
    ) -> Plan:
        """What `api.plan` says of the same config, without its alternatives unless they are asked for.

        Settings that only upstream can check are not tried: that takes a process and seconds, and `api.plan` does it before a
        start.
        Raises: as `api.plan`.
        """
        check_output(loaded.run)
        run = placed(loaded.run)
        seen = self._seen(run, device, reporter)
        facts = InspectedFacts(machine=machine_of(run, seen.model), model=seen.model, data=seen.data)
        run = patch(run, seen.settled)
        return plan_on(run, facts, loaded.origins, seen.choices, device=device, with_alternatives=with_alternatives)

    def unseen(self, loaded: LoadedConfig, *, device: str | None = None) -> Hashable | None:
        """A key of what has to be looked at or measured before this config can be planned; None where all of that is held."""
        run = placed(loaded.run)
        key = _rests_on(run)
        seen = self._known(key)
        return key if seen is None else self._unmeasured(run, seen, device)

    @system_faults()
    def look(self, loaded: LoadedConfig, *, device: str | None = None, reporter: Reporter = SILENT) -> None:
        """Look at model and rows and measure this machine, where the plan of this config would have to. Raises: as `plan`."""
        check_output(loaded.run)
        self._seen(placed(loaded.run), device, reporter)

    def _seen(self, run: RunConfig, device: str | None, reporter: Reporter) -> _Seen:
        """The facts of this run's model and rows, on a machine that was measured. Raises: as `inspect`.

        What is wrong with rows of this machine is held, too, as they stay wrong until their files or the settings change.
        """
        key = _rests_on(run)
        seen = self._known(key)
        if seen is None or self._unmeasured(run, seen, device):
            with self._looking:
                seen = self._known(key) or self._keep(key, _inspected(run, reporter))
                if isinstance(seen, _Seen) and (block := self._unmeasured(run, seen, device)):
                    measure(run, seen.model, reporter)
                    self._measured.add(block)
        if isinstance(seen, _Seen):
            return seen
        raise DataError(seen)

    def _known(self, key: Hashable) -> _Seen | tuple[Problem, ...] | None:
        """What is held under a key, which becomes the newest of all that is held."""
        with self._lock:
            seen = self._held.pop(key, None)
            if seen:
                self._held[key] = seen
            return seen

    def _keep(self, key: Hashable, seen: _Seen | tuple[Problem, ...]) -> _Seen | tuple[Problem, ...]:
        with self._lock:
            self._held[key] = seen
            for oldest in list(self._held)[:-MOST_HELD]:
                del self._held[oldest]
        return seen

    def _unmeasured(
        self, run: RunConfig, seen: _Seen | tuple[Problem, ...], device: str | None
    ) -> tuple[int, BlockShape, str] | None:
        """The device and the shapes whose speed a plan for this machine still lacks."""
        if device is not None or not isinstance(seen, _Seen):
            return None
        wanted = (run.run.device_index, block_of(seen.model), own_products(run))
        return None if wanted in self._measured else wanted


def _inspected(run: RunConfig, reporter: Reporter) -> _Seen | tuple[Problem, ...]:
    try:
        inputs = inspect(run, reporter=reporter, is_measured=False)
    except DataError as fault:
        if originals_of(run.data):
            return fault.problems
        raise
    settled = {path: value_at(inputs.run, path) for path in SEEN_IN_DATA}
    return _Seen(inputs.facts.model, inputs.facts.data, settled, inputs.choices)


def _rests_on(run: RunConfig) -> Hashable:
    """All that the facts of model and rows depend on: settings, and the state of the files."""
    model = run.model
    return (
        (model.name, model.revision, model.chat_template, run.run.offline),
        (run.task, run.data.model_dump_json(), run.train.data_seed, virtual_tokens(run.peft)),
        tuple(_stamps(run)),
    )


def _stamps(run: RunConfig) -> Iterator[tuple[str, int, int]]:
    """Every local file of model and data, with when it was changed and its bytes."""
    named = [Path(name).expanduser() for name in (run.model.name, run.model.chat_template) if name]
    of_model = [file for place in named for file in (place, *(place.iterdir() if place.is_dir() else ()))]
    for file in (*of_model, *originals_of(run.data)):
        yield str(file.absolute()), *atomic_io.stamp(file)
