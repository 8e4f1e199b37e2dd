"""A chat with a real run in its own process: pieces that make the answer, an end from elsewhere, memory that is given back."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tunewright import api

from .test_causal_lm import run_for

pytestmark = pytest.mark.processes
PATIENCE = 60.0


def test_a_chat_streams_is_ended_and_unloads(tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path) -> None:
    run = run_for(tiny_model("llama"), shop_rows, tmp_path / "run", **{"train.max_steps": 2})
    chat = api.Chat(run)
    exchange = chat.ask("two mugs to Oslo", with_base=True, max_new_tokens=6)
    exchange.wait()
    assert not exchange.problems
    turns = [*run.opening(), {"role": "user", "content": "two mugs to Oslo"}]
    assert exchange.text("tuned") == run.reply(turns, max_new_tokens=6)
    assert exchange.text("base") == run.reply(turns, max_new_tokens=6, of_base=True)
    assert chat.rss_bytes is not None and chat.rss_bytes > 100 * 2**20

    long = chat.ask("two mugs to Oslo", with_base=False, max_new_tokens=100_000)
    deadline = time.monotonic() + PATIENCE
    while not long.pieces and time.monotonic() < deadline:
        time.sleep(0.01)
    chat.cancel()
    long.wait()
    assert long.is_cancelled and not long.problems
    assert chat.state == "ready"
    chat.unload()
    assert chat.state == "away"


def test_a_merge_in_the_background_is_compared_with_the_adapter(
    tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path
) -> None:
    run = run_for(tiny_model("llama"), shop_rows, tmp_path / "run", **{"train.max_steps": 2})
    work = api.begin_merge(run, api.new_work_id())
    deadline = time.monotonic() + PATIENCE
    while work.state == "running" and time.monotonic() < deadline:
        time.sleep(0.05)
    record = work.record()
    assert work.state == "done", record.problems
    assert record.figures["equal"] == record.figures["prompts"] > 0
    assert (run.path / "merged" / "model.safetensors").stat().st_size < (record.bytes or 0)
