"""Streams: each look at a run's events once, frames only when something changed, few streams at once, an end with the server."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from starlette.responses import StreamingResponse

from tunewright import api
from tunewright.studio import live as live_module
from tunewright.studio.live import Live, message


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "LOOK_SECONDS", 0.01)


async def _all(frames: AsyncIterator[Any]) -> list[str]:
    return [str(frame) async for frame in frames]


def _looks(*states: str) -> Callable[[], tuple[str, str]]:
    left = list(states)
    return lambda: ((state := left.pop(0) if len(left) > 1 else left[0]), f"<p>{state}</p>")


def _stream(live: Live, look: Callable[[], tuple[str, str]]) -> StreamingResponse:
    response = live.stream(look)
    assert isinstance(response, StreamingResponse)
    return response


def test_a_state_is_sent_once_and_the_last_one_ends_the_stream() -> None:
    frames = asyncio.run(_all(_stream(Live(), _looks("a", "a", "b", "")).body_iterator))  # type: ignore[arg-type]
    assert frames == [message("<p>a</p>"), message("<p>b</p>"), message("<p></p>"), message("end", event="end")]


def test_streams_end_with_the_server() -> None:
    calls: list[int] = []
    live = Live(is_ending=lambda: len(calls) > 3)

    def look() -> tuple[str, str]:
        calls.append(1)
        return str(len(calls)), "x"

    assert len(asyncio.run(_all(_stream(live, look).body_iterator))) == 4  # type: ignore[arg-type]


def test_the_fourth_stream_is_asked_for_again() -> None:
    async def open_them() -> None:
        live = Live()
        streams = [_stream(live, _looks("a", "a")).body_iterator for _one in range(live_module.MOST_STREAMS)]
        for stream in streams:
            await anext(stream)  # type: ignore[arg-type]
        assert await _all(_stream(live, _looks("a")).body_iterator) == [f"retry: 2000\n{message('<p>a</p>')}"]  # type: ignore[arg-type]
        over = await _all(_stream(live, _looks("")).body_iterator)  # type: ignore[arg-type]
        assert over[1:] == [message("end", event="end")]
        await streams[0].aclose()  # type: ignore[union-attr]
        again = _stream(live, _looks("a", "b", "")).body_iterator
        assert len(await _all(again)) == 4  # type: ignore[arg-type]

    asyncio.run(open_them())


def test_a_text_of_several_lines_is_one_message() -> None:
    assert message("a\nb") == "data: a\ndata: b\n\n"
    assert message("x", event="end") == "event: end\ndata: x\n\n"


def test_events_are_read_once_whoever_looks(start: Callable[..., Any]) -> None:
    story = start(state="running")
    run, live = api.TrainedRun(story.run), Live()
    watch = live.watch(run)
    story.train(1, 3)
    assert live.watch(run) is watch and watch.view.step == 3
    assert [event.step for event in watch.history.curves.logs.events] == [1, 2, 3]
    story.train(4, 4)
    live.watch(run)
    assert [event.step for event in watch.history.curves.logs.events] == [1, 2, 3, 4]


def test_a_run_of_the_same_name_is_another_one(start: Callable[..., Any]) -> None:
    story = start()
    live = Live()
    first = live.watch(api.TrainedRun(story.run))
    story.run.update_info(created=story.run.info().created + 1)
    assert live.watch(api.TrainedRun(story.run)) is not first


def test_watches_longest_unused_are_forgotten(start: Callable[..., Any]) -> None:
    live = Live()
    runs = [api.TrainedRun(start(f"2026-11-23-{i}").run) for i in range(live_module.MOST_WATCHED + 1)]
    first = live.watch(runs[0])
    for run in runs:
        live.watch(run)
    assert live.watch(runs[0]) is not first or len(runs) <= live_module.MOST_WATCHED
