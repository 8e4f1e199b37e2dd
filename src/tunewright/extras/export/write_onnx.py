"""The folders of `--to onnx` and `--to openvino`: transformers' exporters in a child, and their logits beside torch's."""

import json
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from tunewright.config.tasks import TASKS
from tunewright.data.tokenized.tokenization import TokenizedExample, text_rows, word_rows
from tunewright.data.tokenized.tokenizer import load_tokenizer
from tunewright.extras.export.converter_failure import converter_failure, last_words
from tunewright.extras.export.export_job import MERGED, ExportJob
from tunewright.extras.export.gguf_limits import TOKENIZER_FILES
from tunewright.i18n import _
from tunewright.rundir import atomic_io, file_names
from tunewright.rundir.records import Proof, ProofCheck
from tunewright.security import command, spawn

# Largest difference of a logit as a share of the largest one: ONNX Runtime adds in another order (5e-8 seen), OpenVINO's
# CPU plugin also rounds inside (5e-4 seen, MiniLM on a Xeon).
TOLERANCES: Mapping[str, float] = {"onnx": 1e-4, "openvino": 5e-3}
ROWS = 40
LONGEST = 256
SENTENCES = ["Hello, I am a text.", "The answer is one."]


@dataclass(frozen=True)
class ExporterResult:
    """What torch and the exported model gave for the same rows."""

    equal: list[bool]
    """Whether the labels of a row are equal."""
    largest_gap: float
    mean_gap: float
    scale: float
    """The largest logit."""


def write_onnx(job: ExportJob) -> Proof:
    """The exported model with its tokenizer; the proof that it labels as the merged model. Raises: ExportError E621."""
    plan, started = job.plan.plan, time.perf_counter()
    samples = [sample for sample in job.plan.run.samples("after") if sample.prompt][:ROWS]
    rows = _encoded(job, [sample.prompt for sample in samples] or SENTENCES)
    with atomic_io.staging(job.folder) as scratch:
        merged = scratch / MERGED
        job.merged(merged)
        job.reporter.note(_("Writing {format}").format(format=job.plan.row.title))
        request = {
            "model": str(merged), "target": str(job.folder), "format": job.plan.row.name,
            "rows": [row.input_ids for row in rows], "second_texts": [row.prompt_length for row in rows],
            "auto_class": TASKS[plan.run.task].auto_class,
        }  # fmt: skip
        process = spawn(
            command("tunewright.extras.export.exporter_worker"),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, environment={"HF_HUB_OFFLINE": "1"},
        )  # fmt: skip
        output, log = process.communicate(json.dumps(request))
        if process.returncode:
            raise converter_failure(last_words(log, process.returncode), job.folder)
        for file in merged.iterdir():
            if file.name.startswith(TOKENIZER_FILES):
                shutil.copyfile(file, job.folder / file.name)
    result = ExporterResult(**json.loads(output))
    numbers = [sample.row for sample in samples]
    return _proof(job, result, numbers, time.perf_counter() - started)


def _encoded(job: ExportJob, prompts: Sequence[str]) -> list[TokenizedExample]:
    """What the run was asked, as it reads it: words, or a text and the second one that follows on a line of its own."""
    tokenizer = load_tokenizer(job.plan.run.adapter_dir)
    if job.plan.plan.run.task == "token_cls":
        is_decoder = job.plan.plan.facts.model.kind == "decoder"
        return word_rows([prompt.split(" ") for prompt in prompts], tokenizer, LONGEST, label_last=is_decoder)
    parts = (prompt.partition("\n") for prompt in prompts)
    return text_rows([(first, second) for first, _end, second in parts], tokenizer, LONGEST)


def _proof(job: ExportJob, result: ExporterResult, numbers: list[int], seconds: float) -> Proof:
    is_near = result.largest_gap <= TOLERANCES[job.plan.row.name] * max(1.0, result.scale)
    different = [number for number, is_equal in zip(numbers, result.equal, strict=False) if not is_equal]
    answers = ProofCheck(
        name="answers", outcome="ok" if all(result.equal) else "failed", held=sum(result.equal), total=len(result.equal),
        rows=different[:20],
    )  # fmt: skip
    logits = ProofCheck(
        name="logits", outcome="ok" if is_near else "failed", total=len(result.equal),
        figures={"largest_gap": result.largest_gap, "mean_gap": result.mean_gap},
    )  # fmt: skip
    engine = job.plan.row.engine
    return Proof(
        schema=file_names.SCHEMA, run=job.plan.run.info().id, name=job.name, what=f"{job.plan.row.name}, {job.plan.way}",
        created=time.time(), engine=f"{job.plan.row.title} {version(engine)}", precision="f32", compared_rows=len(result.equal),
        is_held_out=bool(numbers), checks=[answers, logits], versions={engine: version(engine)}, seconds=round(seconds, 3),
    )  # fmt: skip
