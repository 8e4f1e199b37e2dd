"""Labels: classes, several in a cell, numbers, missing ones."""

from collections.abc import Sequence

from tests.shapes.json_forms import lines
from tests.shapes.shape import Shape

GROUP = "Labels"
FIX_SEVERAL = "--set data.problem_type=multi_label_classification"


def csv(*labels: str, header: str = "text,label") -> str:
    return header + "\n" + "".join(f'"text number {n}","{label}"\n' for n, label in enumerate(labels))


def objects(*labels: object) -> str:
    return lines(*({"text": f"text number {n}", "label": label} for n, label in enumerate(labels)))


def shape(name: str, file: str, content: str, what: str, learned: Sequence[str], **more: object) -> Shape:
    options = {"task": "seq_cls", "reader": "encoder", "settings": {"data.holdout": 0}, **more}
    return Shape(name, GROUP, file, content, what, tuple(learned), **options)  # type: ignore[arg-type]


AB = ("a", "b") * 3
SHAPES = (
    shape("labels-text", "a.csv", csv(*AB), "classes by name", AB),
    shape("labels-auto-task", "a.csv", csv(*AB), "a text beside a label is a classification, whatever the model is", AB,
          task=None, reader="decoder"),
    shape("labels-auto-task-seq2seq", "a.csv", csv(*AB), "and a model that rewrites can do it too", AB, task=None, reader="encoder_decoder"),
    shape("labels-auto-task-chinese", "a.csv", csv(*AB, header="评论,标签"), "Chinese names", AB, task=None, reader="decoder"),
    shape("labels-auto-task-review", "a.csv", "label,review\n1,very good\n0,bad\n1,so good\n0,not good\n", "waimai and its like",
          ("1", "0", "1", "0"), task=None, reader="decoder"),
    shape("labels-auto-answers", "a.jsonl", objects(*(f"a long answer that is written out, number {n}, and is no class" for n in range(4))),
          "long texts called label are answers", [f"a long answer that is written out, number {n}, and is no class" for n in range(4)],
          task=None, reader="decoder"),
    shape("labels-body", "a.csv", "title,body,tags\n" + "".join(f"t {n},body {n},{name}\n" for n, name in enumerate(AB)),
          "the body before its title", AB),
    shape("labels-unknown-names", "a.csv", csv(*AB, header="satz,gruppe"), "names that are not known", AB, task=None, reader="decoder",
          code="E211", fix="--task seq_cls --map text=satz --map label=gruppe"),
    shape("labels-unknown-names-cls", "a.csv", csv(*AB, header="satz,gruppe"), "the same with the task", AB,
          code="E229", fix="--map text=satz --map label=gruppe"),
    shape("labels-numbers", "a.jsonl", objects(0, 5, 46, 0, 5, 46), "whole numbers are classes", ("0", "5", "46") * 2),
    shape("labels-numbers-as-text", "a.csv", csv("0", "1", "0", "1"), "so are they as text", ("0", "1", "0", "1")),
    shape("labels-numbers-as-decimals", "a.csv", csv("0.0", "1.0", "0", "1"), "0.0 and 0 are one class", ("0", "1", "0", "1")),
    shape("labels-floats", "a.jsonl", objects(0.0, 1.0, 0, 1), "in JSON too", ("0", "1", "0", "1")),
    shape("labels-booleans", "a.jsonl", objects(True, False, True, False), "true and false", ("true", "false") * 2),
    shape("labels-booleans-as-text", "a.csv", csv("True", "False", "true", "false"), "as pandas writes them", ("true", "false") * 2),
    shape("labels-decimals", "a.csv", csv("0.5", "1.5", "2.5"), "numbers to predict", ("0.5", "1.5", "2.5")),
    shape("labels-one-decimal", "a.csv", csv(*"12345" * 2, "2.5"), "one number that is not whole makes it a regression, with a warning",
          (*"12345" * 2, "2.5"), warns=("W232",)),
    shape("labels-one-decimal-classes", "a.csv", csv(*"12" * 5, "2.5", "2.5"), "or classes, if set", (*"12" * 5, "2.5", "2.5"),
          settings={"data.holdout": 0, "data.problem_type": "single_label_classification"}),
    shape("labels-decimal-comma", "a.csv", csv("3,5", "4,0", "1,25"), "decimal commas are read", ("3.5", "4", "1.25"), warns=("W234",)),
    shape("labels-thousands", "a.csv", csv("1.234,5", "12.000,0", "3,5"), "with points between thousands", ("1234.5", "12000", "3.5"),
          warns=("W234",)),
    shape("labels-thousands-english", "a.csv", csv("1,234.5", "12,000.0", "3.5"), "or commas", ("1234.5", "12000", "3.5"), warns=("W234",)),
    shape("labels-thousands-blank", "a.csv", csv("1 234,5", "12\u00a0000,0", "3,5"), "or blanks", ("1234.5", "12000", "3.5"), warns=("W234",)),
    shape("labels-percent", "a.csv", csv("50%", "20 %", "12.5%"), "percentages", ("50", "20", "12.5"), warns=("W234",)),
    shape("labels-missing-nan", "a.jsonl", "".join(objects(*AB, float("nan"))), "NaN is not a label", AB, left_out=1, code="E207", fix="--skip-bad"),
    shape("labels-missing-null", "a.jsonl", objects(*AB, None), "null is not a label", AB, left_out=1, code="E207", fix="--skip-bad"),
    shape("labels-missing-empty", "a.csv", csv(*AB, ""), "an empty cell is not a label", AB, left_out=1, code="E203", fix="--skip-bad"),
    shape("labels-missing-nan-text", "a.csv", csv(*AB, "NaN"), "nor is NaN as text", AB, left_out=1, code="E207", fix="--skip-bad"),
    shape("labels-missing-none-text", "a.csv", csv(*AB * 2, "None"), "nor None, if it is rare", AB * 2, left_out=1, code="E207", fix="--skip-bad"),
    shape("labels-none-as-class", "a.csv", csv(*AB, "None", "None", "None"), "None is a class if many rows have it: it is said",
          (*AB, "None", "None", "None"), warns=("W236",)),
    shape("labels-nan-among-numbers", "a.jsonl", "".join(objects(1.0, 2.0, 1.0, 2.0, float("nan"))),
          "NaN does not make numbers of classes", ("1", "2") * 2, left_out=1, code="E207", fix="--skip-bad"),
    shape("labels-several-list", "a.jsonl", objects(["a", "b"], [], ["b"]), "lists are several labels, or none", ("a, b", "", "b"),
          warns=("W217",)),
    shape("labels-several-json-text", "a.csv", 'text,label\nt,"[""a"", ""b""]"\nu,"[""b""]"\nv,"[""a""]"\n', "lists as JSON in a cell",
          ("a, b", "b", "a")),
    shape("labels-several-pandas", "a.csv", csv("['a', 'b']", "[]", "['b']", "['a']"), "lists as pandas writes them", ("a, b", "", "b", "a")),
    shape("labels-several-numpy", "a.csv", csv("['a' 'b']", "['b']", "['a']"), "arrays as numpy writes them", ("a, b", "b", "a")),
    shape("labels-several-sets", "a.csv", csv("{'a', 'b'}", "{'b'}", "{'a'}"), "sets", ("a, b", "b", "a")),
    shape("labels-several-tuples", "a.csv", csv("('a', 'b')", "('b',)", "('a',)"), "tuples", ("a, b", "b", "a")),
    shape("labels-several-brackets", "a.csv", csv(*AB, "[a, b]"), "brackets that are not a list", AB, left_out=1, code="E206", fix="--skip-bad"),
    shape("labels-several-comma", "a.csv", csv("a,b", "b", "a", "a,b", "b", "a"), "combinations are classes: it is said",
          ("a,b", "b", "a") * 2, warns=("W233",)),
    shape("labels-several-comma-asked", "a.csv", csv("a, b", "b", "a", "c,a", "c"), "and separated if set",
          ("a, b", "b", "a", "a, c", "c"), settings={"data.holdout": 0, "data.problem_type": "multi_label_classification"}),
    shape("labels-several-semicolon", "a.csv", csv("a;b", "b", "a", "a;b", "b", "a"), "with semicolons", ("a;b", "b", "a") * 2, warns=("W233",)),
    shape("labels-several-semicolon-asked", "a.csv", csv("a;b", "b", "a"), "separated", ("a, b", "b", "a"),
          settings={"data.holdout": 0, "data.problem_type": "multi_label_classification"}),
    shape("labels-several-pipe", "a.csv", csv("a|b", "b|c", "c|a") .replace('"', ""), "with pipes", ("a, b", "b, c", "a, c"),
          settings={"data.holdout": 0, "data.problem_type": "multi_label_classification"}),
    shape("labels-several-twice", "a.jsonl", objects([0, 1, 0], [1], [0], [1], [0]), "zeros and ones are not names", ("1", "0", "1", "0"),
          left_out=1, code="E224", fix=""),
    shape("labels-switches", "a.jsonl", objects([1, 0, 1], [0, 1, 0], [0, 0, 0]), "a 0 or 1 for each label", ("0, 2", "1", ""),
          warns=("W248", "W217")),
    shape("labels-switches-floats", "a.csv", csv("[1.0, 0.0]", "[0.0, 1.0]", "[1.0, 1.0]"), "as transformers wants them", ("0", "1", "0, 1"),
          warns=("W248",)),
    shape("labels-switches-short", "a.jsonl", objects(*[[1, 0], [0, 1]] * 6, [1]), "a list of another length", ("0", "1") * 6,
          left_out=1, code="E206", fix="--skip-bad", warns=("W248",)),
    shape("labels-shares", "a.jsonl", objects(["a"], ["b"], [0.2, 0.8], ["a"]), "shares are not names", ("a", "b", "a"), warns=("W217",),
          left_out=1, code="E206", fix="--skip-bad"),
    shape("labels-currency", "a.csv", csv("$10.50", "-$2", "$1,200.00"), "amounts of money are numbers", ("10.5", "-2", "1200"), warns=("W234",)),
    shape("labels-hyphen", "a.csv", csv(*AB * 2, "-"), "a hyphen is no label, if it is rare", AB * 2, left_out=1, code="E207", fix="--skip-bad"),
    shape("labels-plus-minus", "a.csv", csv(*"+++++-"), "beside a plus it is one", "+++++-", warns=("W217",)),
    shape("labels-case", "a.csv", csv("Track", "track", "TRACK", "Track", "track", "TRACK"), "names that differ in case: it is said",
          ("Track", "track", "TRACK") * 2, warns=("W235",)),
    shape("labels-blanks", "a.csv", csv("a", " a ", "b", "b\t"), "blanks around names go", ("a", "a", "b", "b")),
    shape("labels-invisible", "a.csv", csv("a", "a\u200b", "b", "b", "a\u200b", "a"), "characters that cannot be seen: it is said",
          ("a", "a\u200b", "b", "b", "a\u200b", "a"), warns=("W235",), settings={"data.holdout": 0}),
    shape("labels-question-answer", "a.csv", "question,answer,label\nq,a,1\nr,b,0\ns,c,1\nt,d,0\n", "an answer to be judged is the second text",
          ("1", "0", "1", "0")),
    shape("labels-fasttext", "a.txt", "__label__a one two\n__label__b three\n__label__a four\n__label__b five\n", "fastText's form", "abab"),
    shape("labels-fasttext-several", "a.txt", "__label__a __label__b one two\n__label__b three\n__label__a four\n",
          "lines of several labels and of one", ("a, b", "b", "a")),
    shape("labels-tabs-first", "a.tsv", "a\tone two three four five\nb\tsix\na\tseven\nb\teight\n", "the label first, and no header", "abab",
        code="E240", fix="--map text=column_2 --map label=column_1"),
    shape("labels-one-class", "a.csv", csv(*"aaaa"), "nothing to tell apart", (), code="E226"),
)  # fmt: skip
