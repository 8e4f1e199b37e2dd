"""Stands in for the process of a session: `python fake_session.py RUN` answers requests as its pipe has them, without a model.

The question says how it answers: `slow` a word at a time until SIGINT comes, `hang` never, `die` ends the process, `deaf` as
slow and SIGINT is not heeded, `much` more than a pipe holds, `refuse` is an error of the catalogue; all else is said back.
RUN/no-load makes loading fail, RUN/long-load makes it take until the process is ended. Every start leaves a line in RUN/starts.
"""

import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

from tunewright.errors import Problem
from tunewright.rundir.session_protocol import ErrorReply, Reply, ResultReply, TextReply, reply_line

TICK = 0.01
LABELS = ("order", "refund", "track")
_signals: list[int] = []  # no Event, as in the process it stands for: a second signal would wait for the first


def send(reply: Reply) -> None:
    sys.stdout.write(reply_line(reply) + "\n")
    sys.stdout.flush()


def words(request: dict[str, Any]) -> str:
    """The answer, sent piece by piece."""
    text = request["turns"][-1]["content"]
    who = "base" if request["of_base"] else "tuned"
    send(TextReply(""))
    if text == "hang":
        time.sleep(3600)
    if text == "die":
        sys.exit(1)
    if text == "much":
        send(TextReply("on and " * 2**15))
    if text not in ("slow", "deaf"):
        answer = f"{who} says {text}"
        for start in range(0, len(answer), 5):
            send(TextReply(answer[start : start + 5]))
        return answer
    said = ""
    while text == "deaf" or not _signals:
        time.sleep(TICK)
        said += "on and "
        send(TextReply("on and "))
    return said


def result(request: dict[str, Any]) -> dict[str, object]:
    if request["do"] == "load":
        return {"rss_bytes": 640 * 2**20}
    if request["do"] == "label":
        row = request["inputs"][0]
        if "words" in row:
            return {
                "labels": LABELS,
                "assigned": [["O"] * len(row["words"])],
                "probabilities": [],
                "numbers": [],
                "tokens": 3,
            }
        return {
            "labels": LABELS,
            "assigned": [["refund"]],
            "probabilities": [[0.1, 0.7, 0.2]],
            "numbers": [],
            "tokens": 3,
        }
    text = words(request)
    return {"text": text, "prompt_tokens": 3, "completion_tokens": 2, "is_cut": False}


def main() -> None:
    signal.signal(signal.SIGINT, lambda number, _frame: _signals.append(number))
    run = Path(sys.argv[1])
    with (run / "starts").open("a") as file:
        file.write("started\n")
    for line in sys.stdin:
        request = json.loads(line)
        _signals.clear()
        if (run / "long-load").exists():
            time.sleep(3600)
        if (run / "no-load").exists():
            send(ErrorReply((Problem("E404", values={"step": 0, "reason": "no room", "name": run.name}),)))
        elif request["do"] == "reply" and request["turns"][-1]["content"] == "refuse":
            send(ErrorReply((Problem("E647", values={"tokens": 9000, "context": 2048}),)))
        else:
            send(ResultReply(result(request)))


if __name__ == "__main__":
    main()
