"""What an export will write, how much and how long, and what is refused: known before a model is loaded."""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tunewright.config.methods import METHODS
from tunewright.config.tasks import TASKS
from tunewright.data.prompts import shared_system
from tunewright.data.tokenized.tokenizer import load_tokenizer
from tunewright.errors import Problem
from tunewright.extras.export.adapter_limits import adapter_limits, highest_rank
from tunewright.extras.export.effective_alpha import LoraConfig, effective_alpha, lora_config
from tunewright.extras.export.formats import FORMATS, ExportFormat, Way, format_of, missing, unknown
from tunewright.extras.export.gguf import CONFIG, CONVERTED, WEIGHTS
from tunewright.extras.export.gguf_limits import converter_limits, gguf_size
from tunewright.extras.export.go_templates import compared_template
from tunewright.extras.export.original_gguf import original_bytes
from tunewright.extras.export.tool_wheels import LLAMA_CPP, is_here, tool_folder
from tunewright.i18n import N_, Phrase
from tunewright.inspection.weight_shards import Headers, headers
from tunewright.planning.memory_estimate import stored_bytes
from tunewright.planning.run_plan import Plan
from tunewright.rundir.run_dir import RunDir, unfit
from tunewright.security import safetensors_header

SMALL_FILES = 4 * 2**20  # tokenizer, card, scripts
# Seconds on one core of a Xeon, November 2026: imports and checks of a merge, of a converter; bytes of fp32 a second in each.
MERGE_SECONDS, CONVERT_SECONDS = 10.0, 5.0
MERGE_RATE, CONVERT_RATE, QUANTIZE_RATE = 120e6, 150e6, 20e6
WHAT: Mapping[Way, str] = {"merged": N_("merged model"), "adapter": N_("adapter")}
ORIGINAL = "original"
"""In the place of a type: the base is the GGUF file that it came as."""


@dataclass(frozen=True)
class PlannedFile:
    """A file or folder of the result and about how large it is."""

    name: str
    bytes: int


@dataclass(frozen=True)
class ExportPlan:
    """One export. `problems` are why it is refused, `notes` what a person should know; `scratch_bytes` are needed meanwhile."""

    run: RunDir
    plan: Plan
    row: ExportFormat
    way: Way
    quant: str
    target: Path
    files: tuple[PlannedFile, ...]
    scratch_bytes: int
    seconds: float
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)

    @property
    def merges(self) -> bool:
        """Whether base and adapter are merged for it."""
        return self.way == "merged"

    @property
    def uses_original(self) -> bool:
        """Whether the base's own GGUF is copied."""
        return self.quant == ORIGINAL

    def to_json(self) -> dict[str, object]:
        """For `export --plan --json`: stable names, English."""
        return {
            "schema": 1, "run": str(self.run.path), "name": self.run.name, "to": self.row.name, "as": self.way,
            "quant": self.quant or None, "path": str(self.target), "files": [vars(file) for file in self.files],
            "bytes": self.bytes, "scratch_bytes": self.scratch_bytes, "seconds": round(self.seconds),
            "checked_by": self.row.engine or None, "notes": [str(note) for note in self.notes],
            "problems": [problem.to_json() for problem in self.problems],
        }  # fmt: skip


def make_export_plan(
    run: RunDir, to: str, target: Path, *, as_: str | None = None, quant: str | None = None
) -> ExportPlan:
    """The plan of an export; what is refused is in its `problems`. Nothing is written or fetched.

    Raises: ConfigError E116 (not finished); ExportError E622 for values that the format does not have.
    """
    row = format_of(to)
    if not run.adapter_dir.is_dir():
        raise unfit(run, "export")
    plan = run.plan()
    way = _way(row, as_)
    quant = _quant(row, plan, way, quant)
    problems = tuple(_problems(row, run, plan, way, quant))
    sizes = _Sizes(run, plan)
    files, scratch, seconds = _work(row, sizes, way, quant)
    return ExportPlan(
        run, plan, row, way, quant, target, files, scratch, seconds, problems,
        tuple(_notes(row, run, plan, way, quant, sizes)) if not problems else (),
    )  # fmt: skip


def _way(row: ExportFormat, as_: str | None) -> Way:
    if as_ is None:
        return row.ways[0]
    kind = next((way for way in row.ways if way == as_), None)
    if kind is None:
        raise unknown(N_("a way of this format (--as)"), as_, row.ways)
    return kind


def _quant(row: ExportFormat, plan: Plan, way: Way, quant: str | None) -> str:
    """The type of the weights; where none is named the usual one, or the base's own file below an adapter."""
    if quant is None:
        if row.is_gguf and way == "adapter":
            has_own_template = plan.run.model.chat_template is None  # else the file's template is not the run's
            return ORIGINAL if has_own_template and original_bytes(plan) else "f16"
        return row.quants[0] if row.quants else ""
    name = quant.lower()
    if name not in row.quants:
        raise unknown(N_("a type of this format (--quant)"), quant, row.quants or ("-",))
    return name


def _problems(row: ExportFormat, run: RunDir, plan: Plan, way: Way, quant: str) -> Iterator[Problem]:
    method, task = METHODS[plan.run.method], plan.run.task
    if task not in row.tasks:
        fitting = next(name for name, other in FORMATS.items() if task in other.tasks)
        reason = Phrase(N_("it was trained to {task}"), task=Phrase(TASKS[task].meaning))
        yield _refusal(row, "merged", reason, f"tunewright export {shlex.quote(run.name)} --to {fitting}")
        return
    needed = [*row.requirements, *([row.quantizer[quant]] if quant in row.quantizer else [])]
    yield from (Problem("E601", values={"what": lack.what, "extra": lack.extra}) for lack in missing(needed)[:1])
    if way == "merged" and not method.merges:
        reason = N_("it learns inputs, and leaves the weights as they are")
        yield Problem("E603", values={"method": method.title, "reason": reason})
    if way == "adapter" and not row.is_plain:
        config, tensors = adapter_files(run)
        instead = f"tunewright export {shlex.quote(run.name)} --to {row.name} --as merged" if method.merges else ""
        instead = instead or f"tunewright chat {shlex.quote(run.name)}"
        yield from (_refusal(row, way, limit, instead) for limit in adapter_limits(row, plan, config, tensors))
    if row.name == "ollama" and '"""' in shared_system(plan.run.data, plan.run.task):
        reason = N_("the system turn of its rows holds three quotes, which a Modelfile cannot")
        yield _refusal(row, way, reason, f"tunewright export {shlex.quote(run.name)} --to gguf")
    if row.is_gguf:
        tool = tool_folder(LLAMA_CPP) if is_here(LLAMA_CPP) else None
        instead = f"tunewright merge {shlex.quote(run.name)}"
        yield from (_refusal(row, way, limit, instead) for limit in converter_limits(plan, run.adapter_dir, tool))


def _refusal(row: ExportFormat, way: Way, reason: str, instead: str) -> Problem:
    values = {"format": row.title, "what": WHAT[way], "reason": reason, "instead": instead}
    return Problem("E620", values=values)


def adapter_files(run: RunDir) -> tuple[LoraConfig, Headers]:
    """The adapter's config, and the header of its weights. Raises: ModelError E309."""
    return lora_config(run.adapter_dir / CONFIG), safetensors_header(run.adapter_dir / WEIGHTS)


def merged_bytes(plan: Plan) -> int | None:
    """About how large a run's merged model is as a folder of transformers; None for a method that cannot be merged."""
    if not METHODS[plan.run.method].merges:
        return None
    return stored_bytes(plan.facts.model, plan.run.model.precision, "none") + SMALL_FILES


@dataclass(frozen=True)
class _Sizes:
    """Bytes of what an export is made from, looked up where they are needed: a copy of the adapter does without the base."""

    run: RunDir
    plan: Plan

    @cached_property
    def adapter_files(self) -> tuple[PlannedFile, ...]:
        files = (path for path in sorted(self.run.adapter_dir.iterdir()) if path.is_file())
        return tuple(PlannedFile(path.name, path.stat().st_size) for path in files)

    @cached_property
    def tensors(self) -> Headers:
        return headers(Path(self.plan.facts.model.folder))

    @property
    def merged(self) -> int:
        return stored_bytes(self.plan.facts.model, self.plan.run.model.precision, "none")

    @property
    def adapter(self) -> int:
        return sum(file.bytes for file in self.adapter_files)

    def gguf(self, quant: str) -> int:
        return original_bytes(self.plan) if quant == ORIGINAL else gguf_size(self.tensors, quant).bytes + SMALL_FILES


def _work(row: ExportFormat, sizes: _Sizes, way: Way, quant: str) -> tuple[tuple[PlannedFile, ...], int, float]:
    """Files of the result, bytes that are needed meanwhile, seconds."""
    merge_seconds = MERGE_SECONDS + sizes.merged / MERGE_RATE
    if row.is_plain and way == "adapter":
        return sizes.adapter_files, 0, 1.0
    if not row.is_gguf:
        if way == "adapter":
            return (PlannedFile("adapter", sizes.adapter),), 0, 1.0
        return (PlannedFile("model", sizes.merged + SMALL_FILES),), 0, merge_seconds
    extra = (PlannedFile("Modelfile", 2**12),) if row.name == "ollama" else ()
    convert = CONVERT_SECONDS + sizes.merged / CONVERT_RATE if quant != ORIGINAL else 0.0
    half = 0
    if quant not in (*CONVERTED, ORIGINAL):
        half = sizes.gguf("f16")
        convert += half / QUANTIZE_RATE
    if way == "merged":
        return (PlannedFile("model.gguf", sizes.gguf(quant)), *extra), sizes.merged + half, merge_seconds + convert
    files = (PlannedFile("base.gguf", sizes.gguf(quant)), PlannedFile("adapter.gguf", sizes.adapter), *extra)
    return files, half + sizes.adapter, convert + CONVERT_SECONDS


def _notes(row: ExportFormat, run: RunDir, plan: Plan, way: Way, quant: str, sizes: _Sizes) -> Iterator[str]:
    if row.is_gguf and not is_here(LLAMA_CPP):
        megabytes = LLAMA_CPP.num_bytes // 10**6
        yield Phrase(N_("llama.cpp's converters are fetched first, once ({megabytes} MB)"), megabytes=megabytes)
    if quant in row.quantizer:
        size = gguf_size(sizes.tensors, quant)
        if size.fallen_back:
            yield Phrase(
                N_("{count} of {total} matrices have rows that are no multiple of 256 and become a larger type"),
                count=size.fallen_back, total=size.matrices,
            )  # fmt: skip
    if way == "adapter" and not row.is_plain:
        config, tensors = adapter_files(run)
        wanted = effective_alpha(config, tensors)
        if config.get("peft_type") == "LORA" and (wanted.factors or wanted.alpha != config["lora_alpha"]):
            yield Phrase(
                N_("written with the effective alpha {alpha:g} for rank {rank}, as the engine divides it by the rank"),
                alpha=wanted.alpha, rank=highest_rank(config, tensors),
            )  # fmt: skip
    if plan.run.model.quantization != "none" and way == "merged":
        yield N_("the run's base was quantized; it is merged into the dequantized one")
    if row.name == "ollama":
        tokenizer = load_tokenizer(run.adapter_dir)
        known = compared_template(tokenizer) if tokenizer.chat_template else None
        if known is None:
            yield N_(
                "its chat template is none of those that are known here in Go's language; Ollama has to recognize it"
            )
        elif not known.keeps_blanks:
            yield N_("its chat template cuts blanks off the ends of messages, which Ollama does not")
    if row.name == "hub":
        yield N_("the repository is private; who may see it is changed on its page")
    elif not row.engine and not row.is_plain:
        yield N_("nothing here can load it, so it is not compared with the run")
