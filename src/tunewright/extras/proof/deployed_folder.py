"""A folder with a GGUF file, run through llama.cpp here so that it can be asked."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tunewright.errors import error
from tunewright.extras.proof.check_deployed import ROWS, Deployed, compare
from tunewright.extras.proof.endpoint import Endpoint
from tunewright.extras.proof.exactness import exactness_of
from tunewright.extras.proof.reference import reference_of
from tunewright.extras.serve.llama_engine import LlamaModel, start_engine
from tunewright.i18n import N_
from tunewright.launch.session_client import SessionClient
from tunewright.reporting import PartReporter, Reporter
from tunewright.rundir.records import Proof
from tunewright.rundir.run_dir import RunDir
from tunewright.security import gate_gguf, gguf_values

SLOTS = 4  # twice as many tokens a second as one at a time, and the same answers (two cores of a Xeon, SmolLM2)
SPARE_TOKENS = 64  # a prompt that becomes longer than it should is to be seen, not refused
END_KEYS = ("tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id")
# general.file_type, as in llama.cpp's enum llama_ftype.
FILE_TYPES: Mapping[int, str] = {
    0: "f32", 1: "f16", 2: "q4_0", 3: "q4_1", 7: "q8_0", 8: "q5_0", 9: "q5_1", 10: "q2_k", 11: "q3_k_s", 12: "q3_k_m",
    13: "q3_k_l", 14: "q4_k_s", 15: "q4_k_m", 16: "q5_k_s", 17: "q5_k_m", 18: "q6_k", 32: "bf16",
}  # fmt: skip


@dataclass(frozen=True)
class GgufFiles:
    """The files of a deployed model, and what they say of themselves."""

    model: Path
    adapters: tuple[Path, ...]
    precision: str
    """Of the model's weights."""
    end_ids: frozenset[int]
    """The tokens that end generation in every engine."""

    @property
    def all(self) -> tuple[Path, ...]:
        return (self.model, *self.adapters)


def gguf_files(folder: Path, name: str) -> GgufFiles:
    """The model in a folder, or of a single file, with its adapters. `name` is the run's.

    Raises: ExportError E664 without a single model; ModelError E308.
    """
    paths = [folder] if folder.is_file() else sorted(folder.glob("*.gguf")) if folder.is_dir() else []
    if not paths:
        raise error("E664", folder=str(folder), name=name, reason=N_("there is no GGUF file in it"))
    for path in paths:
        gate_gguf(path)
    values = {path: gguf_values(path) for path in paths}
    adapters = tuple(path for path in paths if values[path].get("general.type") == "adapter")
    models = [path for path in paths if path not in adapters]
    if len(models) != 1:
        reason = (
            N_("there is an adapter, but not the model it belongs to") if not models else N_("there are several models")
        )
        raise error("E664", folder=str(folder), name=name, reason=reason)
    of_model = values[models[0]]
    file_type = of_model.get("general.file_type")
    precision = FILE_TYPES.get(file_type, "?") if isinstance(file_type, int) else "?"
    ends = frozenset(end for key in END_KEYS if isinstance(end := of_model.get(key), int))
    return GgufFiles(models[0], adapters, precision, ends)


@contextmanager
def served(files: GgufFiles, context: int) -> Iterator[Endpoint]:
    """llama.cpp's server with these files until the block ends. `context` is the longest prompt with its answer, in tokens.

    Raises: ExportError E601, E640; ModelError E308.
    """
    scratch = Path(tempfile.mkdtemp(prefix="tunewright-"))
    model = LlamaModel(files.model, files.adapters, context=context, slots=SLOTS)
    with start_engine(model, log=scratch / "engine.log") as engine:
        yield Endpoint(engine.url, engine.key, flavour="llama.cpp", clients=SLOTS)
    shutil.rmtree(scratch)  # where it fails the log is left, as the error names it


def check_folder(
    run: RunDir,
    session: SessionClient,
    folder: Path,
    *,
    what: str,
    rows: int = ROWS,
    precision: str | None = None,
    reporter: Reporter,
) -> Proof:
    """All checks of an export with a GGUF file, by running it here; nothing is kept.

    `precision` is that of the weights, the file's own if None; of the adapter on the file that the base came as it is
    `exactness.ORIGINAL`.
    Raises: SpecError E116; ModelError E308; ExportError E601, E640, E660, E661, E663, E664; DataError E210; TrainingError
    E502, E506, E515.
    """
    files = gguf_files(folder, run.name)
    reference = reference_of(session, rows, PartReporter(reporter, 0, 50, 100))
    longest = max(len(row.prompt.ids) + max(reference.max_new_tokens, len(row.ids)) for row in reference.rows)
    of_prompts = max((len(prompt.ids) for prompt in reference.prompts.values()), default=0)
    exactness = exactness_of(precision or files.precision, reference.precision)
    with served(files, context=max(longest, of_prompts) + SPARE_TOKENS) as endpoint:
        return compare(
            run, reference, endpoint, Deployed(what, files.all, files.end_ids), exactness=exactness,
            reporter=PartReporter(reporter, 50, 50, 100),
        )  # fmt: skip
