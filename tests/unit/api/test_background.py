"""Work by processes of its own: begun once, one at a time, stopped, lost, and what became of it is in files."""

import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.sessions import use_fake_sessions
from tests.shop import held, run
from tests.unit.planning.conftest import facts
from tunewright import api
from tunewright.errors import TunewrightError, error
from tunewright.extras.deploy import background_worker
from tunewright.extras.deploy.background_worker import StoppedError, perform
from tunewright.reporting import Reporter
from tunewright.rundir import background_work, run_lock
from tunewright.rundir.background_work import WorkRecord

__all__ = ["facts", "held", "run"]
PATIENCE = 60.0


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def end(locks: list[int]) -> None:
    os.close(locks.pop())


def instead(monkeypatch: pytest.MonkeyPatch, behaviour: Callable[[WorkRecord, Reporter], Any]) -> None:
    monkeypatch.setattr(background_worker, "OPERATIONS", dict.fromkeys(background_worker.OPERATIONS, behaviour))


def test_a_form_that_is_sent_twice_begins_it_once(run: api.TrainedRun, held: list[int]) -> None:
    work_id = api.new_work_id()
    first, second = api.begin_merge(run, work_id), api.begin_merge(run, work_id)
    assert first == second
    assert len(held) == 1
    assert first.state == "running"
    assert [work.id for work in api.works(run)] == [work_id]


def test_one_thing_is_done_at_a_time(run: api.TrainedRun, held: list[int]) -> None:
    api.begin_merge(run, api.new_work_id())
    with pytest.raises(TunewrightError, match="E542 a merge is under way"):
        api.begin_fetch("minilm", api.new_work_id())
    end(held)
    api.begin_fetch("minilm", api.new_work_id())


def test_a_download_that_goes_on_is_joined_unless_it_is_to_stop(held: list[int]) -> None:
    first = api.begin_fetch("minilm", api.new_work_id())
    assert api.begin_fetch("minilm", api.new_work_id()) == first == api.last_fetch("minilm")
    assert len(held) == 1 and api.last_fetch("smollm2") is None
    api.stop_work(first)
    with pytest.raises(TunewrightError, match="E542 a download is under way"):
        api.begin_fetch("minilm", api.new_work_id())
    end(held)
    assert api.begin_fetch("minilm", api.new_work_id()) == api.last_fetch("minilm") != first


def test_of_all_who_ask_for_the_run_after_a_download_one_begins_it(run: api.TrainedRun, held: list[int]) -> None:
    work, begun = api.begin_fetch("minilm", api.new_work_id()), []

    def begin() -> api.TrainedRun:
        if not begun:
            begun.append("failed")
            raise error("E403", needed="9 GiB", free="1 GiB", path="x")
        begun.append("begun")
        time.sleep(0.2)
        return run

    with pytest.raises(TunewrightError, match="E403"):
        api.run_after(work, begin)
    with ThreadPoolExecutor(4) as threads:
        runs = list(threads.map(lambda _: api.run_after(work, begin), range(4)))
    assert begun == ["failed", "begun"]
    assert {after.path for after in runs} == {run.path.resolve()}
    assert api.run_after(background_work.BackgroundWork(work.folder), begin).path == run.path.resolve()


def test_work_whose_process_is_gone_without_a_word_is_lost(run: api.TrainedRun, held: list[int]) -> None:
    work = api.begin_merge(run, api.new_work_id())
    end(held)
    assert work.record().state == "running"
    assert work.state == "lost"


@pytest.mark.parametrize("name", ["", "..", "../../etc", "0" * 15, "G" * 16, "0" * 16])
def test_nothing_but_an_id_finds_work(name: str) -> None:
    assert background_work.find(name) is None


def test_only_built_in_models_are_fetched(held: list[int]) -> None:
    for name in ("https://example.org/x", "../minilm", "owner/name"):
        with pytest.raises(TunewrightError, match="E302"):
            api.begin_fetch(name, api.new_work_id())
    assert not held


def test_an_export_that_would_be_refused_is_not_begun(run: api.TrainedRun, held: list[int]) -> None:
    with pytest.raises(TunewrightError, match="E620"):
        api.begin_export(run, "onnx", api.new_work_id())
    with pytest.raises(TunewrightError, match="E622"):
        api.begin_export(run, "../gguf", api.new_work_id())
    assert not held


def test_the_folder_of_an_export_is_a_new_one(run: api.TrainedRun, tmp_path: Path) -> None:
    assert api.export_target(run, "peft") == tmp_path / "shop-peft"
    (tmp_path / "shop-peft").mkdir()
    assert api.export_target(run, "peft") == tmp_path / "shop-peft-2"


def test_progress_and_the_outcome_are_in_its_record(
    run: api.TrainedRun, held: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secretsecret")
    seen: list[WorkRecord] = []

    def behaviour(record: WorkRecord, reporter: Reporter) -> dict[str, object]:
        reporter.note("merging with hf_secretsecret")
        reporter.progress(3, 8)
        seen.append(work.record())
        return {"target": "/elsewhere", "bytes": 7}

    work = api.begin_merge(run, api.new_work_id())
    instead(monkeypatch, behaviour)
    perform(work)
    assert [(r.note, r.done, r.total) for r in seen] == [("merging with ***", 3, 8)]
    ended = work.record()
    assert (work.state, ended.target, ended.bytes, ended.note) == ("done", "/elsewhere", 7, "")
    assert ended.seconds is not None


@pytest.mark.parametrize(
    ("fault", "state", "codes"),
    [
        (error("E403", needed="9 GiB", free="1 GiB", path="x"), "failed", ["E403"]),
        (OSError(28, "No space left on device", "x"), "failed", ["E520"]),
        (ValueError("hf_abcdefghijkl"), "failed", ["E802"]),
        (StoppedError(), "stopped", []),
    ],
    ids=["ours", "disk", "unknown", "stopped"],
)
def test_why_it_ended_is_kept(
    run: api.TrainedRun,
    held: list[int],
    monkeypatch: pytest.MonkeyPatch,
    fault: BaseException,
    state: str,
    codes: list[str],
) -> None:
    def behaviour(record: WorkRecord, reporter: Reporter) -> None:
        raise fault

    work = api.begin_merge(run, api.new_work_id())
    instead(monkeypatch, behaviour)
    perform(work)
    assert work.state == state
    assert [problem.code for problem in work.record().problems] == codes
    assert "abcdefghijkl" not in (work.folder / "work.json").read_text()


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"do": "export", "options": {"to": "gguf"}, "command": "llama-server -m x"}, "llama-server -m x"),
        ({"do": "export", "options": {"to": "peft"}}, """PeftModel.from_pretrained(base, "/a b")"""),
        ({"do": "export", "options": {"to": "ct2"}}, "tunewright export check '/a b' --run shop"),
        ({"do": "eject"}, "python '/a b/train.py'"),
        ({"do": "merge"}, 'AutoModelForCausalLM.from_pretrained("/a b")'),
        ({"do": "fetch"}, ""),
    ],
)
def test_what_was_made_comes_with_a_line_that_uses_it(
    run: api.TrainedRun, held: list[int], fields: dict[str, Any], wanted: str
) -> None:
    work = api.begin_merge(run, api.new_work_id())
    work.update(state="done", target="/a b", **fields)
    assert wanted in api.usage(work) if wanted else api.usage(work) == ""


def test_a_stop_ends_the_process_that_holds_the_model(
    run: api.TrainedRun, held: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    use_fake_sessions(monkeypatch)
    (run.path / "long-load").touch()
    work = api.begin_merge(run, api.new_work_id())

    def stop_when_it_loads() -> None:
        while not (run.path / "starts").exists():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, background_worker._stop)
    threading.Thread(target=stop_when_it_loads, daemon=True).start()
    perform(work)
    signal.signal(signal.SIGTERM, before)
    assert work.state == "stopped"
    assert not (run.path / "merged").exists()


def test_work_that_cannot_be_read_hides_no_other(run: api.TrainedRun, held: list[int]) -> None:
    first = api.begin_merge(run, api.new_work_id())
    end(held)
    second = api.begin_merge(run, api.new_work_id())
    (first.folder / "work.json").write_text("{")
    assert api.works(run) == [second]


def test_what_ended_long_ago_is_forgotten(
    run: api.TrainedRun, held: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background_work, "KEPT", 2)
    for _number in range(4):
        api.begin_merge(run, api.new_work_id())
        end(held)
    assert len(api.works(run)) == 3


@pytest.mark.processes
def test_its_process_is_asked_to_end_and_leaves_nothing_half_done(run: api.TrainedRun, tmp_path: Path) -> None:
    os.mkfifo(run.path / "prepared.json")  # nobody writes: it waits, or refuses a pipe
    work = api.begin_eject(run, api.new_work_id())
    api.stop_work(work)
    deadline = time.monotonic() + PATIENCE
    while (work.state == "running" or run_lock.is_held(work.folder)) and time.monotonic() < deadline:
        threading.Event().wait(0.05)
    assert work.state in ("stopped", "failed")
    assert not list(tmp_path.glob("shop-script*"))


def test_checkpoints_go_and_the_adapter_stays_unless_the_run_is_live(run: api.TrainedRun) -> None:
    checkpoint = run.path / "checkpoints" / "checkpoint-4"
    checkpoint.mkdir(parents=True)
    (checkpoint / "state").write_bytes(b"x" * 1000)
    use = api.disk_use(run)
    assert (use.checkpoint_bytes, use.num_checkpoints) == (1000, 1)
    lock = run_lock.take(run.path)
    assert lock is not None
    with pytest.raises(TunewrightError, match="E505"):
        api.remove_checkpoints(run)
    assert checkpoint.is_dir()
    os.close(lock)
    assert api.remove_checkpoints(run) == 1000
    assert api.disk_use(run).num_checkpoints == 0
    assert run.adapter.is_dir()
    assert api.remove_checkpoints(run) == 0


def test_a_built_in_model_is_told_before_it_is_fetched_and_removed_afterwards(home: Path) -> None:
    before = api.builtin_models()
    assert before["bert2bert"].download_bytes == before["minilm"].download_bytes > 80e6
    assert not before["minilm"].is_here
    folder = home / "models" / "minilm-0123456789ab"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"x" * 500)
    assert next(card.bytes for card in api.builtin_models().values() if card.model.name == "minilm") == 500
    assert api.remove_model("minilm") == 500
    assert not folder.exists()
    with pytest.raises(TunewrightError, match="E302"):
        api.remove_model("../minilm")


def test_a_bug_report_holds_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "x86_64")  # as if the machine's text held it
    text = api.bug_report()
    assert "tunewright" in text and "num_cpus" in text
    assert "x86_64" not in text
