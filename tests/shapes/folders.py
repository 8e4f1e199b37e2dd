"""Folders: files of splits, sub-folders, what is no data."""

from collections.abc import Mapping

from tests.shapes.json_forms import LEARNED, ROWS, lines
from tests.shapes.shape import Shape

GROUP = "Folders"
CSV = "prompt,completion\n"


def some(*numbers: int) -> str:
    return lines(*(ROWS[number] for number in numbers))


def table(*numbers: int) -> str:
    return CSV + "".join(f"{ROWS[number]['prompt']},{ROWS[number]['completion']}\n" for number in numbers)


def folder(name: str, files: Mapping[str, str], what: str, *learned: int, **more: object) -> Shape:
    return Shape(name, GROUP, "data", files, what, tuple(LEARNED[number] for number in learned), **more)  # type: ignore[arg-type]


W = {"warns": ("W231",)}
NOTE = {"warns": ("W240",)}  # nothing is left alone
SHAPES = (
    folder("folder-of-files", {"a.jsonl": some(0, 1), "b.csv": table(2, 3)}, "all files, in the order of their names", 0, 1, 2, 3),
    folder("folder-train-valid-test", {"train.jsonl": some(0, 1), "valid.jsonl": some(2), "test.jsonl": some(3)},
           "train is trained on, valid is held out, test is not used", 0, 1, 2, held_out=1, **W),
    folder("folder-validation", {"train.csv": table(0, 1), "validation.csv": table(2, 3)}, "validation is held out", 0, 1, 2, 3,
           held_out=2, **NOTE),
    folder("folder-dev", {"my_train.tsv": table(0, 1), "my_dev.tsv": table(2)}, "prefixes do not matter", 0, 1, 2, held_out=1, **NOTE),
    folder("folder-eval", {"data-train.json": some(0, 1), "data-eval.json": some(2)}, "eval is held out", 0, 1, 2, held_out=1, **NOTE),
    folder("folder-shards", {"train-00000-of-00002.jsonl": some(0), "train-00001-of-00002.jsonl": some(1), "val-00000-of-00001.jsonl": some(2)},
           "shards of the Hub", 0, 1, 2, held_out=1, **NOTE),
    folder("folder-camel", {"TrainSet.csv": table(0, 1), "DevSet.csv": table(2)}, "names in capitals", 0, 1, 2, held_out=1, **NOTE),
    folder("folder-chinese", {"训练集.csv": table(0, 1), "验证集.csv": table(2), "测试集.csv": table(3)}, "Chinese names", 0, 1, 2,
           held_out=1, **W),
    folder("folder-train-test", {"train.jsonl": some(0, 1, 2), "test.jsonl": some(3)},
           "without validation a part of train is held out, and test is not used", 0, 1, 2, held_out=1, **W),
    folder("folder-test-beside", {"questions.jsonl": some(0, 1, 2), "questions_test.jsonl": some(3)}, "a test file beside others", 0, 1, 2,
           held_out=1, **W),
    folder("folder-only-test", {"test.jsonl": some(0, 1), "dev.jsonl": some(2)}, "no file to be trained on", 0, 1,
           code="E237", fix="--set data.split=test", settings={"data.holdout": 0}, **W),
    folder("folder-holdout-share", {"train.jsonl": some(0, 1, 2), "valid.jsonl": some(3)}, "a share that is set takes precedence", 0, 1, 2,
           held_out=1, settings={"data.holdout": 0.3}, **W),
    folder("folder-holdout-none", {"train.jsonl": some(0, 1), "valid.jsonl": some(2)}, "so does none", 0, 1, held_out=0,
           settings={"data.holdout": 0}, **W),
    folder("folder-split-asked", {"train.jsonl": some(0, 1), "test.jsonl": some(2, 3)}, "a split that is set", 2, 3, held_out=0,
           settings={"data.split": "test", "data.holdout": 0}, **W),
    folder("folder-sub-folders", {"train/a.jsonl": some(0), "train/b.jsonl": some(1), "test/a.jsonl": some(3)},
           "sub-folders named after splits", 0, 1, **W),
    folder("folder-sub-folders-valid", {"train/x.csv": table(0, 1), "valid/x.csv": table(2)}, "with validation", 0, 1, 2, held_out=1, **NOTE),
    folder("folder-hub", {"README.md": "# data", "data/train-00000-of-00001.jsonl": some(0, 1), "data/test-00000-of-00001.jsonl": some(3)},
           "the layout of Hub data sets", 0, 1, **W),
    folder("folder-licence", {"qa.jsonl": some(0, 1), "LICENSE.txt": "You may use it.", "README.txt": "My data.", "NOTICE.txt": "By me."},
           "licences and notes are not rows", 0, 1, **W),
    folder("folder-requirements", {"qa.csv": table(0, 1), "requirements.txt": "torch", "CITATION.txt": "Me", "metadata.json": "{}"},
           "nor are settings of programs", 0, 1, **W),
    folder("folder-other-types", {"qa.csv": table(0, 1), "qa.xlsx": "x", "notes.docx": "x"}, "what is not read is named", 0, 1, **W),
    folder("folder-hidden", {"qa.csv": table(0, 1), ".DS_Store": "x", "~$qa.csv": "x", ".qa.jsonl": "x"}, "hidden files are passed over", 0, 1),
    folder("folder-datasets-files", {"dataset_info.json": "{}", "state.json": "{}", "a.jsonl": some(0, 1)},
           "files that `datasets` adds are passed over", 0, 1),
    folder("folder-beside-train", {"train.jsonl": some(0, 1), "extra.jsonl": some(2)}, "beside train, other files are not used", 0, 1, **W),
    folder("folder-of-folders", {"de/a.jsonl": some(0), "fr/a.jsonl": some(1)}, "several folders of data: one must be named", code="E201"),
    folder("folder-empty", {"notes.rst": "nothing"}, "no data at all", code="E201"),
)  # fmt: skip
