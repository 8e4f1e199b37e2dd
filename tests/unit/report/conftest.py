"""A run folder as the worker would leave it, with a plan made from handwritten facts. No model, no clock."""

import json
import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.records import samples as samples_of
from tunewright.config.load_config import to_yaml
from tunewright.config.run_config import RunConfig
from tunewright.errors import Problem
from tunewright.inspection.data_info import DataInfo
from tunewright.inspection.machine_info import MachineInfo, SpeedProbe
from tunewright.inspection.model_info import LinearGroup, ModelInfo
from tunewright.metrics import confusion_matrix
from tunewright.metrics.scoring import entities, entity_text, exact_match, is_json_task, json_scores
from tunewright.planning.make_plan import make_plan
from tunewright.planning.run_plan import InspectedFacts, Plan
from tunewright.rundir import atomic_io, file_names, run_dir
from tunewright.rundir.run_dir import RunDir

START = 1_790_000_000.0
ORDERS = [("two blue mugs to Oslo please", "mug", 2, "Oslo"), ("我要三个红色的杯子，寄到成都", "杯子", 3, "成都")]


def smollm2(task: str) -> ModelInfo:
    shapes = {"q_proj": (576, 576), "k_proj": (576, 192), "v_proj": (576, 192), "o_proj": (576, 576)}
    shapes |= {"gate_proj": (576, 1536), "up_proj": (576, 1536), "down_proj": (1536, 576)}
    is_writer = task == "seq2seq"
    return ModelInfo(
        kind="encoder_decoder" if is_writer else "decoder", num_decoder_layers=30 if is_writer else 0,
        tasks=("seq2seq",) if is_writer else ("causal_lm", "seq_cls", "token_cls"),
        name="smollm2", folder="/models/smollm2", tokenizer_folder="/models/smollm2", digest="4f1d0c9be2a35577",
        model_type="llama", architecture="LlamaForCausalLM", num_layers=30, hidden_size=576, intermediate_size=1536,
        num_attention_heads=9, num_key_value_heads=3, head_dim=64, vocab_size=49152, max_position_embeddings=2048,
        num_parameters=134_515_008, weight_bytes=269_030_016, has_chat_template=True,
        linear=tuple(LinearGroup(name=n, in_features=i, out_features=o, count=30) for n, (i, o) in shapes.items()),
    )  # fmt: skip


def plan_of(run: RunConfig, *, held_out: int, **data_facts: Any) -> Plan:
    data = DataInfo(
        path=run.data.train, fingerprint="a3f5" * 16, format="messages", columns={"messages": "messages"},
        num_train=1080, num_held_out=held_out, num_bad=4, is_single_turn=True, sampled_rows=1080,
        mean_length=61.5, mean_label_tokens=24.2,
        lengths={"median": 60, "p95": 78, "p99": 88, "longest": 97}, longest_prompt=70,
        answer_lengths={"median": 24, "p95": 31, "longest": 36}, **data_facts,
    )  # fmt: skip
    probe = SpeedProbe(
        device="cpu", device_name="cpu", memory_bytes=25_200_000_000, flops={"fp32": 1.2e11, "bf16": 4.1e10}
    )
    machine = MachineInfo(
        num_cpus=2, memory_bytes=25_200_000_000, free_bytes=23_400_000_000, disk_free_bytes=10**11,
        system="Linux x86_64, Python 3.11.9", probe=probe,
    )  # fmt: skip
    facts = InspectedFacts(machine=machine, model=smollm2(run.task), data=data)
    return make_plan(run, facts, {"model.name": "command line", "data.train": "command line", "preset": "--preset"})


def account(held_out: int) -> dict[str, Any]:
    counts = dict.fromkeys(
        ("damaged", "empty", "missing_field", "role_order", "refused_by_template", "masked_out", "without_end_token",
         "truncated", "duplicate", "conflict", "leaked", "control_tokens"), 0,
    )  # fmt: skip
    counts |= {"empty": 3, "leaked": 1, "truncated": 2, "duplicate": 47}
    numbers = {"empty": [17, 418, 911], "leaked": [1103], "truncated": [88, 640], "duplicate": list(range(100, 147))}
    return {
        "format": "messages", "columns": {"messages": "messages"}, "rows": 1084 + held_out, "used": 1080,
        "held_out": held_out, "dropped": 4, "counts": counts, "numbers": numbers, "max_length": 128,
        "lengths": {"median": 60, "p95": 78, "p99": 88, "longest": 97}, "tokens": 66_420, "label_tokens": 26_136,
        "labels": {}, "problem_type": None,
    }  # fmt: skip


def sample_rows(num: int, right_from: int, step: int = 5) -> list[dict[str, Any]]:
    """Answers to orders; every `step`th from `right_from` on has a wrong city, the ones before are chatter."""
    rows = []
    for i in range(num):
        text, item, count, city = ORDERS[i % 2]
        gold = {"intent": "order", "item": item, "count": count, "city": city}
        predicted = {**gold, "city": "Bergen", "size": "XL"} if i % step == 0 else dict(reversed(gold.items()))
        answer = (
            json.dumps(predicted, ensure_ascii=False) if i >= right_from else "Sure! I can help you with that order."
        )
        reference = json.dumps(gold, ensure_ascii=False)
        rows.append({"row": 1100 + i, "prompt": text, "reference": reference, "answer": answer})
    return rows


def text_scores(loss: float, samples: list[dict[str, Any]]) -> dict[str, float]:
    """What is measured of written answers."""
    predictions, references = [s["answer"] for s in samples], [s["reference"] for s in samples]
    scores = {"perplexity": math.exp(loss)}
    if not samples:
        return scores
    match = {"exact_match": exact_match(predictions, references)}
    return scores | (json_scores(predictions, references) if is_json_task(references) else match)


class Story:
    """Writes the events of a run with a clock of its own."""

    def __init__(self, run: RunDir, plan: Plan) -> None:
        self.run, self.plan, self.time, self.seq = run, plan, START, 0

    def write(self, kind: str, step: int = 0, after: float = 0.5, **fields: Any) -> None:
        self.time += after
        event = {"schema": 1, "seq": self.seq, "t": self.time, "step": step, "kind": kind, **fields}
        self.seq += 1
        atomic_io.append_line(self.run.file(file_names.EVENTS), json.dumps(event, ensure_ascii=False))

    def phase(self, name: str, seconds: float, step: int = 0) -> None:
        self.write("phase", step, phase=name, state="begin")
        self.write("phase", step, seconds, phase=name, state="end", seconds=seconds)

    def train(self, first: int, last: int, *, bend: float = 0.0) -> None:
        for step in range(first, last + 1):
            loss = 0.35 + 3.1 * math.exp(-step / 14) + 0.07 * math.sin(step * 2.3) + bend
            rate = 5e-4 * min(1, step / 5) * (0.5 + 0.5 * math.cos(math.pi * step / self.plan.num_steps))
            self.write(
                "log", step, 1.7, loss=loss, learning_rate=rate, grad_norm=0.8, epoch=step / 135, tokens=490 * step,
                train_seconds=1.7 * step, tokens_per_second=288.4, rss_bytes=2_050_000_000 + 1_000_000 * step,
                eta_seconds=1.7 * (self.plan.num_steps - step), max_steps=self.plan.num_steps,
            )  # fmt: skip
            if step % 27 == 0:
                held_out = 0.42 + 2.6 * math.exp(-step / 16) + (0.03 if step == 135 else 0)
                self.write("eval", step, held_out_loss=held_out, seconds=4.2, is_best=step < 135)
                self.write("checkpoint", step, path=f"checkpoints/checkpoint-{step}", bytes=22_000_000)

    def score(
        self,
        which: str,
        loss: float,
        samples: list[dict[str, Any]],
        held_out: int,
        scores: dict[str, float] | None = None,
        losses: Sequence[float] = (),
    ) -> None:
        """A test; `losses` are those of single rows, of five units each."""
        scores = {"held_out_loss": loss, **(text_scores(loss, samples) if scores is None else scores)}
        self.phase(f"evaluate_{which}", 38.25)
        self.run.file(file_names.EVAL).mkdir(exist_ok=True)
        atomic_io.write_jsonl(self.run.path / file_names.EVAL / f"{which}.jsonl", samples)
        read = [{"row": 2000 + i, "loss": 5 * loss_of_row, "units": 5} for i, loss_of_row in enumerate(losses)]
        atomic_io.write_jsonl(self.run.path / file_names.EVAL / f"{which}.losses.jsonl", read)
        self.write("score", which=which, scores=scores, rows=len(samples), held_out_rows=held_out, seconds=38.25)

    def done(
        self, steps: int, best: int, baseline: dict[str, Any] | None = None, device_bytes: int | None = None
    ) -> None:
        self.write("done", steps, result={
            "before": None, "after": None, "baseline": baseline, "rows": 0, "held_out_rows": 0,
            "tokens": 66_420, "tokens_per_second": 288.4,
            "seconds": {"train": 230.3, "evaluate_before": 38.25, "evaluate_after": 38.25, "total": 318.0},
            "peak_rss_bytes": 2_212_000_000, "peak_device_bytes": device_bytes, "steps": steps, "best_step": best,
            "trainable_parameters": self.plan.trainable_parameters, "adapter": str(self.run.adapter_dir),
            "adapter_bytes": self.plan.adapter_bytes + 18_432,
        })  # fmt: skip

    def failed(self, problem: Problem, step: int) -> None:
        self.write("failed", step, problems=[problem.to_record()], exit_code=10)


def begin(
    folder: Path, name: str = "2026-11-23-mita", *, held_out: int = 120, state: str = "finished", task: str = "causal_lm",
    data_facts: dict[str, Any] | None = None, **info: Any,
) -> Story:  # fmt: skip
    """A run that was prepared and has done nothing yet."""
    sections = {"data": "support.jsonl", "eval": {"loss_rows": 200}}
    config = RunConfig.model_validate({"model": "smollm2", "task": task, "preset": "medium", **sections})
    plan = plan_of(config, held_out=held_out, **(data_facts or {}))
    run = run_dir.create(folder / name, name)
    versions = {"tunewright": "0.1.0", "torch": "2.13.0", "transformers": "5.23.0", "peft": "0.21.2"}
    run.update_info(state=state, created=START, versions=versions, **info)
    atomic_io.write_json(run.file(file_names.PLAN), plan.model_dump(mode="json"))
    atomic_io.write_text(run.file(file_names.CONFIG), to_yaml(config))
    names = plan.facts.data.labels
    labels = {
        "labels": {name: 170 + 5 * i for i, name in enumerate(names)},
        "problem_type": plan.facts.data.problem_type,
    }
    atomic_io.write_json(run.file(file_names.PREPARED), {"key": "k", **account(held_out), **labels})
    story = Story(run, plan)
    story.phase("prepare", 1.9)
    story.phase("load", 3.4)
    return story


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., Story]:
    """Begins runs in the test's folder."""
    return partial(begin, tmp_path)


def finished_run(start: Callable[..., Story]) -> RunDir:
    """Two sessions, an alert, and answers of which many became right."""
    story = start(generated_data=True)
    story.score("before", 3.31, sample_rows(120, right_from=110), 120)
    story.write("phase", phase="train", state="begin")
    story.train(1, 61)
    story.write("phase", phase="train", state="begin", after=3600.0)
    story.write("note", text="continuing from checkpoint-54")
    story.train(55, 135)
    alert = Problem("D301", values={"count": 2, "best": 108})
    story.write("alert", 135, problem=alert.to_record())
    story.write("phase", 135, phase="train", state="end", seconds=140.0)
    story.score("after", 0.447, sample_rows(120, right_from=31), 120)
    story.run.adapter_dir.mkdir()
    story.done(135, 108)
    return story.run


@pytest.fixture
def finished(start: Callable[..., Story]) -> RunDir:
    return finished_run(start)


INTENTS = ("address", "cancel", "exchange", "order", "refund", "track")
SENTENCES = [
    ("two blue mugs to Oslo please", "B-count O B-item O B-city O"),
    ("send the red lamp to New York", "O O O B-item O B-city I-city"),
    ("我要 三个 杯子 寄到 成都", "O B-count B-item O B-city"),
    ("nothing was wrong with it", "O O O O O"),
]


def intent_rows(num: int, right: Callable[[int], bool]) -> list[dict[str, Any]]:
    """Messages with an intent; a wrong answer is the next intent."""
    rows = []
    for i in range(num):
        wanted = i % len(INTENTS)
        answer = INTENTS[wanted if right(i) else (wanted + 1 + i % 2) % len(INTENTS)]
        rows.append(
            {"row": i + 1, "prompt": f"message {i}: where is it?", "reference": INTENTS[wanted], "answer": answer}
        )
    return rows


def tagged_rows(num: int, is_found: Callable[[int, str], bool]) -> list[dict[str, Any]]:
    """Sentences with entities; what is not found is tagged O."""
    rows = []
    for i in range(num):
        words, gold = SENTENCES[i % 4][0].split(), SENTENCES[i % 4][1].split()
        tags = [tag if is_found(i, tag) else "O" for tag in gold]
        reference, answer = spoken(words, gold), spoken(words, tags)
        rows.append({"row": i + 1, "prompt": " ".join(words), "reference": reference, "answer": answer,
                     "words": words, "gold_tags": gold, "tags": tags})  # fmt: skip
    return rows


def spoken(words: list[str], tags: list[str]) -> str:
    return "; ".join(entity_text(words, entity) for entity in entities(tags))


def number_rows(num: int, error: Callable[[int], float]) -> list[dict[str, Any]]:
    """Ratings from 1 to 5 with estimates that are off by `error`."""
    rows = []
    for i in range(num):
        rating = 1 + i % 5
        rows.append(
            {"row": i + 1, "prompt": f"review {i}", "reference": f"{rating:.4g}", "answer": f"{rating + error(i):.4g}"}
        )
    return rows


def share_right(rows: list[dict[str, Any]]) -> float:
    return sum(row["reference"] == row["answer"] for row in rows) / len(rows)


def entity_scores(rows: list[dict[str, Any]]) -> dict[str, float]:
    counts = confusion_matrix.by_label("entities", samples_of(rows))
    equal, predicted, gold = (sum(getattr(label, part) for label in counts) for part in ("equal", "predicted", "gold"))
    words = [tag == wanted for row in rows for tag, wanted in zip(row["tags"], row["gold_tags"], strict=True)]
    return {
        "accuracy": sum(words) / len(words), "entity_f1": 2 * equal / (predicted + gold),
        "entity_precision": equal / predicted if predicted else 0.0, "entity_recall": equal / gold,
    }  # fmt: skip


def rmse(rows: list[dict[str, Any]]) -> float:
    return math.sqrt(sum((float(row["reference"]) - float(row["answer"])) ** 2 for row in rows) / len(rows))


def tell(
    story: Story, before: list[dict[str, Any]], after: list[dict[str, Any]], scores: Callable[[list[dict[str, Any]]], Any],
    baseline: dict[str, Any] | None,
) -> RunDir:  # fmt: skip
    """A run from its first test to its end."""
    story.score("before", 1.79, before, len(before), scores(before))
    story.write("phase", phase="train", state="begin")
    story.train(1, 135)
    story.write("phase", 135, phase="train", state="end", seconds=229.0)
    story.score("after", 0.21, after, len(after), scores(after))
    story.run.adapter_dir.mkdir()
    story.done(135, 108, baseline)
    return story.run


def classified_run(start: Callable[..., Story]) -> RunDir:
    """Six intents: an untrained head before, most of them right after."""
    facts = {"labels": INTENTS, "problem_type": "single_label_classification"}
    story = start("2026-11-23-intents", task="seq_cls", data_facts=facts)
    return tell(
        story,
        intent_rows(120, lambda i: i % 9 == 0),
        intent_rows(120, lambda i: i % 11 != 0),
        lambda rows: {"accuracy": share_right(rows), "macro_f1": share_right(rows)},
        {"name": "majority class", "scores": {"accuracy": 20 / 120, "macro_f1": 1 / 21}},
    )


@pytest.fixture
def classified(start: Callable[..., Story]) -> RunDir:
    return classified_run(start)


@pytest.fixture
def tagged(start: Callable[..., Story]) -> RunDir:
    """Entities: none found before, most after, counts the worst."""
    facts = {"labels": ("B-city", "B-count", "B-item", "I-city", "O"), "problem_type": None}
    story = start("2026-11-23-entities", task="token_cls", held_out=60, data_facts=facts)
    return tell(
        story,
        tagged_rows(60, lambda i, tag: False),
        tagged_rows(60, lambda i, tag: not tag.endswith("count") or i % 3 > 0),
        entity_scores,
        {"name": "majority class", "scores": entity_scores(tagged_rows(60, lambda i, tag: False))},
    )


@pytest.fixture
def estimated(start: Callable[..., Story]) -> RunDir:
    """Ratings: far off before, near after."""
    story = start("2026-11-23-ratings", task="seq_cls", data_facts={"problem_type": "regression"})
    return tell(
        story,
        number_rows(120, lambda i: -1.0 - i % 5),
        number_rows(120, lambda i: (i % 7 - 3) / 5),
        lambda rows: {"rmse": rmse(rows), "mae": rmse(rows) / 1.2, "pearson": 0.9},
        {"name": "mean", "scores": {"rmse": math.sqrt(2), "mae": 1.2, "pearson": 0.0}},
    )


@pytest.fixture
def translated(start: Callable[..., Story]) -> RunDir:
    """Texts to texts, few of them exactly right."""
    story = start("2026-11-23-summaries", task="seq2seq")
    row = {
        "prompt": "Where is my parcel with the two mugs? I have been waiting for weeks.",
        "reference": "asks for a parcel",
    }
    before = [{**row, "row": i, "answer": "parcel parcel parcel"} for i in range(120)]
    after = [
        {**row, "row": i, "answer": "asks for a parcel" if i % 40 == 0 else "asks where the parcel is"}
        for i in range(120)
    ]
    return tell(
        story,
        before,
        after,
        lambda rows: {"exact_match": share_right(rows), "rougeL": 0.15 if rows is before else 0.62,
                      "rouge1": 0.2 if rows is before else 0.66, "bleu": 0.02 if rows is before else 0.3},
        None,
    )  # fmt: skip
