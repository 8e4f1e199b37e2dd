"""The same command given again by a launcher: what it finds, what it goes on with, and what it refuses."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.planning.conftest import facts
from tunewright import api
from tunewright.config.load_config import LoadedConfig, patch, to_yaml
from tunewright.errors import TunewrightError
from tunewright.launch import restarted, start_run
from tunewright.launch.nodes import placed
from tunewright.planning.make_plan import make_plan
from tunewright.planning.run_plan import InspectedFacts
from tunewright.rundir import atomic_io, file_names, run_dir
from tunewright.rundir.run_dir import RunDir

__all__ = ["facts"]
SLURM = {"SLURM_NNODES": "2", "SLURM_JOB_NODELIST": "a,b", "SLURM_JOB_ID": "7"}
Begin = Callable[..., RunDir]


def command(tmp_path: Path, **named: object) -> LoadedConfig:
    values = {"model.name": "smollm2", "data.train": "rows.jsonl", "task": "causal_lm", "launch.nodes": "auto"}
    return api.load(named={**values, "run.output_dir": str(tmp_path / "shop"), **named})


def on_node(monkeypatch: pytest.MonkeyPatch, number: int, **variables: str) -> None:
    for name, value in {**SLURM, "SLURM_NODEID": str(number), **variables}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def begin(tmp_path: Path, facts: Callable[..., InspectedFacts], monkeypatch: pytest.MonkeyPatch) -> Begin:
    """A run as the command's first start left it on this machine; what starts it again only says so."""

    def begin(state: str) -> RunDir:
        run = placed(command(tmp_path).run)
        folder = Path(run.run.output_dir or "")
        made = run_dir.create(folder, "shop")
        config = patch(command(tmp_path).run, {"run.output_dir": None})
        atomic_io.write_text(made.file(file_names.CONFIG), to_yaml(config))
        atomic_io.write_text(made.file(file_names.PLAN), make_plan(run, facts(), {}).model_dump_json())
        made.update_info(state=state, started=1.0, ended=2.0)
        return made

    monkeypatch.setattr(start_run, "start_parent", lambda run, lock, device: run.log("started"))
    return begin


def is_started(run: RunDir) -> bool:
    return run.file(file_names.LOG).is_file()


@pytest.mark.parametrize(("number", "folder"), [(0, "shop"), (1, "shop-node1")])
def test_each_machine_goes_on_with_its_own(
    number: int, folder: str, begin: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_node(monkeypatch, number)
    assert restarted.begun(command(tmp_path)) is None
    run = begin("lost")
    found = restarted.begun(command(tmp_path))
    assert found is not None and found.path == run.path == tmp_path / folder
    before = run.file(file_names.PLAN).read_bytes()
    restarted.go_on(found, command(tmp_path))
    assert is_started(run) and run.state() == "queued"
    assert run.file(file_names.PLAN).read_bytes() == before


def test_it_goes_on_elsewhere(begin: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slurm gives a job that it requeues other machines; the parts of a step stay as many as they were."""
    on_node(monkeypatch, 0)
    run = begin("stopped")
    for nodes, names, main in (("2", "b,c", "b:29507"), ("1", "c", "c:29507"), ("2", "d,e", "d:29507")):
        on_node(monkeypatch, 0, SLURM_NNODES=nodes, SLURM_JOB_NODELIST=names)
        restarted.go_on(run, command(tmp_path))
        run.update_info(state="stopped")
        launch = run.plan().run.launch
        assert (launch.nodes, launch.main, launch.parts) == (int(nodes), main, 2)


def test_a_person_may_change_it_too(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    on_node(monkeypatch, 1)
    run = begin("stopped")
    start_run.resume(run, {"train.logging_steps": 5})
    plan = run.plan().run
    assert (plan.train.logging_steps, plan.launch.nodes, plan.launch.node_rank) == (5, 2, 1)


def test_a_run_that_is_finished_is_left_alone(begin: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_node(monkeypatch, 0)
    first = begin("finished")
    restarted.go_on(first, command(tmp_path))
    on_node(monkeypatch, 1)
    second = begin("finished")
    restarted.go_on(second, command(tmp_path))
    assert not is_started(first) and not is_started(second)


def test_another_machine_goes_along_again(begin: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its run ends when it has computed its share; the first one may have died after that."""
    on_node(monkeypatch, 0)
    begin("lost")
    on_node(monkeypatch, 1)
    second = begin("finished")
    restarted.go_on(second, command(tmp_path))
    assert is_started(second)


def test_another_command_is_refused(begin: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_node(monkeypatch, 0)
    run = begin("stopped")
    with pytest.raises(TunewrightError) as refused:
        restarted.go_on(run, command(tmp_path, **{"train.seed": 1, "train.adam_beta1": 0.8}))
    assert [(p.code, p.values["key"]) for p in refused.value.problems] == [
        ("E502", "train.seed"), ("E502", "train.adam_beta1"),
    ]  # fmt: skip
    assert not is_started(run)


def test_without_a_launcher_nothing_goes_on_by_itself(
    begin: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_node(monkeypatch, 0)
    begin("stopped")
    assert restarted.begun(command(tmp_path, **{"launch.nodes": 2})) is None
    monkeypatch.delenv("SLURM_NODEID")
    assert restarted.begun(command(tmp_path)) is None
