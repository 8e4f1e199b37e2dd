"""What a reader of the report meets: colours, numbers of one, paths, whose values these are, the way about the page."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tunewright import api
from tunewright.config.terms import load_terms
from tunewright.diagnose.rules import diagnose
from tunewright.errors import Problem
from tunewright.i18n import speaking
from tunewright.report import formatting, run_report
from tunewright.rundir import atomic_io, file_names, run_readme
from tunewright.rundir.run_dir import RunDir

STYLE = (Path(run_report.__file__).parent / "static" / "report.css").read_text(encoding="utf-8")
Start = Callable[..., Any]


def page_of(run: RunDir, language: str = "en") -> str:
    with speaking(language):
        return run_report.write_report(run, diagnose(run).findings).read_text(encoding="utf-8")


def one_row(start: Start, **settings: object) -> RunDir:
    """A run with a single held-out row, on which the loss fell."""
    story = start("single", held_out=1)
    row = {"row": 3, "prompt": "Tell.", "reference": "Long ago ...", "answer": "Hm."}
    story.score("before", 1.62, [row], 1, losses=[1.62])
    story.score("after", 1.41, [row], 1, losses=[1.41])
    story.done(1, 1)
    return RunDir(story.run.path)


@pytest.mark.parametrize("part", formatting.PARTS)
def test_every_part_of_the_memory_bar_has_a_colour_of_its_own_in_light_and_dark(part: str) -> None:
    rule = re.search(rf"\.part-{part}\b[^{{]*\{{ fill: var\(--(c\d+)\); background: var\(--\1\); \}}", STYLE)
    assert rule, part
    light, dark = STYLE.split("prefers-color-scheme: dark", 1)
    colours = [re.search(rf"--{rule[1]}: (#[0-9a-f]{{6}})", half) for half in (light, dark)]
    assert all(colours)


def test_no_two_parts_share_a_colour() -> None:
    rules = re.findall(r"\.part-(\w+)[^{]*\{ fill: var\(--(c\d+)\)", STYLE)
    used = [colour for part, colour in rules if part in formatting.PARTS]
    assert len(used) == len(set(used)) == len(formatting.PARTS)
    for half in STYLE.split("prefers-color-scheme: dark", 1):
        values = re.findall(r"--c\d+: (#[0-9a-f]{6})", half)
        assert len(values) == len(set(values))


def test_every_part_that_a_plan_can_have_is_drawn(finished: RunDir) -> None:
    plan = finished.plan().model_dump(mode="json")
    plan["memory"]["parts"] = dict.fromkeys(formatting.PARTS, 2**27)
    atomic_io.write_json(finished.file(file_names.PLAN), plan)
    text = page_of(finished)
    for part in formatting.PARTS:
        assert f'class="swatch part-{part}"' in text and f'<rect class="part-{part}"' in text


def test_one_row_is_told_as_one(start: Start) -> None:
    text = page_of(one_row(start)).replace("\u00a0", " ")
    assert "but with 1 held-out row nothing can be said" in text
    assert "on 1 row<" in text and "With 1 row only large differences can be shown" in text
    assert "The loss fell on 1 of 1 held-out row." in text
    assert re.findall(r"\b1 (?:[a-z-]+ )?(?:rows|answers|steps|tokens|labels|files)\b", text) == []


def test_one_row_in_chinese(start: Start) -> None:
    text = page_of(one_row(start), "zh")
    assert "但只有 1 条留出样本，不足以下结论" in text and "1 条留出样本中有 1 条的损失下降" in text


@pytest.mark.parametrize(
    ("number", "expected"),
    [(1, "1 held-out row"), (0, "0 held-out rows"), (2, "2 held-out rows"), (11, "11 held-out rows")],
)
def test_counted_things(number: int, expected: str) -> None:
    assert formatting.held_out(number) == expected
    with speaking("en"):
        assert formatting.held_out(number).spoken() == expected
    with speaking("zh"):
        assert formatting.held_out(number).spoken() == f"{number} 条留出样本"


def test_no_line_ends_between_a_number_and_its_unit(finished: RunDir) -> None:
    body = page_of(finished).split("<body>")[1].split('<section id="samples"')[0]
    assert re.findall(r"\d (?:%|[KMG]iB\b|points\b)", body) == []
    assert "95\u00a0% interval" in body


@pytest.mark.parametrize(
    ("seconds", "english", "chinese"),
    [
        (4.25, "4.2\u00a0s", "4.2 秒"),
        (601, "10\u00a0min 01\u00a0s", "10 分 1 秒"),
        (3720, "1\u00a0h 02\u00a0min", "1 小时 2 分"),
    ],
)
def test_durations_and_shares_in_both_languages(seconds: float, english: str, chinese: str) -> None:
    with speaking("en"):
        assert (formatting.duration(seconds), formatting.percent(0.5)) == (english, "50.0\u00a0%")
    with speaking("zh"):
        assert (formatting.duration(seconds), formatting.percent(0.5)) == (chinese, "50.0%")


def test_the_page_holds_no_path_of_the_machine(finished: RunDir, tmp_path: Path) -> None:
    plan = finished.plan().model_dump(mode="json")
    far = tmp_path / "far away" / "data"
    plan["run"]["data"]["train"] = str(far / "my rows.jsonl")
    plan["run"]["model"]["name"] = plan["facts"]["model"]["name"] = str(far / "base")
    origin = f"{far}/support.yaml:6:3"
    plan["choices"] += [
        {
            "path": "data.train",
            "value": str(far / "my rows.jsonl"),
            "origin": origin,
            "reason": "asked for",
            "values": {},
        }
    ]
    atomic_io.write_json(finished.file(file_names.PLAN), plan)
    atomic_io.write_text(
        finished.file(file_names.CONFIG), f"model:\n  name: {far}/base\ndata:\n  train: {far}/my rows.jsonl\n"
    )
    log = str(finished.file(file_names.LOG))
    finished.update_info(
        state="failed", problems=[Problem("E506", values={"how": "x", "log": log, "name": "mita"}).to_record()]
    )
    for language in ("en", "zh"):
        text = page_of(finished, language)
        for place in (str(tmp_path), str(finished.path), str(Path.home()) + "/"):
            assert place not in text, text[text.index(place) - 200 : text.index(place) + 100]
        assert "support.yaml:6:3" in text and "log.txt" in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tunewright train /home/me/runs/a/config.yaml --set train.learning_rate=1e-4",
         "tunewright train config.yaml --set train.learning_rate=1e-4"),
        ("train: /data/x/my.jsonl", "train: my.jsonl"),
        ("in '/data/x y/my.jsonl'", "in 'x y/my.jsonl'"),
        ("~/models/base", "base"),
        ("~/base and /chat", "base and /chat"),
        ("https://huggingface.co/a/b stays, so do /dev/shm, 1/2, and/or, q/k/v and ./a/b", None),
        ("Qwen/Qwen3-0.6B", None),
    ],
)  # fmt: skip
def test_folders_are_left_out_and_nothing_else(text: str, expected: str | None) -> None:
    assert formatting.without_folders(text) == (text if expected is None else expected)


def test_the_demos_values_are_told_as_the_demos(home: Path) -> None:
    loaded = api.quickstart_request(sets=["train.max_steps=4"])
    assert loaded.origins["train.learning_rate"] == loaded.origins["peft.layers_to_transform"] == "demo"
    assert (loaded.origins["train.max_steps"], loaded.origins["train.weight_decay"]) == ("--set", "default")


def test_the_report_of_the_demo_says_whose_values_these_are(finished: RunDir) -> None:
    plan = finished.plan().model_dump(mode="json")
    reason = "set by the demo, not by you"
    plan["choices"] = [{"path": "peft.r", "value": 16, "origin": "demo", "reason": reason, "values": {}}]
    atomic_io.write_json(finished.file(file_names.PLAN), plan)
    english, chinese = page_of(finished), page_of(finished, "zh")
    assert '<td class="origin">demo</td><td>set by the demo, not by you</td>' in english
    assert "The demo sets most values itself" in english and "asked for</td>" not in english
    assert (
        '<td class="origin">演示</td><td>由演示设定，并非由你指定</td>' in chinese
        and "演示自行设定了大部分值" in chinese
    )


def test_the_way_about_the_page(finished: RunDir) -> None:
    text = page_of(finished)
    order = [
        text.index(mark)
        for mark in ("<header>", "<nav", '<section id="verdict"', '<section id="repeat"', 'id="curves-section"')
    ]
    assert order == sorted(order), "using it stands near the top, the contents stay in view"
    nav = text.split("<nav")[1].split("</nav>")[0]
    targets = re.findall(r'href="#([\w-]+)"', nav)
    assert targets == re.findall(r'<section id="([\w-]+)"', text)
    assert re.search(r"nav \{[^}]*position: sticky", STYLE)
    assert text.count('class="copied"') + text.count('class="code copied"') == 7
    assert "tunewright export" in text and "navigator.clipboard" in text


def test_most_answers_are_folded_away(finished: RunDir) -> None:
    samples = page_of(finished).split('<section id="samples">')[1].split("</section>")[0]
    outside = re.sub(r"<details>.*?</details>", "", samples, flags=re.DOTALL)
    assert outside.count("<article") <= 8 < samples.count("<article")
    assert samples.count("Show ") == samples.count("<details>")


def test_metrics_are_explained_where_they_stand(start: Start) -> None:
    text = page_of(one_row(start))
    assert 'title="How badly the reference answers were predicted' in text
    assert formatting.meaning("perplexity") in [term.text for term in load_terms()]
    assert "两个比例" in _in_chinese("entity_f1") and formatting.meaning("rmse") == ""


def _in_chinese(metric: str) -> str:
    with speaking("zh"):
        return formatting.meaning(metric)


@pytest.mark.parametrize(
    ("language", "title"), [("en", "the report: open it in a browser"), ("zh", "报告：用浏览器打开即可")]
)
def test_the_runs_folder_says_what_is_what(language: str, title: str, finished: RunDir) -> None:
    with speaking(language):
        text = run_readme.readme("2026-11-28-mita")
    assert text.startswith("# 2026-11-28-mita\n") and title in text
    for name in (
        file_names.ADAPTER,
        file_names.CHECKPOINTS,
        file_names.EVAL,
        file_names.EVENTS,
        file_names.LOG,
        file_names.PREPARED,
        file_names.SEEN_ROWS,
    ):
        assert name in text
    assert title.split("：")[0] in page_of(finished, language)
