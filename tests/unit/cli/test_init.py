"""`tunewright init` on data that are not plain UTF-8 rows of prompt and answer: the config works when it is used."""

from pathlib import Path
from typing import Any

import pytest
import yaml

LABELLED = "text,label\n我想退货,退货\n什么时候发货,物流\n退钱,退货\n没收到,物流\n我的包裹呢,物流\n"
ASKED = "问题,答案\n什么时候发货,三天内\n可以退货吗,可以\n怎么付款,微信\n"
HEADLESS = "where is it,here\nwho is he,nobody\nwhat now,nothing\n"


def test_the_encoding_and_the_task_that_the_rows_show_are_written(tw: Any, model: Path, tmp_path: Path) -> None:
    Path("gbk.csv").write_bytes(LABELLED.encode("gb18030"))
    shown = tw("init", str(model), "gbk.csv")
    assert shown.code == 0 and "text and label (text -> text, label -> label)" in shown.err
    config = yaml.safe_load(Path("gbk.yaml").read_text())
    assert (config["task"], config["data"]["encoding"]) == ("seq_cls", "gb18030")
    plan = tw("plan", "gbk.yaml")
    assert plan.code == 0 and "2 labels" in plan.out + plan.err


def test_rows_of_prompt_and_answer_in_another_encoding_need_no_task(tw: Any, model: Path, tmp_path: Path) -> None:
    Path("qa.csv").write_bytes(ASKED.encode("gb18030"))
    assert tw("init", str(model), "qa.csv").code == 0
    config = yaml.safe_load(Path("qa.yaml").read_text())
    assert "task" not in config and config["data"]["encoding"] == "gb18030"
    plan = tw("plan", "qa.yaml")
    assert plan.code == 0 and "2 rows to train, 1 held out" in plan.out + plan.err


def test_the_flags_of_a_pasted_fix_are_taken_and_written(tw: Any, model: Path, tmp_path: Path) -> None:
    Path("a.csv").write_text(HEADLESS)
    assert tw("init", str(model), "a.csv").code == 4
    flags = ("--map", "prompt=column_1", "--map", "completion=column_2", "--set", "data.holdout=0", "--set", "peft.r=4")
    flags += ("--set", "train.learning_rate=0.001", "--set", "model.precision=fp32")
    assert tw("init", str(model), "a.csv", *flags).code == 0
    run = tw("plan", "a.yaml", "--json").json["run"]
    assert run["data"]["map"] == {"prompt": "column_1", "completion": "column_2"}
    assert (run["data"]["holdout"], run["peft"]["r"], run["train"]["learning_rate"]) == (0, 4, 0.001)
    assert run["model"]["precision"] == "fp32"


@pytest.mark.parametrize(
    ("content", "code"),
    [('{"prompt": "q", "chosen": "a", "rejected": "b"}\n', "E233"), ('{"role": "user", "content": "q"}\n{"role": "assistant", '
      '"content": "a"}\n', "E251"), (HEADLESS, "E211")],
)  # fmt: skip
def test_rows_that_a_run_would_refuse_are_refused(
    tw: Any, model: Path, tmp_path: Path, content: str, code: str
) -> None:
    name = "a.jsonl" if content.startswith("{") else "a.csv"
    Path(name).write_text(content)
    shown = tw("init", str(model), name)
    assert shown.code == 4 and f"error {code}" in shown.err
    assert not Path("a.yaml").exists()
