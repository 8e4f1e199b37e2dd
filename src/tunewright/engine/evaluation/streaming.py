"""One answer that is handed on while it is generated: greedy or sampled, ended by texts to stop at or by whoever reads it."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext

import torch
from transformers import PreTrainedModel, StoppingCriteria, StoppingCriteriaList

from tunewright.data.tokenized.tokenizer import TextTokenizer
from tunewright.engine.evaluation.generation import (
    GeneratedText,
    before_end,
    contiguous_head,
    generation_config,
    prompt_batch,
)
from tunewright.kernels.merged_lora import merged_lora
from tunewright.rundir.session_protocol import Sampling

UNFINISHED = "\ufffd"  # how the first bytes of a character are decoded before its last has come


@torch.inference_mode()
def stream(
    model: PreTrainedModel,
    prompt: Sequence[int],
    tokenizer: TextTokenizer,
    *,
    max_new_tokens: int,
    sampling: Sampling,
    merge: bool,
    on_text: Callable[[str], None],
    is_interrupted: Callable[[], bool],
) -> GeneratedText:
    """The answer to a prompt; `on_text` is called with each new piece of it, and first with an empty one.

    The same seed gives the same answer, on the same machine. The answer ends, without being cut, before the first of the
    texts to stop at; also when `is_interrupted` says so, which is asked after each token.
    """
    choice: dict[str, float] = {"do_sample": False}
    if sampling["temperature"] > 0:
        torch.seed() if sampling["seed"] is None else torch.manual_seed(sampling["seed"])
        only_these = {"top_k": 0, "min_p": 0.0, "typical_p": 1.0, "epsilon_cutoff": 0.0, "eta_cutoff": 0.0}
        choice = {"do_sample": True, "temperature": sampling["temperature"], "top_p": sampling["top_p"], **only_these}
    was_training = model.training
    model.eval()
    with merged_lora(model) if merge else nullcontext(), contiguous_head(model):
        batch = prompt_batch(model, [prompt], tokenizer.end_ids[0])
        reader = _Reader(tokenizer, batch.start_of_answer, sampling["stop"], on_text, is_interrupted)
        batch.generator.generate(
            **batch.inputs,
            generation_config=generation_config(model, tokenizer, max_new_tokens, **choice),
            stopping_criteria=StoppingCriteriaList([reader]),
        )
    model.train(was_training)
    reader.flush()
    is_cut = not reader.has_stopped and len(reader.ids) == max_new_tokens
    return GeneratedText(reader.text, is_cut, tuple(reader.ids))


class _Reader(StoppingCriteria):
    """Reads the answer after each token: hands on what is new of it, and says whether it is over."""

    def __init__(
        self,
        tokenizer: TextTokenizer,
        start: int,
        stops: Sequence[str],
        on_text: Callable[[str], None],
        is_interrupted: Callable[[], bool],
    ) -> None:
        self.tokenizer = tokenizer
        self.start = start
        self.stops = stops
        self.on_text = on_text
        self.is_interrupted = is_interrupted
        self.ids: list[int] = []
        self.text = ""
        self.has_stopped = False
        self._num_sent = 0
        on_text("")

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_: object) -> torch.Tensor:
        self.ids = before_end(input_ids[0, self.start :].tolist(), self.tokenizer.end_ids)
        self.text = self.tokenizer.decode(self.ids)
        places = [place for stop in self.stops if (place := self.text.find(stop)) >= 0]
        if places:
            self.has_stopped = True
            self.text = self.text[: min(places)]
        else:
            self._send(len(self.text) - self._num_unsettled())
        return torch.tensor([self.has_stopped or self.is_interrupted()], device=input_ids.device)

    def flush(self) -> None:
        """Hand on what was held back."""
        self._send(len(self.text))

    def _send(self, until: int) -> None:
        if until > self._num_sent:
            self.on_text(self.text[self._num_sent : until])
            self._num_sent = until

    def _num_unsettled(self) -> int:
        """How many characters at the end may still change: an unfinished one, or the beginning of a text to stop at."""
        unfinished = len(self.text) - len(self.text.rstrip(UNFINISHED))
        begun = [n for stop in self.stops for n in range(1, len(stop)) if self.text.endswith(stop[:n])]
        return max([unfinished, *begun])
