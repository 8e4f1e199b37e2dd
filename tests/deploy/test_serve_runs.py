"""`tw.serve` and `tunewright serve`: a run behind its own session, behind llama.cpp, several on one base."""

import fcntl
import json
import os
import pty
import select
import shutil
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import openai
import psutil
import pytest

import tunewright as tw
from tests.deploy.tiny_gguf import write_adapter, write_model
from tunewright import api
from tunewright.errors import Problem, TunewrightError
from tunewright.extras.deploy import gguf_cache, serve_runs
from tunewright.extras.export.write_gguf import ADAPTER, BASE, MODEL
from tunewright.rundir.run_dir import RunDir

FIXTURE = Path(__file__).parents[1] / "fixtures" / "work_of_0_1"
WITH_PATHS = ("run.json", "plan.json", "config.yaml", "events.jsonl")
HELLO: Any = [{"role": "user", "content": "Hello"}]


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A finished run of a model of one block, as if it had been made here."""
    folder = tmp_path / "work"
    shutil.copytree(FIXTURE, folder)
    for path in (path for name in WITH_PATHS for path in folder.glob(f"*/{name}")):
        path.write_text(path.read_text().replace("/home/somebody/work", str(folder)))
    return folder


@pytest.fixture
def run(work: Path) -> Iterator[tw.TrainedRun]:
    trained = api.open_run(str(work / "finished"))
    yield trained
    trained.close()


def with_gguf(run: tw.TrainedRun, *, seed: int = 0) -> tw.TrainedRun:
    """The run with GGUF files in the cache, as if they had been made of it; as adapter with a seed."""
    plan = gguf_cache.gguf_plan(run.dir, None, is_alone=not seed)
    assert not plan.problems
    folder = gguf_cache.gguf_folder(plan)
    folder.mkdir(parents=True)
    write_model(folder / (BASE if seed else MODEL))
    if seed:
        write_adapter(folder / ADAPTER, seed)
    return run


def client(served: api.Served) -> openai.OpenAI:
    return client_at(served.url)


def client_at(url: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=600)


def test_a_run_is_served_by_its_own_session(run: tw.TrainedRun) -> None:
    expected = run.answers([HELLO], max_new_tokens=8)[0]["tuned"]
    run.close()
    with tw.serve(run, engine="transformers") as served:
        assert served.engine == "transformers" and served.models == (run.name,)
        chat = client(served).chat.completions
        whole = chat.create(model=run.name, messages=HELLO, max_tokens=8)
        assert whole.choices[0].message.content == expected
        assert whole.usage and whole.usage.prompt_tokens > 5 and whole.usage.completion_tokens <= 8
        assert whole.choices[0].finish_reason == ("length" if whole.usage.completion_tokens == 8 else "stop")
        options: Any = {"stream": True, "stream_options": {"include_usage": True}}
        chunks = list(chat.create(model=run.name, messages=HELLO, max_tokens=8, **options))
        assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == expected
        assert chunks[-1].usage == whole.usage
        varied: Any = {"max_tokens": 8, "temperature": 1.5, "top_p": 0.9, "seed": 5}
        sampled = [chat.create(model=run.name, messages=HELLO, **varied).choices[0] for _ in range(2)]
        assert sampled[0].message.content == sampled[1].message.content != expected
        stop = (whole.choices[0].message.content or "")[2]
        ended = chat.create(model=run.name, messages=HELLO, max_tokens=8, stop=[stop]).choices[0]
        assert (ended.message.content, ended.finish_reason) == (expected.partition(stop)[0], "stop")
        for field, value in {"n": 2, "logprobs": True, "tools": [], "presence_penalty": 1}.items():
            body: Any = {field: value if value != [] else [{"type": "function", "function": {"name": "f"}}]}
            with pytest.raises(openai.BadRequestError) as refused:
                chat.create(model=run.name, messages=HELLO, **body)
            assert refused.value.param == field
        with pytest.raises(openai.BadRequestError, match="the model reads"):
            chat.create(model=run.name, messages=[{"role": "user", "content": "x" * 50_000}])
        with pytest.raises(openai.BadRequestError):
            client(served).completions.create(model=run.name, prompt="x")
        pids = [
            child.pid for child in psutil.Process().children(recursive=True) if "session_worker" in str(child.cmdline())
        ]
    assert pids and not any(psutil.pid_exists(pid) for pid in pids)


def test_a_run_is_served_by_llama_cpp(run: tw.TrainedRun) -> None:
    with tw.serve(with_gguf(run)) as served:
        assert served.engine == "llama" and served.models == (run.name,) and served.problem is None
        assert client(served).chat.completions.create(model=run.name, messages=HELLO, max_tokens=3).choices
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(served.url + "/health")


def test_what_the_converter_refuses_once_it_is_here_is_served_by_the_runs_session(
    run: tw.TrainedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[object] = []
    refusal = Problem("E620", values={"format": "GGUF", "what": "model", "reason": "an unknown tokenizer"})
    planned = serve_runs.gguf_plan

    def plan(*words: Any, **options: Any) -> Any:
        own = planned(*words, **options)
        return replace(own, problems=(refusal,)) if fetched else own

    monkeypatch.setattr(serve_runs, "fetch_tool", lambda tool, _reporter: fetched.append(tool))
    monkeypatch.setattr(serve_runs, "gguf_plan", plan)
    with tw.serve(run) as served:
        assert served.engine == "transformers" and served.problem == refusal
    with pytest.raises(TunewrightError, match="E646"), tw.serve(run, engine="llama"):
        pass


def test_several_runs_on_one_base_are_models_of_one_server(work: Path, run: tw.TrainedRun) -> None:
    shutil.copytree(work / "finished", work / "other")
    record = json.loads((work / "other" / "run.json").read_text())
    record["id"] = "another"
    (work / "other" / "run.json").write_text(json.dumps(record))
    other = api.open_run(str(work / "other"))
    with tw.serve([with_gguf(run, seed=1), with_gguf(other, seed=2)]) as served:
        assert served.models == ("finished", "other", "model")
        chat = client(served).chat.completions
        texts = {
            name: chat.create(model=name, messages=HELLO, max_tokens=12).choices[0].message.content
            for name in served.models
        }
    assert len(set(texts.values())) == 3


@pytest.mark.parametrize("what", ["E642", "E644"])
def test_what_is_typed_wrong_is_told_before_anything_is_made(
    what: str, run: tw.TrainedRun, tmp_path: Path, home: Path
) -> None:
    key = tmp_path / "key"
    key.touch(0o600)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        options = {"E642": {"port": taken.getsockname()[1]}, "E644": {"api_key_file": key}}[what]
        with pytest.raises(TunewrightError, match=what), tw.serve(run, **options):
            pass
    assert not (home / "served").exists()


def test_runs_that_do_not_fit_together_are_refused(work: Path, run: tw.TrainedRun) -> None:
    with pytest.raises(TunewrightError, match="E648"), tw.serve([run, run]):
        pass
    shutil.copytree(work / "finished", work / "other")
    plan = json.loads((work / "other" / "plan.json").read_text())
    plan["facts"]["model"]["contents"]["template"] = "another"
    (work / "other" / "plan.json").write_text(json.dumps(plan))
    with pytest.raises(TunewrightError, match="E645") as refused, tw.serve([run, api.open_run(str(work / "other"))]):
        pass
    assert "chat template" in str(refused.value)


def test_what_is_not_finished_or_not_known_is_refused(work: Path, run: tw.TrainedRun) -> None:
    stopped = api.open_run(str(work / "stopped"))
    for engine in ("llama", "transformers"):
        with pytest.raises(TunewrightError, match=r"E116.*serve needs a run"), tw.serve(stopped, engine=engine):
            pass
    with pytest.raises(TunewrightError, match="E622") as unknown, tw.serve(run, engine="vllm"):
        pass
    assert unknown.value.problems[0].fixes() == ["tunewright serve --help"]
    with pytest.raises(TunewrightError, match="E643"), api.open_server([run], api.ServeOptions(host="0.0.0.0")):
        pass


@pytest.mark.parametrize("times", [1, 2])
def test_the_command_serves_until_it_is_ended(run: tw.TrainedRun, times: int) -> None:
    with_gguf(run)
    words = [
        sys.executable,
        "-m",
        "tunewright",
        "serve",
        str(run.path),
        "--port",
        "0",
        "--json",
        "--api-key-file",
        "key",
    ]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(words, **pipes, text=True, cwd=run.path.parent) as process:
        assert process.stdout and process.stderr
        ready = json.loads(process.stdout.readline())
        key = (run.path.parent / "key").read_text().strip()
        served = openai.OpenAI(base_url=f"{ready['url']}/v1", api_key=key)
        assert [model.id for model in served.models.list()] == ready["models"]
        with pytest.raises(openai.AuthenticationError):
            client_without = openai.OpenAI(base_url=f"{ready['url']}/v1", api_key="wrong")
            client_without.models.list()
        children = psutil.Process(process.pid).children(recursive=True)
        assert any("llama_worker" in " ".join(child.cmdline()) for child in children)
        for _time in range(times):
            process.send_signal(signal.SIGINT)
            time.sleep(0.01)
        assert process.wait(20) == 130
        assert "Traceback" not in process.stderr.read()
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)


def test_a_run_is_proved_before_it_is_said_to_be_ready(run: tw.TrainedRun) -> None:
    words = [sys.executable, "-m", "tunewright", "serve", str(run.path), "--port", "0", "--check", "--json"]
    with subprocess.Popen([*words, "--engine", "transformers"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        ready = json.loads(process.stdout.readline())
        assert ready["proven"] is True and [model.id for model in client_at(ready["url"]).models.list()] == [run.name]
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
    proofs = run.dir.proofs()
    assert proofs and not proofs.proofs["serve --engine transformers, fp32"].failed

    with_gguf(run)  # of another model
    spoiled = subprocess.run(words, capture_output=True, text=True)
    assert (spoiled.returncode, spoiled.stdout) == (8, "")
    assert json.loads(spoiled.stderr.splitlines()[-1])["error"]["code"] == "E662"
    refused = subprocess.run([*words, "--with-system"], capture_output=True, text=True)
    assert refused.returncode == 2 and "--with-system changes them" in refused.stderr


def test_an_answer_is_streamed_and_can_be_interrupted(run: tw.TrainedRun) -> None:
    pieces: list[str] = []

    def read(piece: str) -> None:
        pieces.append(piece)
        if len(pieces) == 3:
            run.interrupt()

    text = run.reply(HELLO, max_new_tokens=2000, on_text=read)
    assert "".join(pieces) == text and pieces[0] == ""
    whole = run.reply(HELLO, max_new_tokens=2000)
    assert whole.startswith(text.rstrip("\ufffd")) and len(text) < len(whole), "the session lives on"
    assert run.reply(HELLO, max_new_tokens=8) == run.answers([HELLO], max_new_tokens=8)[0]["tuned"]


def test_ctrl_c_ends_an_answer_and_ctrl_d_the_chat(run: tw.TrainedRun) -> None:
    words = [sys.executable, "-m", "tunewright", "chat", str(run.path), "--max-new-tokens", "2000"]
    leader, follower = pty.openpty()
    written = b""

    def read_until(words: bytes) -> None:
        nonlocal written
        while words not in written:
            assert select.select([leader], [], [], 120)[0], written
            written += os.read(leader, 65536)
        written = written.partition(words)[2]

    def of_the_terminal() -> None:  # so that its Ctrl-C reaches the command
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    with subprocess.Popen(words, stdin=follower, stdout=follower, stderr=follower, preexec_fn=of_the_terminal) as chat:
        os.close(follower)
        for _ in range(2):
            read_until(b"you ")
            os.write(leader, b"Hello\n")
            read_until(b"tuned ")
            os.write(leader, b"\x03")
        read_until(b"you ")
        os.write(leader, b"\x04")
        assert chat.wait(60) == 0
    os.close(leader)


def test_a_run_handle_is_not_disturbed(run: tw.TrainedRun) -> None:
    assert isinstance(run.dir, RunDir)
    with tw.serve(run, engine="transformers") as served:
        chat = client(served).chat.completions
        assert chat.create(model=run.name, messages=HELLO, max_tokens=4).choices
        assert run.chat("Hello", max_new_tokens=4) is not None
    assert run.chat("Hello", max_new_tokens=4) is not None
