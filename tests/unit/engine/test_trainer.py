"""The Trainer's step, evaluation and overrides, called one by one: no loop runs."""

import errno
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import EarlyStoppingCallback, TrainerState, TrainingArguments

from tunewright.engine.training.meters import TrainingMeters
from tunewright.engine.training.trainer import StepTrainer
from tunewright.errors import TrainingError
from tunewright.rundir.checkpoints import TOTALS

Make = Callable[..., StepTrainer]


class Store:
    """Stands for the checkpoints of a run: fills a plain folder, or refuses as a disk does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "checkpoints"
        self.refusal: OSError | None = None
        self.saved: list[tuple[int, int | None, int | None]] = []

    def save(
        self, step: int, fill: Callable[[Path], None], identity: Mapping[str, object], *, keep: int,
        best_step: int | None, best_before: int | None,
    ) -> None:  # fmt: skip
        if self.refusal:
            raise self.refusal
        content = self.folder / "staged" / f"checkpoint-{step}"
        content.mkdir(parents=True)
        fill(content)
        self.saved.append((step, best_step, best_before))


def squared_error(model: nn.Module, batch: Mapping[str, Tensor], *, by_row: bool = False) -> Tensor:
    return (model(batch["x"]) - batch["y"]).square().sum()


def step_of(*micro_batches: tuple[list[float], list[float]], label_tokens: int = 4) -> dict[str, Any]:
    return {
        "parts": [[{"x": torch.tensor([[x] for x in xs]), "y": torch.tensor([[y] for y in ys])} for xs, ys in micro_batches]],
        "num_label_tokens": torch.tensor(label_tokens),
        "num_tokens": torch.tensor(12),
        "num_padding": torch.tensor(3),
        "row_numbers": torch.tensor([4, 7]),
    }  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture
def make_trainer(store: Store) -> Make:
    def make(
        *,
        meters: TrainingMeters | None = None,
        held_out: float = 1.0,
        patience: int = 0,
        steps: int = 4,
        **arguments: Any,
    ) -> StepTrainer:
        model = nn.Linear(1, 1)
        nn.init.ones_(model.weight)
        nn.init.zeros_(model.bias)
        trainer = StepTrainer(
            loss=squared_error,
            held_out_loss=lambda model: held_out,
            method="lora",
            store=store,
            identity={},
            keep_checkpoints=2,
            meters=meters or TrainingMeters(),
            model=model,
            args=TrainingArguments(
                output_dir=str(store.folder), use_cpu=True, report_to="none", max_steps=steps, disable_tqdm=True,
                metric_for_best_model="eval_loss", greater_is_better=False, eval_strategy="steps",
                restore_callback_states_from_checkpoint=True, **{"eval_steps": 2, "save_steps": 2, **arguments},
            ),
            train_dataset=[1, 2],
            eval_dataset=[1],
            data_collator=list,
            callbacks=[EarlyStoppingCallback(patience)] if patience else [],
        )  # fmt: skip
        trainer._tr_loss = torch.tensor(0.0)
        trainer._globalstep_last_logged = 0
        trainer.create_optimizer_and_scheduler(steps)
        return trainer

    return make


def codes(caught: pytest.ExceptionInfo[TrainingError]) -> list[str]:
    return [problem.code for problem in caught.value.problems]


def test_a_step_is_the_same_however_its_rows_are_cut(make_trainer: Make) -> None:
    whole, cut = make_trainer(), make_trainer()
    loss = whole.training_step(whole.model, step_of(([1.0, 2.0, 3.0], [0.0, 1.0, 5.0])))
    loss_in_parts = cut.training_step(cut.model, step_of(([1.0], [0.0]), ([2.0, 3.0], [1.0, 5.0])))
    assert float(loss) == pytest.approx((1 + 1 + 4) / 4), "the sum over the label tokens of the step"
    assert float(loss_in_parts) == pytest.approx(float(loss))
    for name, parameter in whole.model.named_parameters():
        assert torch.allclose(parameter.grad, cut.model.get_parameter(name).grad)


def test_a_step_counts_its_tokens(make_trainer: Make) -> None:
    trainer = make_trainer(meters=TrainingMeters(num_tokens=100))
    trainer.training_step(trainer.model, step_of(([1.0], [0.0])))
    assert (trainer.meters.num_tokens, trainer.meters.num_padding) == (112, 3)


def test_a_step_without_labels_names_its_rows(make_trainer: Make) -> None:
    trainer = make_trainer()
    with pytest.raises(TrainingError) as refused:
        trainer.training_step(trainer.model, step_of(([1.0], [0.0]), label_tokens=0))
    assert codes(refused) == ["E504"]
    assert refused.value.problems[0].values["rows"] == "4, 7"


def test_a_loss_that_is_not_finite_is_refused_before_the_optimizer(make_trainer: Make) -> None:
    trainer = make_trainer()
    with pytest.raises(TrainingError) as refused:
        trainer.training_step(trainer.model, step_of(([float("nan")], [0.0])))
    assert codes(refused) == ["E501"]
    assert refused.value.problems[0].values["step"] == 1


@pytest.mark.parametrize("norm", [float("nan"), float("inf")])
def test_a_gradient_norm_that_is_not_finite_is_refused(norm: float, make_trainer: Make) -> None:
    trainer = make_trainer()
    with pytest.raises(TrainingError) as refused:
        trainer._get_grad_norm(trainer.model, torch.tensor(norm))
    assert codes(refused) == ["E501"]
    assert float(trainer._get_grad_norm(trainer.model, torch.tensor(2.0))) == 2.0


def test_the_held_out_loss_is_the_metric_and_must_be_finite(make_trainer: Make) -> None:
    trainer = make_trainer(held_out=0.25)
    assert trainer.evaluate()["eval_loss"] == 0.25
    with pytest.raises(TrainingError) as refused:
        make_trainer(held_out=float("inf")).evaluate()
    assert codes(refused) == ["E501"]


def test_meters_of_the_session_before_are_restored_once(make_trainer: Make) -> None:
    trainer = make_trainer(meters=TrainingMeters(unlogged_loss=1.5, logged_step=6))
    trainer._globalstep_last_logged = 8
    for _call in range(2):
        trainer.restore_meters()
    assert float(trainer._tr_loss) == 1.5
    assert trainer._globalstep_last_logged == 6


def test_a_checkpoint_is_filled_in_its_staged_folder(make_trainer: Make, store: Store) -> None:
    trainer = make_trainer(meters=TrainingMeters(num_tokens=9))
    trainer.state.global_step = 2
    trainer._tr_loss += 0.5
    trainer._determine_best_metric({"eval_loss": 1.0}, None)
    trainer._save_checkpoint(trainer.model, None)
    assert store.saved == [(2, 2, None)]
    content = store.folder / "staged" / "checkpoint-2"
    names = {path.name for path in content.iterdir()}
    assert {"optimizer.pt", "scheduler.pt", "trainer_state.json", TOTALS} <= names
    assert "training_args.bin" not in names
    assert json.loads((content / TOTALS).read_text()) == {
        "tokens": 9, "train_seconds": 0.0, "unlogged_loss": 0.5, "logged_step": 0,
    }  # fmt: skip
    assert trainer._get_output_dir(None) == str(store.folder), "nothing is staged any more"


def test_a_best_step_that_the_disk_refuses_is_not_the_best(make_trainer: Make, store: Store) -> None:
    trainer = make_trainer()
    trainer.state.global_step = 2
    trainer._determine_best_metric({"eval_loss": 1.0}, None)
    trainer._save_checkpoint(trainer.model, None)
    trainer.state.global_step = 4
    trainer._determine_best_metric({"eval_loss": 0.5}, None)
    assert trainer.state.best_global_step == 4
    store.refusal = OSError(errno.ENOSPC, "No space left on device")
    trainer._save_checkpoint(trainer.model, None)
    assert trainer.meters.save_fault == "No space left on device"
    assert (trainer.state.best_metric, trainer.state.best_global_step) == (1.0, 2)
    store.refusal = None
    trainer._save_checkpoint(trainer.model, None)
    assert trainer.meters.save_fault == ""


def test_parameters_that_are_not_finite_do_not_get_into_a_checkpoint(make_trainer: Make, tmp_path: Path) -> None:
    trainer = make_trainer()
    with torch.no_grad():
        trainer.model.weight.fill_(float("nan"))
    with pytest.raises(TrainingError) as refused:
        trainer._save_optimizer_and_scheduler(str(tmp_path))
    assert codes(refused) == ["E511"]
    assert not (tmp_path / "optimizer.pt").exists()


def test_the_rates_of_a_resumed_run_are_those_of_its_plan(make_trainer: Make, tmp_path: Path) -> None:
    before = make_trainer(learning_rate=1e-3, weight_decay=0.1)
    before.training_step(before.model, step_of(([1.0], [0.0])))
    before.optimizer.step()
    before.lr_scheduler.step()
    before._save_optimizer_and_scheduler(str(tmp_path))
    resumed = make_trainer(learning_rate=4e-4, weight_decay=0.0)
    resumed._load_optimizer_and_scheduler(str(tmp_path))
    (moment, *_rest) = (state["exp_avg"] for state in resumed.optimizer.state.values())
    assert moment.abs().sum() > 0, "moments come from the checkpoint"
    for group in resumed.optimizer.param_groups:
        assert group["lr"] == pytest.approx(4e-4 * 3 / 4), "linear, after one of four steps"
        assert group["weight_decay"] == 0.0
    assert resumed.lr_scheduler.get_last_lr() == [group["lr"] for group in resumed.optimizer.param_groups]


def test_a_first_start_loads_nothing(make_trainer: Make) -> None:
    trainer = make_trainer(learning_rate=1e-3)
    trainer._load_optimizer_and_scheduler(None)
    assert [group["lr"] for group in trainer.optimizer.param_groups] == [1e-3, 1e-3]


def test_parameters_are_not_loaded_again(make_trainer: Make, tmp_path: Path) -> None:
    trainer = make_trainer()
    trainer._load_from_checkpoint(str(tmp_path / "nowhere"))
    assert float(trainer.model.weight.detach()) == 1.0


def saved_state(trainer: StepTrainer, folder: Path, **state: Any) -> Path:
    """A checkpoint's trainer_state.json, with the state of the trainer's callbacks."""
    stateful = [c for c in trainer.callback_handler.callbacks if isinstance(c, EarlyStoppingCallback)]
    TrainerState(stateful_callbacks=stateful, train_batch_size=8, **state).save_to_json(
        str(folder / "trainer_state.json")
    )
    return folder


def test_a_resumed_run_evaluates_as_often_as_its_plan_says(make_trainer: Make, tmp_path: Path) -> None:
    checkpoint = saved_state(make_trainer(), tmp_path, global_step=2, eval_steps=2, save_steps=2, max_steps=4)
    trainer = make_trainer(eval_steps=3, save_steps=3)
    assert trainer._init_training_state(4, 4, 1, str(checkpoint), None) == (0, 2)
    assert (trainer.state.global_step, trainer.state.eval_steps, trainer.state.save_steps) == (2, 3, 3)


def test_the_patience_is_that_of_the_plan_and_the_counter_that_of_the_checkpoint(
    make_trainer: Make, tmp_path: Path
) -> None:
    stopped = make_trainer(patience=2)
    (callback,) = stopped._early_stopping()
    callback.early_stopping_patience_counter = 2
    checkpoint = saved_state(stopped, tmp_path, global_step=2, max_steps=4)
    trainer = make_trainer(patience=5)
    trainer._init_training_state(4, 4, 1, str(checkpoint), None)
    (restored,) = trainer._early_stopping()
    assert (restored.early_stopping_patience, restored.early_stopping_patience_counter) == (5, 2)
