"""The Data pages: bringing data, rows shown and never obeyed, changes made and undone; both languages, with and without script."""

import gzip
import html
import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.unit.cli.conftest import built_in as built_in
from tests.unit.cli.conftest import model as model
from tunewright.studio import data_store, data_view, uploads

HTMX = {"hx-request": "true"}
Browsing = Callable[..., TestClient]


def rows(count: int = 12) -> list[dict[str, Any]]:
    made = [{"question": f"What is {n}?", "answer": f"It is {n}."} for n in range(1, count + 1)]
    made[2]["answer"] = ""
    made[5] = dict(made[0])
    return made


def as_jsonl(made: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in made).encode()


def sent(browser: TestClient, *files: tuple[str, bytes], **options: Any) -> Any:
    return browser.post("/data", files=[("files", file) for file in files], follow_redirects=False, **options)


@pytest.fixture(autouse=True)
def _looks_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page waits for its look, however busy the machine is."""
    monkeypatch.setattr("tunewright.studio.pages.data.PAGE_SECONDS", 60.0)


@pytest.fixture
def data(browser: TestClient, built_in: Path) -> str:
    """The address of data with an empty answer in row 3 and a repeated row 6."""
    answer = sent(browser, ("my rows.jsonl", as_jsonl(rows())))
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


def text_of(page: Any) -> str:
    assert page.status_code == 200, page.text
    return html.unescape(re.sub(r"<[^>]*>", "", page.text))


def test_an_upload_leads_to_its_account(browser: TestClient, data: str) -> None:
    page = browser.get(data)
    shown = text_of(page)
    assert "12 rows = " in shown and "1 left out" in shown
    assert "question -> prompt" in shown and "my_rows.jsonl" in shown
    assert "It is 1." in shown and '<mark class="learned">It is 1.' in page.text
    assert f"/plan?data={data.removeprefix('/data/')}&amp;model=smollm2" in page.text
    assert "tunewright data check" in shown
    assert "my_rows.jsonl" in text_of(browser.get("/data"))


def test_rows_are_filtered_searched_and_paged(browser: TestClient, built_in: Path) -> None:
    address = sent(browser, ("many.jsonl", as_jsonl(rows(120)))).headers["location"]
    first = browser.get(f"{address}/rows", headers=HTMX)
    assert first.text.count("<article") == 50 and "<html" not in first.text
    assert browser.get(f"{address}/rows?page=3", headers=HTMX).text.count("<article") == 20
    assert 'id="row-77"' in browser.get(f"{address}/rows?q=what+is+77", headers=HTMX).text
    empty = browser.get(f"{address}/rows?kind=empty", headers=HTMX)
    assert re.findall(r'id="row-(\d+)"', empty.text) == ["3"] and "E203" in empty.text
    whole = browser.get(f"{address}/rows?kind=empty")
    assert "<html" in whole.text and re.findall(r'id="row-(\d+)"', whole.text) == ["3"]
    assert browser.get(f"{address}/rows?page=x&kind=none&q=%00", headers=HTMX).status_code == 200


def change(browser: TestClient, data: str, **values: Any) -> Any:
    answer = browser.post(f"{data}/fix", data=values, headers=HTMX)
    assert answer.status_code == 200, answer.text
    assert "<html" not in answer.text
    return answer


def test_rows_are_mended_and_every_change_is_undone(browser: TestClient, data: str) -> None:
    upload = Path(data_store.entry(data.removeprefix("/data/")).train)
    before = upload.read_bytes()
    form = browser.get(f"{data}/rows/3", headers=HTMX)
    assert 'name="column" value="answer"' in form.text
    change(browser, data, change="set_cell", row=3, column="answer", value="It is three.")
    change(browser, data, change="keep_first", kind_of_rows="duplicate")
    page = change(browser, data, change="leave_out", row=8)
    shown = text_of(page)
    assert "10 rows = " in shown and "0 left out" in shown and "Nothing was found wrong" in shown
    assert "It is three." in shown and shown.count("Undo change") == 0 and page.text.count("Undo change") == 3
    assert [int(n) for n in re.findall(r'id="row-(\d+)"', page.text)] == [1, 2, 3, 4, 5, 7, 9, 10, 11, 12]
    entry = data_store.entry(data.removeprefix("/data/"))
    assert data_store.settings(entry.id)["data.train"] != entry.train
    second = {"fix": data_view.digest_of(entry.row_fixes[1])}
    undone = browser.post(f"{data}/undo", data=second, headers=HTMX)
    assert "11 rows = " in text_of(undone) and 'id="row-6"' in undone.text
    again = browser.post(f"{data}/undo", data=second, headers=HTMX)  # a second click takes back nothing else
    assert "11 rows = " in text_of(again) and again.text.count("Undo change") == 2
    assert "12 rows = " in text_of(browser.post(f"{data}/undo", data={"fix": "all"}, headers=HTMX))
    assert data_store.settings(entry.id)["data.train"] == entry.train == str(upload)
    assert upload.read_bytes() == before


def test_changes_of_rows_that_have_changed_are_neither_trained_on_nor_added_to(browser: TestClient, data: str) -> None:
    """By the numbers of the changes other rows would be left out, and new ones would not be there at all."""
    data_id = data.removeprefix("/data/")
    change(browser, data, change="leave_out", row=3)
    upload = Path(data_store.entry(data_id).train)
    upload.write_bytes(as_jsonl([{"question": "First?", "answer": "New."}, *rows()]))
    left_out = data_store.entry(data_id).fixes
    refused = browser.post(f"{data}/fix", data={"change": "leave_out", "row": "8"}, headers=HTMX)
    assert "E271" in refused.text and data_store.entry(data_id).fixes == left_out
    start = browser.post("/plan/start", data={"data": data_id, "typed": "yes", "form_id": "a"})
    assert start.status_code == 409 and "E271" in start.text and not list(Path("runs").glob("*/plan.json"))
    assert "13 rows = " in text_of(browser.post(f"{data}/undo", data={"fix": "all"}, headers=HTMX))
    assert "12 rows = " in text_of(change(browser, data, change="leave_out", row=4))


def test_a_row_of_a_changed_set_has_its_first_number(browser: TestClient, data: str) -> None:
    change(browser, data, change="leave_out", row=1)
    page = change(browser, data, change="set_cell", row=4, column="answer", value="four")
    assert re.search(r'id="row-4".*?four', page.text, re.DOTALL)
    assert "four" in browser.get(f"{data}/rows/4", headers=HTMX).text
    assert "What is 4?" in browser.get(f"{data}/rows/4").text


def test_all_of_it_works_without_script(browser: TestClient, data: str) -> None:
    for name, values in [
        ("fix", {"change": "leave_out", "kind_of_rows": "empty"}), ("undo", {"fix": "all"}),
        ("settings", {"max_length": "64"}), ("map", {"role-completion": "question"}), ("undo", {"fix": "all"}), ("stop", {}),
    ]:  # fmt: skip
        answer = browser.post(f"{data}/{name}", data=values, follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, data), answer.text
        assert browser.get(data).status_code == 200
    assert "<html" in browser.get(f"{data}/rows/3").text
    assert "<html" in browser.get(f"{data}/lengths?max_length=9").text


def test_columns_are_corrected(browser: TestClient, data: str) -> None:
    page = browser.post(f"{data}/map", data={"role-prompt": "answer", "role-completion": "question"}, headers=HTMX)
    assert "answer -> prompt, question -> completion" in text_of(page)
    assert "Columns read so" in page.text


def test_columns_that_say_nothing_are_named_on_the_page(browser: TestClient, built_in: Path) -> None:
    made = [{"a": f"ask {n}", "b": f"say {n}"} for n in range(9)]
    address = sent(browser, ("odd.jsonl", as_jsonl(made))).headers["location"]
    page = browser.get(address)
    assert "E211" in page.text and 'name="role-prompt"' in page.text and "ask 3" in page.text
    mapped = browser.post(f"{address}/map", data={"role-prompt": "a", "role-completion": "b"}, headers=HTMX)
    assert "9 rows = " in text_of(mapped)


def taken(browser: TestClient, address: str, page: Any) -> Any:
    """The page after its first button of a fix was pressed."""
    found = re.search(r'name="take" value="([^"]*)"', page.text)
    assert found, page.text
    return browser.post(f"{address}/take", data={"take": html.unescape(found[1])}, headers=HTMX)


def test_columns_that_say_nothing_are_read_as_a_button_offers(browser: TestClient, built_in: Path) -> None:
    made = [{"a message": f"ask {n}", "team": "bill" if n % 2 else "help"} for n in range(40)]
    address = sent(browser, ("odd.jsonl", as_jsonl(made))).headers["location"]
    page = browser.get(address)
    assert "Read it so: a message → text, team → label, task seq_cls" in text_of(page)
    shown = text_of(taken(browser, address, page))
    assert "40 rows = " in shown and "a message -> text, team -> label" in shown
    assert data_store.settings(address.removeprefix("/data/"))["task"] == "seq_cls"


def test_a_table_in_another_encoding_is_read_as_a_button_offers(browser: TestClient, built_in: Path) -> None:
    table = "问题,回答\n" + "".join(f"第{n}个问题是什么？,这是第{n}个回答。\n" for n in range(12))
    answer = sent(browser, ("表.csv", table.encode("gb18030")))
    assert answer.status_code == 303, answer.text
    address = answer.headers["location"]
    page = browser.get(address)
    assert "E239" in page.text and "encoding gb18030" in text_of(page)
    mended = text_of(taken(browser, address, page))
    assert "12 rows = " in mended and "第3个问题是什么" in mended
    assert data_store.settings(address.removeprefix("/data/"))["data.encoding"] == "gb18030"


@pytest.mark.parametrize(
    "fix", ["", "--lr 3", "--set data.encoding=none", "--task other", "--model ../x", "--map a=b", "--map prompt=none"]
)
def test_a_foreign_fix_takes_nothing(fix: str, browser: TestClient, data: str) -> None:
    browser.post(f"{data}/take", data={"take": fix}, headers=HTMX)
    entry = data_store.entry(data.removeprefix("/data/"))
    assert (entry.task, entry.encoding, entry.model) == ("auto", None, "smollm2")
    assert browser.get(data).status_code == 200


def test_what_is_shown_stays_chosen_while_rows_are_mended(browser: TestClient, data: str) -> None:
    part = browser.get(f"{data}/rows?kind=empty", headers=HTMX)
    assert '<option value="empty" selected>' in part.text
    edit = html.unescape(re.findall(rf'hx-get="({data}/rows/3[^"]*)"', part.text)[0])
    assert 'name="kind" value="empty"' in browser.get(edit, headers=HTMX).text


def test_a_refusal_leads_back_to_its_form(browser: TestClient) -> None:
    answer = sent(browser, ("rows.zip", b"PK"), headers={"referer": "http://127.0.0.1/data"})
    assert 'class="button" href="/data"' in answer.text


def test_another_limit_is_tried_before_it_is_taken(browser: TestClient, data: str) -> None:
    part = browser.get(f"{data}/lengths?max_length=20", headers=HTMX)
    assert "11 rows would be cut" in text_of(part) and 'value="20"' in part.text
    page = browser.post(f"{data}/settings", data={"max_length": "40"}, headers=HTMX)
    assert data_store.settings(data.removeprefix("/data/"))["data.max_length"] == 40
    assert "max_length 40" in " ".join(text_of(page).split())


HOSTILE = [
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    '" onfocus="alert(1)" autofocus hx-get="/data" hx-trigger="load',
    "{{ 7 * 7 }}{% include 'layout.html.j2' %}${7*7}",
    "\u202egnp.exe\u202c \u2066x\u2069 \x1b[31m",
    "</textarea></pre></mark><form action='//evil'>",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_rows_stay_text(text: str, browser: TestClient, built_in: Path) -> None:
    made = [{"question": f"{n} {text}", "answer": text} for n in range(12)] + [{"question": text, "answer": ""}]
    address = sent(browser, ("hostile.jsonl", as_jsonl(made))).headers["location"]
    change(browser, address, change="leave_out", row=2)
    for page in (browser.get(address), browser.get(f"{address}/rows/1"), browser.get(f"{address}/rows/13")):
        assert page.status_code == 200
        for forbidden in ("<script>alert", "<img", 'onfocus="alert', "<form action='//evil'", "\u202e", "\x1b"):
            assert forbidden not in page.text
        assert not re.search(r'hx-get="/data"[^>]*hx-trigger="load', page.text)
        assert "{{ 7 * 7 }}" in html.unescape(page.text) or "7 * 7" not in text


def test_hostile_names_of_columns_and_files_stay_text(browser: TestClient, built_in: Path) -> None:
    made = [{"question": f"q{n}", "answer": f"a{n}", '"><b>x': "y", "{{ 1 }}": 3} for n in range(9)]
    address = sent(browser, ('../..\\"><b>\u202eevil.jsonl', as_jsonl(made))).headers["location"]
    page = browser.get(address)
    assert page.status_code == 200 and "<b>" not in page.text and "\u202e" not in page.text
    assert "<b>" not in browser.get(f"{address}/rows/1").text
    path = Path(data_store.entry(address.removeprefix("/data/")).train)
    assert path.parent.parent == uploads.home() / "uploads" and path.is_file()


def test_a_cell_of_a_megabyte_is_cut_on_the_page(browser: TestClient, built_in: Path) -> None:
    made = [*rows(), {"question": "long?", "answer": "x" * 900_000}]
    address = sent(browser, ("long.jsonl", as_jsonl(made))).headers["location"]
    page = browser.get(f"{address}/rows?q=long")
    assert page.status_code == 200 and len(page.text) < 60_000
    cells = browser.get(f"{address}/rows/13", headers=HTMX)
    assert len(cells.text) < 20_000 and "900,000 characters" in cells.text
    mended = change(browser, address, change="cut", row=13, column="answer", characters=10)
    assert "xxxxxxxxxx<|im_end|>" in text_of(mended)


def told(answer: Any, code: str) -> None:
    assert answer.status_code in (400, 409, 413), answer.text
    assert code in answer.text


def test_what_is_no_data_is_refused_and_not_kept(browser: TestClient, built_in: Path, home: Path) -> None:
    told(sent(browser, ("rows.zip", b"PK\x03\x04")), "E202")
    told(sent(browser, ("rows.pkl", pickle.dumps([1]))), "E202")
    told(sent(browser, ("rows.jsonl", gzip.compress(b"{}"))), "E202")
    told(sent(browser, ("rows", b"{}")), "E202")
    told(browser.post("/data", files={"other": ("a.jsonl", b"{}")}), "E269")
    told(sent(browser, *[(f"{n}.jsonl", b"{}") for n in range(uploads.MAX_FILES + 1)]), "E269")
    assert [path for path in (home / "uploads").rglob("*") if path.is_file()] == []
    assert data_store.every() == []


def test_what_is_too_large_is_refused_by_its_head(browser: TestClient) -> None:
    answer = browser.post("/data", content=b"", headers={"content-length": str(uploads.MAX_BYTES * 2)})
    assert answer.status_code == 413
    assert browser.post("/data/path", content=b"x" * (2**20 + 1)).status_code == 413


def test_several_files_are_one_set(browser: TestClient, built_in: Path) -> None:
    made = rows()
    answer = sent(
        browser,
        ("train.jsonl", as_jsonl(made)),
        ("validation.jsonl", as_jsonl(made[6:9])),
        ("train.jsonl", as_jsonl(made)),
    )
    page = browser.get(answer.headers["location"])
    assert "train-2.jsonl" in page.text and "validation.jsonl" in page.text


def test_paths_below_the_start_folder_are_read_and_no_others(
    browser: TestClient, built_in: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    here, elsewhere = Path.cwd(), tmp_path_factory.mktemp("elsewhere")
    (here / "sets").mkdir()
    (here / "sets" / "mine.jsonl").write_bytes(as_jsonl(rows()))
    (elsewhere / "theirs.jsonl").write_bytes(as_jsonl(rows()))
    (here / "link.jsonl").symlink_to(elsewhere / "theirs.jsonl")

    def ask(path: str) -> Any:
        return browser.post("/data/path", data={"path": path}, follow_redirects=False)

    for path in ("sets/mine.jsonl", "sets/", str(here / "sets" / "mine.jsonl")):
        answer = ask(path)
        assert answer.status_code == 303 and browser.get(answer.headers["location"]).status_code == 200
    for path in (
        "../x.jsonl",
        str(elsewhere / "theirs.jsonl"),
        "link.jsonl",
        "/etc/passwd",
        "sets/../../x",
        "",
        "~/x",
        "a\x00b",
    ):
        assert ask(path).status_code == 409, path
    told(ask("none.jsonl"), "E201")
    told(ask("user/dataset"), "E201")
    told(ask("hf://datasets/user/name"), "E")


def test_the_demo_data_are_offered(browser: TestClient, built_in: Path) -> None:
    answer = browser.post("/data/demo", data={"task": "causal_lm"}, follow_redirects=False)
    assert answer.status_code == 303
    assert " trained on + 120 held out" in text_of(browser.get(answer.headers["location"]))


@pytest.mark.parametrize(
    "address", ["/data/0000000000000000", "/data/..%2f..%2fx", "/data/zz", "/data/0000000000000000/rows"]
)
def test_an_unknown_id_is_a_page(address: str, browsing: Browsing) -> None:
    for language in ("en", "zh"):
        assert browsing(language).get(address).status_code == 404
        assert browsing(language).post(f"{address}/fix", data={"change": "leave_out", "row": 1}).status_code in (
            404,
            405,
        )


def test_a_foreign_form_changes_nothing(browser: TestClient, data: str) -> None:
    for values in (
        {"change": "leave_out", "row": "99"}, {"change": "leave_out", "row": "x"}, {"change": "bad", "row": "1"},
        {"change": "cut", "row": "1", "column": "answer", "characters": "0"},
        {"change": "cut", "row": "1", "column": "none", "characters": "3"},
        {"change": "set_row", "row": "1", "value": "{"}, {"change": "set_cell", "row": "1", "column": "", "value": "x"}, {},
    ):  # fmt: skip
        assert browser.post(f"{data}/fix", data=values, headers=HTMX).status_code == 409, values
    assert data_store.entry(data.removeprefix("/data/")).fixes == []
    refused = browser.post(f"{data}/fix", data={"change": "leave_out", "row": "99"}, headers=HTMX)
    assert "E265" in refused.text and "12 rows = " in html.unescape(refused.text) and 'id="row-12"' in refused.text
    assert browser.post(f"{data}/settings", data={"model": "../elsewhere"}, headers=HTMX).status_code == 409
    assert browser.post(f"{data}/settings", data={"task": "<b>", "max_length": "-3"}, headers=HTMX).status_code == 200


def test_a_model_that_is_not_here_is_fetched_only_when_asked(browser: TestClient, tmp_path: Path) -> None:
    address = sent(browser, ("my.jsonl", as_jsonl(rows()))).headers["location"]
    page = browser.get(address)
    assert f'action="{address}/fetch"' in page.text and "Apache" in page.text


def test_every_page_speaks_chinese(browsing: Browsing, data: str) -> None:
    reader = browsing("zh")
    change(reader, data, change="leave_out", row=3)
    pages = [
        reader.get("/data"),
        reader.get(data),
        reader.get(f"{data}/rows/2"),
        reader.get(f"{data}/rows?kind=duplicate"),
    ]
    english = (
        "Leave",
        "Undo",
        "Search",
        "Rows as",
        "What for",
        "Every row",
        "Show",
        "Save",
        "Drop",
        "Plan it",
        "trained on",
        "Edit",
    )
    for page in pages:
        words = text_of(page)
        assert re.search(r"[\u4e00-\u9fff]", words)
        assert [word for word in english if word in words] == []


def test_a_large_file_shows_its_first_rows_and_a_bar(
    browser: TestClient, data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tunewright.studio.background_looks import PendingLook
    from tunewright.studio.pages import data as page_module

    waiting: PendingLook[Any] = PendingLook(done=500, total=2000)
    monkeypatch.setattr(page_module, "PAGE_SECONDS", 0.1)
    monkeypatch.setattr(page_module, "looking_at", lambda *_arguments, **_options: waiting)
    page = browser.get(data)
    shown = text_of(page)
    assert "500 rows so far" in shown and "What is 12?" in shown and 'http-equiv="refresh"' in page.text
    assert f'hx-get="{data}/look"' in browser.get(f"{data}/look", headers=HTMX).text
    assert f'action="{data}/stop"' in page.text
