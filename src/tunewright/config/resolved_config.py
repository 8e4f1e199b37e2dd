"""The config as the plan resolved it: the fields of `RunConfig`, none of which says `auto`.

A field that may be `auto` in run_config.py or methods.py is declared again here, with its type alone; all others are inherited.
`tests/unit/config/test_resolved_config.py` holds the two together.
"""

from typing import Annotated

from pydantic import Field

from tunewright.config.methods import (
    C3A,
    IA3,
    AdaLora,
    Boft,
    Delora,
    FourierFT,
    Hra,
    LnTuning,
    LoHa,
    LoKr,
    Lora,
    Miss,
    Oft,
    PrefixTuning,
    PromptTuning,
    PTuning,
    Rank,
    Vera,
)
from tunewright.config.run_config import (
    DataConfig,
    Epochs,
    EvalConfig,
    LaunchConfig,
    LearningRate,
    Length,
    ModelConfig,
    Precision,
    Quantization,
    RowShare,
    RunConfig,
    Strategy,
    TrainConfig,
)
from tunewright.config.section import Count, Positive, Share
from tunewright.config.tasks import Task
from tunewright.config.upstream_choices import Optimizer


class ResolvedModelConfig(ModelConfig):
    """The base model, with what it computes in and how its frozen weights are stored."""

    precision: Precision
    quantization: Quantization


class ResolvedDataConfig(DataConfig):
    """The examples, with the length to which they are cut.

    `problem_type` stays as it was asked for where the task has none; what the rows show is `DataInfo.problem_type`.
    """

    max_length: Length
    max_truncated: RowShare


class ResolvedTrainConfig(TrainConfig):
    """How long and how fast."""

    num_train_epochs: Epochs
    learning_rate: LearningRate
    per_device_train_batch_size: Positive
    gradient_accumulation_steps: Positive
    optim: Optimizer
    activation_checkpointing: bool
    eval_steps: Positive


class ResolvedEvalConfig(EvalConfig):
    """What is measured on the held-out rows."""

    rows: Count
    max_new_tokens: Positive


class ResolvedLaunchConfig(LaunchConfig):
    """The processes, and the parts that they share among them."""

    processes: Positive = 1
    parts: Positive = 1
    nodes: Positive = 1
    strategy: Strategy = "ddp"

    @property
    def is_sharded(self) -> bool:
        """Whether the base is shared out among the processes of a machine."""
        return self.strategy != "ddp"

    @property
    def world(self) -> int:
        """Processes on all machines."""
        return self.nodes * self.processes


class ResolvedLora(Lora):
    """LoRA with its rank, alpha and dropout."""

    r: Rank
    lora_alpha: Positive
    lora_dropout: Share


class ResolvedAdaLora(AdaLora):
    """AdaLoRA with its ranks, its schedule in steps, alpha and dropout."""

    init_r: Rank
    target_r: Rank
    tinit: Count
    tfinal: Count
    lora_alpha: Positive
    lora_dropout: Share


class ResolvedPrefixTuning(PrefixTuning):
    """Prefix tuning with the number of its vectors."""

    num_virtual_tokens: Positive


class ResolvedPromptTuning(PromptTuning):
    """Prompt tuning with the number of its vectors."""

    num_virtual_tokens: Positive


class ResolvedPTuning(PTuning):
    """P-tuning with the number of its vectors and the width of its network."""

    num_virtual_tokens: Positive
    encoder_hidden_size: Positive


class ResolvedLoHa(LoHa):
    """LoHa with its rank."""

    r: Rank


class ResolvedLoKr(LoKr):
    """LoKr with its rank."""

    r: Rank


class ResolvedHra(Hra):
    """HRA with its rank."""

    r: Rank


class ResolvedMiss(Miss):
    """MiSS with its rank."""

    r: Rank


class ResolvedC3A(C3A):
    """C3A with the size of its blocks."""

    block_size: Positive


class ResolvedDelora(Delora):
    """DeLoRA with its rank."""

    r: Rank


ResolvedPeft = Annotated[
    ResolvedLora | ResolvedAdaLora | IA3 | ResolvedPrefixTuning | ResolvedPromptTuning | ResolvedPTuning
    | Vera | Oft | Boft | ResolvedLoHa | ResolvedLoKr | LnTuning | FourierFT | ResolvedHra | ResolvedMiss | ResolvedC3A
    | ResolvedDelora,
    Field(discriminator="method"),
]  # fmt: skip


class ResolvedConfig(RunConfig):
    """What a run does. Its JSON has the form of a `RunConfig`, so it is also a config that asks for just this."""

    model: ResolvedModelConfig
    task: Task
    data: ResolvedDataConfig
    peft: ResolvedPeft
    train: ResolvedTrainConfig
    eval: ResolvedEvalConfig
    launch: ResolvedLaunchConfig = Field(default_factory=ResolvedLaunchConfig)
