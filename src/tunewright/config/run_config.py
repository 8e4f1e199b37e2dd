"""The config as it was asked for: one frozen value, in which `auto` leaves a field to the plan.

What the plan makes of it is `ResolvedConfig` (config/resolved_config.py).
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, model_validator
from pydantic_core import PydanticCustomError

from tunewright.config.deprecated_keys import refused
from tunewright.config.methods import METHODS, Lora, Method, Peft
from tunewright.config.preset_table import Level
from tunewright.config.section import (
    AUTO,
    MOST,
    Auto,
    Count,
    Int,
    NotNegative,
    Number,
    Positive,
    Section,
    Seed,
    Share,
    Text,
    UpstreamSection,
    number_if_written,
)
from tunewright.config.tasks import TASKS, ProblemType, Task
from tunewright.config.upstream import training_arguments
from tunewright.config.upstream_choices import Optimizer, Scheduler, Tracker
from tunewright.i18n import N_

Precision = Literal["fp32", "mixed", "bf16", "fp16"]
Quantization = Literal["none", "8bit", "4bit"]
Length = Annotated[Count, Field(ge=8)]
Epochs = Annotated[Number, Field(gt=0, le=1e6)]
LearningRate = Annotated[Number, Field(gt=0, lt=1)]
RowShare = Annotated[Number, Field(ge=0, le=1)]
Strategy = Literal["ddp", "fsdp2", "fsdp2_offload"]
# HOST:PORT, with a port from 1 to 65535.
ADDRESS_PATTERN = r"^[^\s:/]+:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])$"
FastPath = Literal["onednn_matmul", "answer_loss", "packing", "shared_prefix", "int8", "merged_lora"]
NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"
# What may differ when a run is resumed; all else makes it a different run (docs/resume.md). Free settings change no result of
# the result; applied ones count from the first step of the session on.
FREE = frozenset(
    {
        "train.per_device_train_batch_size",
        "train.gradient_accumulation_steps",
        "train.activation_checkpointing",
        "train.logging_steps",
        "train.save_total_limit",
        "train.report_to",
        "train.dataloader_num_workers",
        "run.device_index",
        "launch.processes",
        "launch.strategy",
        "launch.nodes",
        "launch.node_rank",
        "launch.main",
        "launch.timeout_seconds",
        "launch.job",
    }
)
APPLIED = frozenset(
    {
        "train.learning_rate",
        "train.weight_decay",
        "train.max_grad_norm",
        "train.early_stopping_patience",
        "train.eval_steps",
        "eval.rows",
        "eval.max_new_tokens",
    }
)
CHANGEABLE = FREE | APPLIED


def _task_name(value: object) -> object:
    """PEFT's spelling as ours: SEQ_CLS is seq_cls, SEQ_2_SEQ_LM is seq2seq."""
    if not isinstance(value, str):
        return value
    return next((name for name, row in TASKS.items() if row.task_type == value.upper()), value.lower())


def _encoding_name(value: str) -> str:
    """The name of an encoding that Python knows for text."""
    try:
        "a".encode(value)
    except (LookupError, UnicodeError) as fault:
        raise PydanticCustomError("encoding", "must be the name of an encoding, such as gb18030") from fault
    return value


class ModelConfig(Section):
    """The base model and how it is held."""

    name: Text = Field(
        description=N_("A Hub id, a folder, a GGUF file, or a built-in name such as smollm2."), min_length=1
    )
    revision: Text | None = Field(default=None, description=N_("Commit or tag of a Hub model; none means the newest."))
    precision: Precision | Auto = Field(
        default=AUTO,
        description=N_(
            "What is computed in; `mixed` is bf16 for products and fp32 for everything between them and all that is trained; "
            "`auto` takes what this device was measured to be fast at."
        ),
    )
    quantization: Quantization | Auto = Field(
        default=AUTO,
        description=N_(
            "How the frozen weights are stored; 8bit halves their memory, 4bit quarters it; `auto` "
            "leaves them unquantized unless nothing else makes the run fit."
        ),
    )
    chat_template: Text | None = Field(
        default=None,
        description=N_("Chat template: unset takes the tokenizer's own; `chatml`, or a path to a .jinja file."),
    )


class DataSource(Section):
    """One of several places that training rows come from, and how many of them are taken."""

    path: Text = Field(description=N_("A file, a folder, or a Hub id."), min_length=1)
    rows: Positive | None = Field(default=None, description=N_("So many of its rows, drawn by train.data_seed."))
    weight: Annotated[Number, Field(gt=0, le=100)] = Field(
        default=1.0,
        description=N_("How often each of its rows counts: 0.3 draws 30 % of them, 2 trains on each twice."),
    )
    split: Text | None = Field(default=None, description=N_("In the place of data.split."), min_length=1)
    map: dict[Text, Text] | None = Field(default=None, description=N_("In the place of data.map."))

    @model_validator(mode="after")
    def _refuse_two_shares(self) -> Self:
        if self.rows is not None and self.weight != 1:
            raise PydanticCustomError("rows_and_weight", "must have rows or weight, not both")
        return self


class DataConfig(Section):
    """The examples and what becomes of them."""

    train: Annotated[Text, Field(min_length=1)] | Annotated[list[Text | DataSource], Field(min_length=1)] = Field(
        description=N_(
            "A file (json, jsonl, csv, tsv, parquet, txt, md), a folder, or a Hub id; or a list of them, each alone or with its "
            "share: `{path: a.jsonl, weight: 0.3}` (each row counts 0.3 times), `{path: b.jsonl, rows: 5000}`; also `split`, `map`."
        )
    )
    holdout: Annotated[Share | Text, BeforeValidator(number_if_written)] = Field(
        default=AUTO,
        description=N_(
            "Share of rows held out for testing, or a second file; 0 holds out nothing. `auto` takes the validation files "
            "of a folder, else a tenth of the rows."
        ),
    )
    map: dict[Text, Text] = Field(
        default_factory=dict,
        description=N_(
            "Corrects the recognised columns: messages, prompt, completion, system, tools, text, pair, label, words, tags, "
            "sentence."
        ),
    )
    split: Text = Field(
        default="train",
        description=N_("Which split is trained on, of a Hub data set, of a folder, or of lists in a JSON file."),
        min_length=1,
    )
    encoding: Annotated[str, AfterValidator(_encoding_name)] = Field(
        default="utf-8",
        description=N_("How text files are encoded, such as gb18030; a mark of byte order in a file goes before it."),
    )
    sample_by: Literal["line", "paragraph", "document"] | Auto = Field(
        default=AUTO,
        description=N_(
            "What is one text in files of plain text; one longer than max_length goes on in further blocks. `auto`: a .md file is "
            "one document, a .txt file has a text in each paragraph, or in each line."
        ),
    )
    control_characters: Literal["refuse", "remove"] = Field(
        default="refuse",
        description=N_(
            "Whether rows with control characters count as damaged, or the characters are removed from them."
        ),
    )
    system: Text | None = Field(
        default=None, description=N_("A system message put in front of conversations that have none.")
    )
    max_length: Length | Auto = Field(
        default=AUTO, description=N_("Longest row in tokens; longer rows are cut; the cost grows with the longest row.")
    )
    train_on: Literal["answers", "last_answer", "all"] = Field(
        default="answers",
        description=N_("Which tokens are in the loss: every assistant turn, the last one, or everything."),
    )
    thinking: Literal["learn", "mask", "drop"] = Field(
        default="learn",
        description=N_(
            "Thinking before answers: in the loss, masked (read but not in the loss), or removed from the rows."
        ),
    )
    turns: Literal["as_written", "join"] = Field(
        default="as_written",
        description=N_(
            "`join` makes one turn of neighbours with the same role, and puts system turns into the next user turn, for "
            "chat templates that refuse them."
        ),
    )
    skip_bad: bool = Field(
        default=False, description=N_("Leave damaged rows out, counted and listed, instead of stopping.")
    )
    max_bad: RowShare = Field(
        default=0.25, description=N_("Share of rows that `skip_bad` may leave out before the run is stopped.")
    )
    problem_type: ProblemType | Auto = Field(
        default=AUTO,
        description=N_(
            "What the labels of seq_cls are: one class, several at once, or a number; `auto` infers it from them."
        ),
    )
    class_weights: Literal["none", "balanced"] = Field(
        default="none",
        description=N_("`balanced` weighs each class by how rare it is in the loss; for seq_cls and token_cls."),
    )
    max_truncated: RowShare | Auto = Field(
        default=AUTO,
        description=N_(
            "Share of rows that may be cut at max_length before the run is stopped; `auto` is 0.25 where "
            "answers are generated and 1 where texts are labelled."
        ),
    )
    max_duplicates: RowShare = Field(
        default=0.5, description=N_("Share of rows that may repeat an earlier row before the run is stopped.")
    )

    @property
    def sources(self) -> tuple[DataSource, ...]:
        """Where training rows come from, in the order in which they are read."""
        listed = [self.train] if isinstance(self.train, str) else self.train
        return tuple(DataSource(path=item) if isinstance(item, str) else item for item in listed)

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths and Hub ids of the training rows."""
        return tuple(source.path for source in self.sources)

    @property
    def has_only_paths(self) -> bool:
        """Whether all that is said of the sources is their paths."""
        return all(source == DataSource(path=source.path) for source in self.sources)

    @property
    def name(self) -> str:
        """The paths in one text, for people."""
        return ", ".join(self.paths)


class TrainConfig(UpstreamSection):
    """How long and how fast; names are those of transformers' TrainingArguments."""

    num_train_epochs: Epochs | Auto = Field(
        default=AUTO,
        description=N_("Number of epochs: how often every row is seen; small data need more, and overfit sooner."),
    )
    max_steps: Annotated[Int, Field(ge=-1, le=MOST)] = Field(
        default=-1,
        description=N_("Stops after this many optimizer steps, regardless of the epochs; -1 leaves it to the epochs."),
    )
    learning_rate: LearningRate | Auto = Field(
        default=AUTO, description=N_("Step size; for LoRA usually 1e-4 to 5e-4, small models take more.")
    )
    per_device_train_batch_size: Positive | Auto = Field(
        default=AUTO,
        description=N_("Rows computed at once on a device; more rows need more memory, the result is the same."),
    )
    gradient_accumulation_steps: Positive | Auto = Field(
        default=AUTO, description=N_("Micro-batches per optimizer step; effective batch = this times the batch size.")
    )
    lr_scheduler_type: Scheduler = Field(
        default="cosine", description=N_("How the learning rate falls: cosine, linear, constant, ...")
    )
    warmup_steps: Annotated[Number, Field(ge=0, le=MOST)] = Field(
        default=0.03, description=N_("Steps in which the learning rate rises; below 1 it is a share of all steps.")
    )
    weight_decay: NotNegative = Field(default=0.0, description=N_("Pull of the trained weights towards zero."))
    max_grad_norm: NotNegative = Field(
        default=1.0, description=N_("Gradients with a larger norm are clipped to this; 0 turns clipping off.")
    )
    optim: Optimizer | Auto = Field(
        default=AUTO,
        description=N_(
            "Optimizer, by transformers' name; for LoRA also loraplus and lorafa. `auto` is AdamW, fused on a GPU, and "
            "paged beside a base in 4 bits."
        ),
    )
    loraplus_lr_ratio: Annotated[Number, Field(ge=1, le=1e6)] = Field(
        default=16.0, description=N_("With loraplus: how much faster the B matrices learn than the A matrices.")
    )
    activation_checkpointing: bool | Auto = Field(
        default=AUTO,
        description=N_("Recompute activations instead of keeping them: much less memory, about a quarter slower."),
    )
    seed: Seed = Field(default=42, description=N_("Seed of the adapter's initialization and of dropout."))
    data_seed: Seed = Field(default=42, description=N_("Seed of the order and the split of rows."))
    logging_steps: Positive = Field(default=1, description=N_("Steps between two logged lines."))
    eval_steps: Positive | Auto = Field(
        default=AUTO,
        description=N_("Steps between two evaluations of the held-out loss; each also saves a checkpoint."),
    )
    save_total_limit: Annotated[Count, Field(ge=2)] = Field(
        default=2, description=N_("Newest checkpoints kept, besides the best one.")
    )
    early_stopping_patience: Count = Field(
        default=3,
        description=N_(
            "Evaluations of the held-out loss without improvement before training stops; 0 turns early stopping off."
        ),
    )
    report_to: list[Tracker] | Tracker = Field(
        default="none",
        description=N_("Trackers besides the run's own files, by transformers' names: none, tensorboard, ..."),
    )

    @classmethod
    def upstream_fields(cls) -> Mapping[str, object]:
        names = refused("train")
        return {name: kind for name, kind in training_arguments().items() if name not in names}


class EvalConfig(Section):
    """What is measured on the held-out rows, before and after."""

    rows: Count | Auto = Field(
        default=AUTO,
        description=N_(
            "Number of held-out rows for which base and tuned model generate answers to compare, spread "
            "evenly over all; 0 generates none."
        ),
    )
    loss_rows: Positive = Field(
        default=64,
        description=N_("Number of held-out rows whose loss is measured during training, spread evenly over all."),
    )
    max_new_tokens: Positive | Auto = Field(
        default=AUTO,
        description=N_(
            "Longest answer generated in an evaluation, in tokens; `auto` takes the longest reference answer."
        ),
    )


class RunOptions(Section):
    """The run as a thing on disk."""

    name: str | None = Field(
        default=None, description=N_("Name of the run, part of its folder's name."), pattern=NAME_PATTERN
    )
    output_dir: Text | None = Field(default=None, description=N_("Folder of the run; none makes one under runs/."))
    offline: bool = Field(default=False, description=N_("Use no network at all: only what is already on this machine."))
    device_index: int = Field(
        default=0, ge=0, le=255, description=N_("Number of the GPU that computes, among those visible here.")
    )


class LaunchConfig(Section):
    """The processes that compute a run together."""

    processes: Annotated[Positive, Field(le=1024)] | Auto = Field(
        default=1,
        description=N_(
            "Processes that compute each step together, one for each GPU, or sharing the CPU's cores; the batch stays what it is. "
            "`auto` takes all GPUs if a step fills them."
        ),
    )
    parts: Annotated[Positive, Field(le=1024)] | Auto = Field(
        default=AUTO,
        description=N_(
            "Parts that the rows of a step are dealt into, the most processes that the run can ever use; `auto` is their number at "
            "the start."
        ),
    )
    strategy: Strategy | Auto = Field(
        default=AUTO,
        description=N_(
            "What each process holds of the base: `ddp` all of it, `fsdp2` a share of its blocks, `fsdp2_offload` no more of them "
            "than it computes. `auto` shares them out if a device cannot hold them."
        ),
    )
    nodes: Annotated[Positive, Field(le=1024)] | Auto = Field(
        default=1,
        description=N_(
            "Machines that compute the run together, each with `processes`; the same command is given on each. `auto` reads what "
            "Slurm, SkyPilot or Kubeflow says."
        ),
    )
    node_rank: Count = Field(default=0, description=N_("Number of this machine, from 0; 0 writes the run's files."))
    main: Text | None = Field(
        default=None,
        description=N_("Where the first machine is reached by all: HOST:PORT."),
        pattern=ADDRESS_PATTERN,
    )
    timeout_seconds: Annotated[Positive, Field(le=MOST)] = Field(
        default=60,
        description=N_(
            "How long a process may stay where it is while others wait for it, or ten of its steps if that is longer; then all "
            "are started again from the last checkpoint."
        ),
    )
    job: dict[Text, JsonValue] = Field(
        default_factory=dict,
        description=N_(
            "What `train --on` also writes into the job, in the words of the launcher: {partition: gpu} for Slurm."
        ),
    )


class RunConfig(Section):
    """A complete config. Changes go through `load_config.patch`, never through the value itself."""

    model: ModelConfig = Field(description=N_("The base model; a plain name is short for {name: ...}."))
    task: Annotated[Task | Auto, BeforeValidator(_task_name)] = Field(
        default=AUTO, description=N_("What the model learns to do; `auto` infers it from the model and the data.")
    )
    data: DataConfig = Field(description=N_("The examples; a plain path is short for {train: ...}."))
    method: Method = Field(default="lora", description=N_("The PEFT method; its fields are under peft."))
    preset: Level = Field(default="medium", description=N_("How hard the task is: simple, medium or complex."))
    peft: Peft = Field(default_factory=Lora, description=N_("Fields of PEFT's config, by PEFT's names."))
    train: TrainConfig = Field(
        default_factory=TrainConfig, description=N_("Fields of TrainingArguments, by its names.")
    )
    eval: EvalConfig = Field(default_factory=EvalConfig, description=N_("What is measured on held-out rows."))
    run: RunOptions = Field(default_factory=RunOptions, description=N_("Name and place of the run."))
    launch: LaunchConfig = Field(
        default_factory=LaunchConfig, description=N_("The processes that compute the run together.")
    )
    fast_paths: dict[FastPath, bool] = Field(
        default_factory=dict, description=N_("Switches a fast path off by name, as in {answer_loss: false}.")
    )

    @model_validator(mode="before")
    @classmethod
    def _expand_short_forms(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        expanded = dict(data)
        if isinstance(expanded.get("model"), str):
            expanded["model"] = {"name": expanded["model"]}
        if isinstance(expanded.get("data"), str):
            expanded["data"] = {"train": expanded["data"]}
        peft = expanded.get("peft") or {}
        method = expanded.get("method", "lora")
        if isinstance(peft, Mapping) and isinstance(method, str) and method in METHODS:
            expanded["peft"] = {"method": method, **peft}
        return expanded
