"""The competitors: how each is installed, told to do the same work, and started.

All train LoRA r=16, alpha 32, no dropout, on q, k, v and o of the same model in fp32, on the same rows in file order, 16 rows a
step (4 x 4 where a peer cuts by rows), cut at 512 tokens, loss on the answer, AdamW without weight decay, constant learning
rate 2e-4, clipping at 1.0; no checkpointing, evaluation or saving. What cannot be equalised stands in README.md. Those with a
switch for bf16 train a second time with it: what a person gets who knows the processor.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj"]
SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
Rows = list[dict[str, str]]


@dataclass(frozen=True)
class Job:
    """What one run is given: model folder, rows (prompt, answer), steps, and a folder of its own."""

    model: Path
    rows: Rows
    steps: int
    folder: Path
    uses_bf16: bool = False
    """Whether a peer is told to use what the processor has, and not to compute as ours does."""

    @property
    def dtype(self) -> str:
        return "bfloat16" if self.uses_bf16 else "float32"

    def write(self, name: str, content: Any) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content, ensure_ascii=False))
        return path


@dataclass(frozen=True)
class Peer:
    """Packages of its environment (none: ours), what to delete from it, and its command in that environment."""

    title: str
    packages: tuple[str, ...]
    command: Callable[[Job, Path], list[str]]
    has_bf16: bool = False
    delete: tuple[str, ...] = ()
    uninstall: tuple[str, ...] = ()


def _alpaca(job: Job) -> list[dict[str, str]]:
    return [{"instruction": row["prompt"], "input": "", "output": row["answer"]} for row in job.rows]


def _common(job: Job) -> dict[str, Any]:
    return {
        "per_device_train_batch_size": 4, "gradient_accumulation_steps": 4, "max_steps": job.steps, "learning_rate": 2e-4,
        "lr_scheduler_type": "constant", "warmup_steps": 0, "use_cpu": True, "bf16": job.uses_bf16, "logging_steps": 1,
        "report_to": "none", "save_strategy": "no", "seed": 42, "output_dir": str(job.folder / "out"),
        "dataloader_num_workers": 0,
    }  # fmt: skip


def _trl(job: Job, binaries: Path) -> list[str]:
    pairs = [
        {
            "prompt": [{"role": "user", "content": row["prompt"]}],
            "completion": [{"role": "assistant", "content": row["answer"]}],
        }
        for row in job.rows
    ]
    data = job.write("pc.jsonl", "".join(json.dumps(pair, ensure_ascii=False) + "\n" for pair in pairs))
    config = _common(job) | {
        "model_name_or_path": str(job.model), "dtype": job.dtype, "datasets": [{"path": "json", "data_files": str(data)}],
        "use_peft": True, "lora_r": 16, "lora_alpha": 32, "lora_dropout": 0.0, "lora_target_modules": TARGETS,
        "max_length": 512, "train_sampling_strategy": "sequential", "gradient_checkpointing": False,
    }  # fmt: skip
    return [str(binaries / "trl"), "sft", "--config", str(job.write("trl.yaml", config))]


def _llama_factory(job: Job, binaries: Path) -> list[str]:
    job.write("data/rows.json", _alpaca(job))
    job.write("data/dataset_info.json", {"alp": {"file_name": "rows.json"}})
    config = _common(job) | {
        "model_name_or_path": str(job.model), "stage": "sft", "do_train": True, "finetuning_type": "lora", "lora_rank": 16,
        "lora_alpha": 32, "lora_dropout": 0.0, "lora_target": ",".join(TARGETS), "dataset_dir": str(job.folder / "data"),
        "dataset": "alp", "template": "smollm2", "cutoff_len": 512, "disable_shuffling": True, "flash_attn": "sdpa",
        "disable_gradient_checkpointing": True,
    }  # fmt: skip
    return [str(binaries / "llamafactory-cli"), "train", str(job.write("lf.yaml", config))]


def _swift(job: Job, binaries: Path) -> list[str]:
    data = job.write("rows.json", _alpaca(job))
    words = {
        "model": job.model, "use_hf": "true", "model_type": "llama", "template": "chatml", "system": SYSTEM,
        "tuner_type": "lora", "lora_rank": 16, "lora_alpha": 32, "lora_dropout": 0, "dataset": data,
        "dataset_shuffle": "false", "train_dataloader_shuffle": "false", "split_dataset_ratio": 0, "max_length": 512,
        "truncation_strategy": "right", "torch_dtype": job.dtype, "bf16": str(job.uses_bf16).lower(), "use_cpu": "true",
        "fp16": "false", "attn_impl": "sdpa",
        "per_device_train_batch_size": 4, "gradient_accumulation_steps": 4, "gradient_checkpointing": "false",
        "max_steps": job.steps, "learning_rate": "2e-4", "lr_scheduler_type": "constant", "warmup_ratio": 0,
        "weight_decay": 0, "adam_beta2": 0.999, "dataloader_num_workers": 0, "dataset_num_proc": 1, "logging_steps": 1,
        "report_to": "none", "save_strategy": "no", "output_dir": job.folder / "out",
    }  # fmt: skip
    flags = [word for name, value in words.items() for word in (f"--{name}", str(value))]
    return [str(binaries / "swift"), "sft", *flags, "--target_modules", *TARGETS]


def _script(name: str) -> Callable[[Job, Path], list[str]]:
    def command(job: Job, binaries: Path) -> list[str]:
        data = job.write("rows.json", job.rows)
        script = Path(__file__).parent / name
        return [
            str(binaries / "python"),
            str(script),
            str(job.model),
            str(data),
            str(job.steps),
            str(job.folder / "out"),
        ]

    return command


PEERS: Mapping[str, Peer] = {
    "llama_factory": Peer(
        "LLaMA-Factory 0.9.5", ("llamafactory==0.9.5",), _llama_factory, has_bf16=True,
        # Built for CUDA: beside a CPU torch they break the import.
        delete=("lib/python*/site-packages/torchaudio/lib/*.so",), uninstall=("torchvision",),
    ),
    "swift": Peer("ms-swift 4.6.0", ("ms-swift==4.6.0",), _swift, has_bf16=True),
    "trl": Peer("TRL 1.16.0 SFTTrainer", ("trl[peft]==1.16.0",), _trl, has_bf16=True),
    "lesson": Peer("the lesson's script (padded to 512)", (), _script("lesson_script.py")),
    "loop": Peer("a plain PEFT loop (padded to the longest of 4)", (), _script("plain_loop.py")),
}  # fmt: skip
