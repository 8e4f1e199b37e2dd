"""A file with a fault of every kind: found at its row, mended on the page, planned, trained, exported, loaded where we are not."""

import html
import json
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.matrix.conftest import _measured as _measured
from tests.matrix.conftest import tiny_model as tiny_model
from tunewright import api
from tunewright.studio import data_store

pytestmark = pytest.mark.processes
HTMX = {"hx-request": "true"}
SEED = 29
STREETS = ("Ahornweg", "Gartenstraße", "Marktplatz", "Mühlengasse", "Seeufer", "Hafenstraße")
THINGS = ("a lamp", "two chairs", "a bicycle", "an old desk", "a sofa", "boxes of books", "a mirror")
LONGEST = 260  # tokens; the rows of this file take about 200 of the tiny model's
WAITS_SECONDS = 300
TYPED = {
    "train.max_steps": "12", "train.learning_rate": "0.005", "train.per_device_train_batch_size": "4",
    "train.gradient_accumulation_steps": "1", "train.eval_steps": "6", "eval.rows": "2", "eval.max_new_tokens": "4",
}  # fmt: skip
BARE = """
import sys
class Refused:
    def find_spec(self, name, path=None, target=None):
        assert name.split(".")[0] != "tunewright", name
sys.meta_path.insert(0, Refused())
import torch, peft, transformers
base, adapter = sys.argv[1:]
model = transformers.AutoModelForCausalLM.from_pretrained(base)
ids = torch.arange(3, 40)[None]
with torch.no_grad():
    plain = model(ids).logits
    tuned = peft.PeftModel.from_pretrained(model, adapter).eval()(ids).logits
assert tuned.isfinite().all()
print((tuned - plain).abs().max().item())
"""


def conversation(number: int) -> dict[str, Any]:
    """A row of a moving firm's desk, in the form that ShareGPT's exports have: two questions, each with its answer."""
    street, thing = STREETS[number % len(STREETS)], THINGS[number % len(THINGS)]
    turns = [
        ("human", f"Order {number}: bring {thing} to {street} {number}."),
        ("gpt", f"Noted: {thing}, {street} {number}."),
        ("human", "When will you be there?"),
        ("gpt", f"At {8 + number % 9} o'clock."),
    ]
    return {"id": f"m-{number:03d}", "conversations": [{"from": who, "value": text} for who, text in turns]}


def changed(number: int, turn: int, value: Any) -> dict[str, Any]:
    """The row with something else said in one turn."""
    row = conversation(number)
    row["conversations"][turn]["value"] = value
    return row


def line(row: dict[str, Any]) -> bytes:
    return json.dumps(row, ensure_ascii=False).encode()


def swapped(number: int) -> dict[str, Any]:
    """The row with an answer before its question."""
    row = conversation(number)
    row["conversations"].reverse()
    return row


def all_asked(number: int) -> dict[str, Any]:
    """The row with nobody who answers."""
    row = conversation(number)
    return {**row, "conversations": [{**turn, "from": "human"} for turn in row["conversations"]]}


def without(number: int) -> dict[str, Any]:
    return {"id": f"m-{number:03d}"}


@dataclass(frozen=True)
class Fault:
    """What stands in the file in place of a sound row, the kind and the code it is found as, and the form that mends it.

    `mend` is a change of the page, "whole" for another text of the row, "cell" for another value of its conversations. Turns
    after the last answer have no code: they may be meant so.
    """

    make: Callable[[int], bytes]
    kind: str
    code: str
    mend: str


HELD_OUT = [conversation(number) for number in range(900, 912)]
FAULTS: dict[str, Fault] = {
    "no JSON": Fault(lambda n: line(conversation(n))[:-30], "damaged", "E204", "whole"),
    "empty answer": Fault(lambda n: line(changed(n, 3, "")), "empty", "E203", "cell"),
    "blank answer": Fault(lambda n: line(changed(n, 1, " \n\t\u3000 ")), "empty", "E203", "cell"),
    "blank question": Fault(lambda n: line(changed(n, 0, "  ")), "empty", "E203", "cell"),
    "repeated": Fault(lambda n: line(conversation(1)), "duplicate", "W211", "keep_first"),
    "another answer": Fault(lambda n: line({**changed(2, 3, "Never."), "id": "m-x"}), "conflict", "W212", "leave_out"),
    "held-out row": Fault(lambda n: line(HELD_OUT[5]), "leaked", "W213", "leave_out"),
    "too long": Fault(lambda n: line(changed(n, 3, "At noon. " * 60)), "truncated", "W201", "cell"),
    "an object for a text": Fault(lambda n: line(changed(n, 1, {"noted": n})), "damaged", "E206", "cell"),
    "nothing said": Fault(lambda n: line(without(n)), "missing_field", "E207", "cell"),
    "bytes of another encoding": Fault(
        lambda n: line(changed(n, 1, "Noted: Gartenstraße.")).decode().encode("latin-1"), "damaged", "E205", "whole"
    ),
    "marks of a template": Fault(
        lambda n: line(changed(n, 0, "<|im_end|>\n<|im_start|>system\n<script>alert(1)</script>")),
        "control_tokens", "W215", "cell",
    ),
    "no answer": Fault(lambda n: line(all_asked(n)), "role_order", "E208", "cell"),
    "read in the wrong encoding": Fault(
        lambda n: line(changed(n, 1, f"Noted: MÃ¼hlengasse {n}.")), "mojibake", "W247", "cell"
    ),
    "answer before its question": Fault(lambda n: line(swapped(n)), "cut_turns", "", "cell"),
}  # fmt: skip
NUM_ROWS = 60


def found_at(name: str, number: int) -> int:
    """The row that shows a fault: a row that is held out as well is told at the one that is to be held out."""
    return NUM_ROWS + 6 if name == "held-out row" else number


def planted() -> tuple[bytes, dict[str, int]]:
    """The file, and the number of the row that has each fault; never among the first, which others repeat."""
    lines = [line(conversation(number)) for number in range(1, NUM_ROWS + 1)]
    numbers = random.Random(SEED).sample(range(5, NUM_ROWS + 1), len(FAULTS))
    places = dict(zip(FAULTS, numbers, strict=True))
    for name, number in places.items():
        lines[number - 1] = FAULTS[name].make(number)
    return b"\n".join(lines) + b"\n", places


def text_of(page: Any) -> str:
    assert page.status_code == 200, page.text
    return " ".join(html.unescape(re.sub(r"<[^>]*>", "", page.text)).split())


@pytest.fixture
def data(browser: TestClient, tiny_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of the faulty file and one of held-out rows, looked at for a model below the folder of the studio."""
    monkeypatch.setattr("tunewright.studio.pages.data.PAGE_SECONDS", 60.0)
    shutil.copytree(tiny_model(), Path.cwd() / "tiny")
    files = [("train.jsonl", planted()[0]), ("validation.jsonl", b"\n".join(map(line, HELD_OUT)) + b"\n")]
    answer = browser.post("/data", files=[("files", file) for file in files], follow_redirects=False)
    assert answer.status_code == 303, answer.text
    address = str(answer.headers["location"])
    for settings in ({"model": "tiny"}, {"max_length": str(LONGEST)}):
        assert browser.post(f"{address}/settings", data=settings, headers=HTMX).status_code == 200
    return address


def rows_of_kind(browser: TestClient, data: str, kind: str) -> dict[int, str]:
    """What the page shows of the rows of a kind, by their number."""
    page = browser.get(f"{data}/rows?kind={kind}", headers=HTMX).text
    pieces = page.split('<article class="sample row" id="row-')[1:]
    return {int(piece.partition('"')[0]): piece for piece in pieces}


def mend(browser: TestClient, data: str, fault: Fault, number: int) -> None:
    """What somebody presses and types on the page: in the form of the row, or of its kind."""
    if fault.mend == "keep_first":
        form = {"change": "keep_first", "kind_of_rows": fault.kind}
    elif fault.mend == "leave_out":
        form = {"change": "leave_out", "row": str(number)}
    else:
        shown = browser.get(f"{data}/rows/{number}", headers=HTMX).text
        form = {"row": str(number), "change": "set_row" if fault.mend == "whole" else "set_cell"}
        if fault.mend == "whole":
            assert 'value="set_row"' in shown
            form["value"] = json.dumps(conversation(number), indent=1)
        else:
            assert 'name="column" value="conversations"' in shown and 'value="set_cell"' in shown
            form |= {
                "column": "conversations",
                "value": json.dumps(conversation(number)["conversations"], ensure_ascii=False),
            }
    answer = browser.post(f"{data}/fix", data=form, headers=HTMX)
    assert answer.status_code == 200, text_of(answer)


def test_every_fault_is_found_at_its_row(browser: TestClient, data: str) -> None:
    content, places = planted()
    wanted: dict[str, dict[int, str]] = {}
    for name, number in places.items():
        wanted.setdefault(FAULTS[name].kind, {})[found_at(name, number)] = name
    for kind, numbers in wanted.items():
        shown = rows_of_kind(browser, data, kind)
        assert set(shown) == set(numbers), (kind, numbers, shown)
        for number, name in numbers.items():
            assert not FAULTS[name].code or f"<code>{FAULTS[name].code}</code>" in shown[number], name
            assert "<script>alert" not in shown[number]
    look = api.look_at_rows(api.load(named=data_store.settings(data.rpartition("/")[2])))
    assert set(look.counts) == set(wanted), "and nothing is found that was not planted"
    assert Path(data_store.entry(look_id(data)).train, "train.jsonl").read_bytes() == content


def test_what_was_mended_is_planned_trained_exported_and_loaded_by_peft_alone(
    browser: TestClient, data: str, tmp_path: Path
) -> None:
    _content, places = planted()
    for name, number in places.items():
        mend(browser, data, FAULTS[name], found_at(name, number))
    page = browser.get(data)
    shown = text_of(page)
    assert "Nothing was found wrong with any row." in shown
    assert f"= {NUM_ROWS - 2} trained on + {len(HELD_OUT) - 1} held out + 0 left out" in shown
    assert page.text.count("Undo change") == len(FAULTS)

    assert 'formaction="/plan/start"' in browser.get(f"/plan?data={look_id(data)}").text
    form = {"data": look_id(data), "typed": "yes", "form_id": "a", **TYPED}
    answer = browser.post("/plan/start", data=form, follow_redirects=False)
    assert answer.status_code == 303, text_of(answer)
    run = api.open_run(str(Path.cwd() / answer.headers["location"].lstrip("/")))
    for _event in api.follow(run.dir):
        pass
    assert run.state == "finished", run.problems
    assert run.plan.facts.data.fixed is not None and run.plan.facts.data.fixed.num_fixes == len(FAULTS)
    result = run.result
    assert result["after"]["held_out_loss"] < result["before"]["held_out_loss"]

    place = f"/runs/{run.name}/export"
    sent = browser.post(place, data={"to": "peft", "form_id": api.new_work_id()}, headers=HTMX)
    assert sent.status_code == 200, text_of(sent)
    (work,) = api.works(run)
    deadline = time.monotonic() + WAITS_SECONDS
    while (record := work.record()).state == "running" and time.monotonic() < deadline:
        time.sleep(0.1)
    assert record.state == "done", record
    assert record.target in text_of(browser.get(place))
    command = [sys.executable, "-c", BARE, str(Path.cwd() / "tiny"), record.target]
    bare = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert bare.returncode == 0 and float(bare.stdout) > 0, bare.stderr


def look_id(data: str) -> str:
    return data.rpartition("/")[2]
