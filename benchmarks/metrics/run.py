"""Do our scores equal those of the field's own packages? `python benchmarks/metrics/run.py [--cases N]`

Each score is computed by us and by its reference on the same random inputs, thousands of them, the odd ones (nothing found,
nothing there, one label, marks, numbers, empty texts) among them. Needs the packages beside Tunewright, in an environment of
its own: pip install seqeval sacrebleu rouge-score scikit-learn scipy. Writes results.json and the table of README.md, and the
first cases of each with the reference's answers to tests/unit/metrics/reference_scores.json, which the tests hold us to.
"""

import argparse
import json
import math
import platform
import random
import re
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import Tokenizer
from sacrebleu.metrics import BLEU
from scipy.stats import pearsonr
from seqeval import metrics as seqeval
from sklearn import metrics as sklearn
from sklearn.preprocessing import MultiLabelBinarizer

from tunewright.metrics import scoring

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
FIXTURES = ROOT / "tests/unit/metrics/reference_scores.json"
KEPT = 12  # cases of each kind that become fixtures
EQUAL = 1e-9
SCHEMES = {"IOB2": "BI", "IOB1": "IB", "BIOES": "BIES", "BILOU": "BILU", "IOE": "IE"}
WORDS = [
    "the", "cat", "sat", "on", "a", "mat", "The", "Cat", "order", "3,000", "mugs", "2-day", "3.5", "kg", "don't", "e-mail", "U.S.",
    "well-known", "(blue)", "[x]", "$5", "100%", "A/B", "_id", "a_b", "wait...", "no!", "yes?", '"so"', "'it'", "x,y", "1,2", ",3",
    "4.", "-5", "C++", "#1", "a&b", "&amp;", "&quot;q&quot;", "&lt;b&gt;", "<skipped>", "end.", "\u201cgood\u201d", "co-\noperate",
]  # fmt: skip
CHINESE = "我今天想去北京看朋友他买了公斤苹果很好吃杯子红色三个，。！？（）、"
Inputs = tuple[list[Any], list[Any]]
Scores = Mapping[str, float]


@dataclass(frozen=True)
class Kind:
    """Inputs of one kind, who says what their scores are, and what we say."""

    name: str
    package: str
    make: Callable[[random.Random], Inputs]
    ours: Callable[[list[Any], list[Any]], Scores]
    theirs: Callable[[list[Any], list[Any]], Scores]


def tags(rng: random.Random) -> Inputs:
    prefixes = SCHEMES[rng.choice(list(SCHEMES))]
    kinds = rng.choice([("PER",), ("PER", "LOC"), ("PER", "LOC", "LOC-X", "MISC")])
    every = ["O"] * rng.randint(1, 6) + [f"{prefix}-{kind}" for prefix in prefixes for kind in kinds]
    gold = [[rng.choice(every) for _word in range(rng.randint(1, 15))] for _row in range(rng.randint(1, 8))]
    if not scoring.has_entities(tag for row in gold for tag in row):
        gold[0][0] = f"{prefixes[0]}-PER"  # without entities there is another score, tested below
    share = rng.random()
    found = [[tag if rng.random() < share else rng.choice(every) for tag in row] for row in gold]
    return found, gold


def as_bioes(rows: list[list[str]]) -> list[list[str]]:
    """BILOU in the letters that seqeval's default mode reads."""
    return [[re.sub("^L-", "E-", re.sub("^U-", "S-", tag)) for tag in row] for row in rows]


def by_seqeval(found: list[Any], gold: list[Any]) -> Scores:
    found, gold = as_bioes(found), as_bioes(gold)
    return {
        "accuracy": seqeval.accuracy_score(gold, found),
        "entity_f1": seqeval.f1_score(gold, found),
        "entity_precision": seqeval.precision_score(gold, found),
        "entity_recall": seqeval.recall_score(gold, found),
    }


def labels(rng: random.Random) -> Inputs:
    names = list("abcdefgh")[: rng.randint(1, 8)]
    weights = [rng.random() ** 3 + 1e-3 for _name in names]
    gold = rng.choices(names, weights, k=rng.randint(1, 60))
    share = rng.random()
    return [name if rng.random() < share else rng.choice([*names, "unseen"]) for name in gold], gold


def classes_by_sklearn(found: list[Any], gold: list[Any]) -> Scores:
    return {
        "accuracy": sklearn.accuracy_score(gold, found),
        "macro_f1": sklearn.f1_score(gold, found, average="macro", zero_division=0),
    }


def sets_of_labels(rng: random.Random) -> Inputs:
    names = list("abcdef")[: rng.randint(1, 6)]

    def drawn() -> list[str]:
        return sorted(rng.sample(names, rng.randint(0, len(names))))

    gold = [drawn() for _row in range(rng.randint(1, 40))]
    share = rng.random()
    return [names if rng.random() < share else drawn() for names in gold], gold


def sets_by_sklearn(found: list[Any], gold: list[Any]) -> Scores:
    seen = sorted({name for names in (*found, *gold) for name in names})
    binary = MultiLabelBinarizer(classes=seen)
    given, wanted = binary.fit_transform(found), binary.transform(gold)
    if not seen:  # scikit-learn takes no table without columns
        return {"accuracy": 1.0, "micro_f1": 0.0, "macro_f1": 0.0}
    means = ("micro", "macro") if len(seen) > 1 else ("binary", "binary")  # one column is taken for yes and no
    f1 = [sklearn.f1_score(wanted, given, average=mean, zero_division=0) for mean in means]
    return {"accuracy": sklearn.accuracy_score(wanted, given), "micro_f1": f1[0], "macro_f1": f1[1]}


def numbers(rng: random.Random) -> Inputs:
    scale = 10 ** rng.uniform(-3, 4)
    gold = [rng.gauss(0, scale) for _row in range(rng.randint(2, 60))]
    noise = rng.choice([0.0, 0.1, 1.0, 10.0])
    found = [0.7 * number + rng.gauss(0, scale * noise) for number in gold]
    return ([found[0]] * len(found) if rng.random() < 0.05 else found), gold


def numbers_by_sklearn(found: list[Any], gold: list[Any]) -> Scores:
    correlation = float(pearsonr(found, gold).statistic)
    return {
        "mae": sklearn.mean_absolute_error(gold, found),
        "rmse": sklearn.root_mean_squared_error(gold, found),
        "pearson": 0.0 if math.isnan(correlation) else correlation,  # one side does not vary
    }


def text(rng: random.Random, words: Sequence[str], joint: str) -> str:
    return joint.join(rng.choices(words, k=rng.choice([0, 1, 2, 3, 5, 8, 13, 30])))


def altered(rng: random.Random, line: str, joint: str) -> str:
    """A line with some of its words left out, doubled or moved."""
    parts = line.split(joint) if joint else list(line)
    kept = [part for part in parts for _copy in range(rng.choices([0, 1, 2], [2, 12, 1])[0])]
    if len(kept) > 3 and rng.random() < 0.4:
        cut = rng.randrange(len(kept))
        kept = kept[cut:] + kept[:cut]
    return joint.join(kept)


def texts(words: Sequence[str], joint: str) -> Callable[[random.Random], Inputs]:
    def make(rng: random.Random) -> Inputs:
        gold = [text(rng, words, joint) for _row in range(rng.randint(1, 6))]
        found = [altered(rng, line, joint) if rng.random() < 0.8 else text(rng, words, joint) for line in gold]
        return found, gold

    return make


class ChineseTokenizer(Tokenizer):  # type: ignore[misc]
    """rouge-score's own words, and each Chinese character by itself: its default leaves nothing of Chinese."""

    def tokenize(self, line: str) -> list[str]:
        return re.findall("[a-z0-9]+|[\u4e00-\u9fff]", line.lower())


def by_rouge_score(tokenizer: Tokenizer | None) -> Callable[[list[Any], list[Any]], Scores]:
    names = ["rouge1", "rouge2", "rougeL"]
    scorer = RougeScorer(names, use_stemmer=False, tokenizer=tokenizer)

    def scores(found: list[Any], gold: list[Any]) -> Scores:
        rows = [scorer.score(wanted, given) for given, wanted in zip(found, gold, strict=True)]
        return {name: sum(row[name].fmeasure for row in rows) / len(rows) for name in names}

    return scores


def by_sacrebleu(found: list[Any], gold: list[Any]) -> Scores:
    # Characters or marks of Chinese; for all else it is 13a that a user would choose.
    is_chinese = any(re.search("[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]", line) for line in gold)
    metric = BLEU(tokenize="zh" if is_chinese else "13a", effective_order=True)
    return {"bleu": metric.corpus_score(found, [gold]).score / 100}


def only(*names: str) -> Callable[[list[Any], list[Any]], Scores]:
    """Some of our scores of texts."""

    def scores(found: list[Any], gold: list[Any]) -> Scores:
        told = scoring.text_scores(found, gold)
        return {name: told[name] for name in names}

    return scores


ROUGE = ("rouge1", "rouge2", "rougeL")
MIXED = [*CHINESE, "iPhone", "——", "……", "“", "”", " 3.", " 3.5 ", " 2-day ", " the ", " cat, ", "1,000", "“好”"]
KINDS = [
    Kind("tags", "seqeval", tags, scoring.tag_scores, by_seqeval),
    Kind("one label", "scikit-learn", labels, scoring.classification_scores, classes_by_sklearn),
    Kind("several labels", "scikit-learn", sets_of_labels, scoring.multi_label_scores, sets_by_sklearn),
    Kind("numbers", "scikit-learn", numbers, scoring.regression_scores, numbers_by_sklearn),
    Kind("English texts", "rouge-score", texts(WORDS, " "), only(*ROUGE), by_rouge_score(None)),
    Kind("Chinese texts", "rouge-score", texts(MIXED, ""), only(*ROUGE), by_rouge_score(ChineseTokenizer())),
    Kind("English texts", "sacrebleu", texts(WORDS, " "), only("bleu"), by_sacrebleu),
    Kind("Chinese texts", "sacrebleu", texts(MIXED, ""), only("bleu"), by_sacrebleu),
]


@dataclass
class Tally:
    """How far one score was from its reference over all cases."""

    cases: int = 0
    largest: float = 0.0
    worst: Inputs | None = None

    def add(self, difference: float, inputs: Inputs) -> None:
        self.cases += 1
        if difference > self.largest:
            self.largest, self.worst = difference, inputs


def compare(kind: Kind, cases: int, fixtures: list[dict[str, Any]]) -> dict[str, Tally]:
    """Tallies by score; the first cases are kept as fixtures."""
    rng, tallies = random.Random(f"{kind.name} {kind.package}"), {}
    for number in range(cases):
        inputs = kind.make(rng)
        ours, theirs = kind.ours(*inputs), {name: float(value) for name, value in kind.theirs(*inputs).items()}
        assert ours.keys() == theirs.keys(), (ours, theirs)
        for name, value in theirs.items():
            tallies.setdefault(name, Tally()).add(abs(ours[name] - value) / max(1.0, abs(value)), inputs)
        if number < KEPT:
            fixtures.append({"kind": kind.name, "package": kind.package, "inputs": inputs, "scores": theirs})
    return tallies


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--cases", type=int, default=3000, help="random inputs of each kind")
    cases = parser.parse_args().cases
    warnings.simplefilter("ignore")  # of the references, about scores that are not defined
    rows: list[dict[str, Any]] = []
    fixtures: list[dict[str, Any]] = []
    for kind in KINDS:
        for name, tally in compare(kind, cases, fixtures).items():
            rows.append({"inputs": kind.name, "score": name, "package": kind.package, "cases": tally.cases,
                         "largest_difference": tally.largest})  # fmt: skip
            print(f"{kind.name:15} {name:17} {kind.package:13} {tally.cases:6} {tally.largest:.2g}", flush=True)
            if tally.largest > EQUAL:
                print(f"  differs most on {tally.worst}", file=sys.stderr)
    if any(row["largest_difference"] > EQUAL for row in rows):
        sys.exit(1)
    packages = {name: version(name) for name in ("seqeval", "scikit-learn", "scipy", "rouge-score", "sacrebleu")}
    write(rows, packages, fixtures)


def write(rows: list[dict[str, Any]], packages: dict[str, str], fixtures: list[dict[str, Any]]) -> None:
    """Results, the table in the README, the tests' fixtures."""
    head = {"date": date.today().isoformat(), "python": platform.python_version(), "versions": packages}
    (HERE / "results.json").write_text(json.dumps({**head, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    table = ["| inputs | score | reference | random inputs | largest difference |", "|---|---|---|---|---|"]
    table += [
        f"| {r['inputs']} | {r['score']} | {r['package']} {packages[r['package']]} | {r['cases']:,} "
        f"| {r['largest_difference']:.1g} |"
        for r in rows
    ]
    readme = HERE / "README.md"
    before, _mark, _old = readme.read_text(encoding="utf-8").partition("<!-- table -->")
    made = f"{head['date']}, Python {head['python']}, scipy {packages['scipy']}."
    readme.write_text("\n".join([f"{before}<!-- table -->", "", made, "", *table, ""]), encoding="utf-8")
    stored = {"versions": packages, "cases": fixtures}
    FIXTURES.write_text(json.dumps(stored, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
