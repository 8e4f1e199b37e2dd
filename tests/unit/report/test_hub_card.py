"""The card's metadata as huggingface_hub's own parsers read it, and the command in it as our own parser reads it."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import EvalResult, ModelCard, metadata_load
from huggingface_hub.repocard_data import eval_results_to_model_index, model_index_to_eval_results

from tunewright.config.load_config import load
from tunewright.inspection.license import license_of
from tunewright.metrics.metric_table import METRICS
from tunewright.planning.run_plan import Plan
from tunewright.report import run_record
from tunewright.rundir.model_card import card, command
from tunewright.rundir.model_card_metadata import HUB_METRICS
from tunewright.rundir.run_dir import RunDir

FIXTURES = ("finished", "translated", "classified", "estimated", "tagged")
HOSTILE = (
    "a\n---\ntags: [evil]\n---\n# other", "x: [y]", "- 'a' \"b\"", "{{ 7 * 7 }}", "&a *b !!python/object:os.system", "null",
    "2026-01-01", "~", "\u202etxt\u2066", "a\u2028b\x85c", "`code` <script>", "目录/模型", "\x1b[31m", " # no", "%YAML 1.1",
)  # fmt: skip


def text_of(run: RunDir, **options: Any) -> str:
    record = run_record.read(run)
    return card(record.plan, run, record.baseline, **options)


def loaded(text: str, folder: Path) -> dict[str, Any]:
    path = folder / "README.md"
    path.write_text(text, encoding="utf-8")
    metadata = metadata_load(path)
    assert metadata is not None
    return metadata


def renamed(plan: Plan, **model: Any) -> Plan:
    changed = plan.facts.model.model_copy(update=model)
    return plan.model_copy(update={"facts": plan.facts.model_copy(update={"model": changed})})


@pytest.mark.parametrize("fixture", FIXTURES)
@pytest.mark.parametrize("is_merged", [False, True])
def test_the_hubs_parser_reads_the_scores_and_writes_them_back(
    fixture: str, is_merged: bool, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    run: RunDir = request.getfixturevalue(fixture)
    text = text_of(run, is_merged=is_merged)
    metadata = loaded(text, tmp_path)
    name, results = model_index_to_eval_results(metadata["model-index"])
    assert eval_results_to_model_index(name, results) == metadata["model-index"]
    parsed = ModelCard(text)
    assert parsed.data.to_dict() == metadata
    assert ModelCard(str(parsed)).data.to_dict() == metadata

    record = run_record.read(run)
    assert record.after is not None and record.before is not None
    assert {result.metric_name.split(" (base model")[0] for result in results} == {
        HUB_METRICS[metric][1] for metric in record.after.scores
    }
    assert [result.metric_value for result in results] == pytest.approx(list(record.after.scores.values()), rel=1e-5)
    assert all(f"(base model: {value:.4g})" in result.metric_name for result, value in both(results, record.before))
    for result in results:
        assert (result.dataset_name, result.dataset_split) == ("support.jsonl", "held-out")
        assert result.dataset_revision == record.plan.facts.data.fingerprint
        assert result.task_type == metadata["pipeline_tag"]


def both(results: list[EvalResult], before: Any) -> list[tuple[EvalResult, float]]:
    return list(zip(results, before.scores.values(), strict=True))


def test_what_hubs_search_by_is_there(finished: RunDir, tmp_path: Path) -> None:
    metadata = loaded(text_of(finished), tmp_path)
    assert metadata["base_model"] == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert (metadata["library_name"], metadata["base_model_relation"]) == ("peft", "adapter")
    assert metadata["tags"] == ["lora", "tunewright"]
    merged = loaded(text_of(finished, is_merged=True), tmp_path)
    assert (merged["library_name"], merged["base_model_relation"]) == ("transformers", "finetune")
    assert merged["tags"] == ["lora", "tunewright", "merged"]


def test_a_run_without_scores_has_no_model_index(start: Callable[..., Any], tmp_path: Path) -> None:
    metadata = loaded(text_of(start().run), tmp_path)
    assert "model-index" not in metadata and metadata["library_name"] == "peft"


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_names(name: str, start: Callable[..., Any], tmp_path: Path) -> None:
    story = start()
    story.score("before", 3.0, [], 20)
    story.score("after", 1.0, [], 20)
    plan = renamed(story.plan, name=name)
    data = plan.run.data.model_copy(update={"train": f"folder/{name.replace('/', '_')}"})
    plan = plan.model_copy(update={"run": plan.run.model_copy(update={"data": data})})
    text = card(plan, story.run)
    metadata = loaded(text, tmp_path)
    assert metadata["base_model"].split() == name.split(), "but for its line breaks, which YAML may fold"
    assert metadata["tags"] == ["lora", "tunewright"]
    assert ModelCard(text).data.to_dict() == metadata
    assert text.count("\n---\n") == 1 and "\n# other" not in text
    dataset = metadata["model-index"][0]["results"][0]["dataset"]
    assert "\n" not in dataset["name"] and "\u202e" not in dataset["name"]


def test_the_licence_of_the_base_is_carried_over(finished: RunDir, tmp_path: Path) -> None:
    assert license_of(tmp_path, "smollm2") == {"license": "apache-2.0"}
    readme = tmp_path / "README.md"
    readme.write_text(
        "---\nlicense: other\nlicense_name: qwen-research\nlicense_link: https://example.org/LICENSE\n---\n# A\n"
    )
    license_fields = license_of(tmp_path, "owner/model")
    assert license_fields == {
        "license": "other", "license_name": "qwen-research", "license_link": "https://example.org/LICENSE"
    }  # fmt: skip
    text = card(renamed(run_record.read(finished).plan, license=license_fields), finished)
    (tmp_path / "card").mkdir()
    assert loaded(text, tmp_path / "card").items() >= license_fields.items()
    assert "license" not in loaded(
        card(renamed(run_record.read(finished).plan, license={}), finished), tmp_path / "card"
    )


@pytest.mark.parametrize(
    "readme",
    [
        b"# no metadata", b"---\nlicense: mit\n", b"---\n[mit]\n---\n", b"---\n- license\n---\n", b"---\nlicense: [mit]\n---\n",
        b"---\nlicense: \"mit\\nevil: 1\"\n---\n", b"---\nlicense: <script>\n---\n", b"\xff\xfe\x00", b"---\n---\n",
        b"---\nlicense_name: mine\n---\n", b"---\nlicense: !!python/object/apply:os.system [true]\n---\n",
        b"---\na: &a {license: mit}\n<<: *a\n---\n", b"---\nx: " + b"[" * 30_000 + b"\n---\n",
        b"---\n" + b"# " + b"x" * 70_000 + b"\nlicense: mit\n---\n",
    ],
)  # fmt: skip
def test_a_card_that_does_not_hold_gives_no_licence(readme: bytes, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_bytes(readme)
    assert license_of(tmp_path, "owner/model") == {}


def test_a_card_that_is_no_file_gives_no_licence(tmp_path: Path) -> None:
    assert license_of(tmp_path, "owner/model") == {}
    (tmp_path / "README.md").mkdir()
    assert license_of(tmp_path, "owner/model") == {}


@pytest.mark.parametrize("fixture", FIXTURES)
def test_the_command_asks_for_what_was_trained(fixture: str, request: pytest.FixtureRequest) -> None:
    plan = run_record.read(request.getfixturevalue(fixture)).plan
    words = shlex.split(command(plan).replace("\\\n", " "))
    assert words[:4] == ["tunewright", "train", "smollm2", "support.jsonl"]
    assert words[4::2] == ["--set"] * (len(words[4:]) // 2)
    again = load(named={"model.name": words[2], "data.train": words[3]}, sets=words[5::2]).run
    place = {"run", "fast_paths"}
    assert again.model_dump(exclude=place) == plan.run.model_dump(exclude=place)


def test_folders_of_this_machine_stand_in_no_command(finished: RunDir) -> None:
    plan = run_record.read(finished).plan
    data = plan.run.data.model_copy(update={"train": "/home/me/rows.jsonl", "holdout": "/home/me/held-out.jsonl"})
    text = command(plan.model_copy(update={"run": plan.run.model_copy(update={"data": data})}))
    assert "tunewright train smollm2 rows.jsonl " in text
    assert "--set data.holdout=held-out.jsonl" in text and "/home" not in text


def test_versions_stand_in_the_card(finished: RunDir) -> None:
    assert "Trained with tunewright 0.1.0, torch 2.13.0, transformers 5.23.0, peft 0.21.2." in text_of(finished)


def test_every_metric_has_a_name_on_the_hub() -> None:
    assert HUB_METRICS.keys() == METRICS.keys()
