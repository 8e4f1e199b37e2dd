"""The classes and functions of the lesson "LoRA fine-tuning in practice with the PEFT library", under their own names.

Every call of the lesson runs as it is written there; underneath is the same engine as `tunewright train`, with what the
lesson gets wrong put right: the loss is on the answers with their end token, padding is masked, rows are held out,
the precision is one the device has, no code of a model runs, and layer names are found instead of assumed.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tunewright import api
from tunewright.errors import HubError, Problem
from tunewright.i18n import N_, Phrase, _

WIKITEXT = "hf://datasets/Salesforce/wikitext:wikitext-2-raw-v1"
DROPOUT = 0.05
COMPLEXITIES: Mapping[str, tuple[int, int]] = {"simple": (8, 16), "medium": (16, 32), "complex": (32, 64)}
LLAMA_LAYERS: Mapping[str, list[str]] = {
    "simple": ["q_proj", "v_proj"],
    "medium": ["q_proj", "v_proj", "k_proj", "o_proj"],
    "complex": ["q_proj", "v_proj", "k_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
}
QWEN_LAYERS: Mapping[str, list[str]] = {
    "simple": ["c_attn"],
    "medium": ["c_attn", "c_proj"],
    "complex": ["c_attn", "c_proj", "w1", "w2"],
}


def create_lora_config(
    r: int = 8,
    lora_alpha: int = 16,
    lora_dropout: float = 0.1,
    target_modules: Sequence[str] | None = None,
    bias: str = "none",
    fan_in_fan_out: bool = False,
    modules_to_save: Sequence[str] | None = None,
    task_type: str = "CAUSAL_LM",
) -> Any:
    """PEFT's LoraConfig with the lesson's defaults; without target_modules PEFT takes the model family's own."""
    return api.peft_config(
        r=r,
        lora_alpha=lora_alpha,
        lora_dropout=lora_dropout,
        target_modules=list(target_modules) if target_modules is not None else None,
        bias=bias,
        fan_in_fan_out=fan_in_fan_out,
        modules_to_save=list(modules_to_save) if modules_to_save is not None else None,
        task_type=task_type,
    )


class LoraConfigPresets:
    """LoRA settings by family and by how hard the task is."""

    @staticmethod
    def llama_config(complexity: str = "medium") -> Any:
        """For LLaMA and all families with its layer names (Mistral, Qwen2 and newer, Gemma, ...)."""
        return _preset(complexity, LLAMA_LAYERS)

    @staticmethod
    def qwen_config(complexity: str = "medium") -> Any:
        """For the first Qwen only; Qwen1.5, Qwen2, Qwen2.5 and Qwen3 have LLaMA's layer names: use `llama_config`."""
        return _preset(complexity, QWEN_LAYERS)

    @staticmethod
    def print_all_presets() -> None:
        """Both tables, with the difference between the Qwen generations explained."""
        for family, layers in (("LLaMA", LLAMA_LAYERS), ("Qwen", QWEN_LAYERS)):
            print(f"{family}:")
            for complexity, (r, alpha) in COMPLEXITIES.items():
                print(
                    f"  {complexity:<8} r={r:<3} lora_alpha={alpha:<3} target_modules={', '.join(layers[complexity])}"
                )
        print(_("Qwen's names are those of the first Qwen; Qwen1.5 and newer have LLaMA's names."))


def _preset(complexity: str, layers: Mapping[str, list[str]]) -> Any:
    if complexity not in COMPLEXITIES:
        raise ValueError(
            _("complexity is one of {known}, got {complexity}").format(
                known=", ".join(COMPLEXITIES), complexity=repr(complexity)
            )
        )
    r, lora_alpha = COMPLEXITIES[complexity]
    return create_lora_config(r, lora_alpha, DROPOUT, layers[complexity])


def _say_parameters(model: Any) -> None:
    trained, total = api.count_parameters(model)
    print(
        _("Parameters: {total:,} in all, {trained:,} trained ({share:.2%})").format(
            total=total, trained=trained, share=trained / total
        )
    )


class PEFTQuickStart:
    """LoRA in four lines: load, configure, apply, generate a few tokens; `run` is `tunewright quickstart`."""

    def __init__(self, model_name: str = "smollm2") -> None:
        self.model_name = model_name

    def basic_usage(self) -> tuple[Any, Any]:
        """Load the model, count its parameters before and after LoRA is applied, print both; model and tokenizer."""
        model, tokenizer = api.load_for_training(_bare_request(self.model_name, r=8, lora_alpha=16))
        trained, total = api.count_parameters(model)
        print(_("Parameters of {name}: {total:,}").format(name=self.model_name, total=total - trained))
        _say_parameters(model)
        return model, tokenizer

    def test_inference(self, model: Any, tokenizer: Any, prompt: str = "Hello, I am a") -> str:
        """Twenty tokens after the prompt, printed and returned."""
        text = api.continue_text(model, tokenizer, prompt, 20)
        print(text)
        return text

    def run(self, seed: int = 42) -> api.TrainedRun:
        """Train, test and compare on generated data, with proof: the whole `tunewright quickstart`."""
        return api.quickstart(seed)


def _bare_request(model_name: str, r: int, lora_alpha: int) -> Any:
    """A config for a model alone: the data are a placeholder that only completes the plan."""
    stand_in = api.stand_in_data()
    peft = {"peft.r": r, "peft.lora_alpha": lora_alpha, "peft.lora_dropout": 0.1}
    return api.load(
        named={"model.name": model_name, "data.train": str(stand_in), "data.holdout": 0, "preset": "simple", **peft}
    )


class LoraTrainer:
    """The lesson's trainer: model, data, training, saving, each one call."""

    def __init__(
        self, model_name: str, output_dir: str = "./lora_output", lora_r: int = 8, lora_alpha: int = 16
    ) -> None:
        self.model_name = model_name
        self.output_dir = output_dir
        self.lora_r = lora_r
        self.lora_alpha = lora_alpha
        self.model: Any = None
        self.tokenizer: Any = None
        self.data: str | None = None
        self.run: api.TrainedRun | None = None

    def prepare_model(self) -> tuple[Any, Any]:
        """The model with a fresh adapter, and its tokenizer; prints what is trained."""
        self.model, self.tokenizer = api.load_for_training(_bare_request(self.model_name, self.lora_r, self.lora_alpha))
        _say_parameters(self.model)
        return self.model, self.tokenizer

    def prepare_data(self, dataset_name: str = "wikitext", max_length: int = 512) -> dict[str, object]:
        """Check and account for "wikitext" (from the Hub) or a file of yours. Returns its summary.

        Raises: HubError E702 if wikitext cannot be fetched, naming what to pass instead; DataError for damaged rows.
        """
        self.data = WIKITEXT if dataset_name == "wikitext" else dataset_name
        self.max_length = max_length
        try:
            length: dict[str, Any] = {"data.max_length": max_length, "data.max_truncated": 1.0}
            check = api.data_check(self.data, self.model_name, **length, **self._blank_lines())
        except HubError as fault:
            if dataset_name != "wikitext":
                raise
            reason = N_('no network for wikitext; pass a file instead: prepare_data("my.jsonl"), rows like {row}')
            row = json.dumps({"text": "..."})
            raise HubError([Problem("E702", values={"name": "wikitext", "reason": Phrase(reason, row=row)})]) from fault
        check.raise_if_stopped()
        summary = check.validated.summary
        print(_("{used} rows to train on, {held_out} held out").format(used=summary.used, held_out=summary.held_out))
        return summary.model_dump(mode="json")

    def _blank_lines(self) -> dict[str, Any]:
        """A third of wikitext's lines are blank, and no rows."""
        return {"data.skip_bad": True, "data.max_bad": 1.0} if self.data == WIKITEXT else {}

    def train(
        self, num_epochs: float = 3, batch_size: int = 4, learning_rate: float = 2e-4, save_steps: int = 500
    ) -> dict[str, Any]:
        """Train as the lesson does: accumulation 4, checkpointing, held-out loss and a checkpoint every `save_steps` steps.

        Three checkpoints and the best are kept; the best becomes the adapter. Returns the result with both scores.
        """
        if self.data is None:
            self.prepare_data()
        settings = {
            "model.name": self.model_name,
            "data.train": self.data,
            "data.max_length": self.max_length,
            "data.max_truncated": 1.0,
            **self._blank_lines(),
            "preset": "simple",
            "peft.r": self.lora_r,
            "peft.lora_alpha": self.lora_alpha,
            "peft.lora_dropout": 0.1,
            "train.num_train_epochs": num_epochs,
            "train.per_device_train_batch_size": batch_size,
            "train.gradient_accumulation_steps": 4,
            "train.activation_checkpointing": True,
            "train.learning_rate": learning_rate,
            "train.eval_steps": save_steps,
            "train.save_total_limit": 3,
            "train.logging_steps": 100,
            "run.output_dir": self.output_dir,
        }
        self.run = api.train_loaded(api.load(named=settings))
        if self.model is not None:
            api.put_adapter(self.model, self.run)
        return self.run.result

    def save_lora_weights(self, path: str | Path) -> Path:
        """The trained adapter as a folder that `PeftModel.from_pretrained` loads."""
        if self.run is None:
            raise ValueError(_("nothing is trained yet: call train() first"))
        return api.copy_adapter(self.run, path)
