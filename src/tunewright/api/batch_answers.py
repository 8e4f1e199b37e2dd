"""Answers and labels for the rows of a file."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tunewright.api.run_handle import CHAT_TOKENS, TrainedRun
from tunewright.config.tasks import Task
from tunewright.data.prompts import Prompt, read_prompts
from tunewright.errors import DataError, Problem
from tunewright.launch import batch_generation
from tunewright.launch.batch_generation import GenerationRequest
from tunewright.reporting import SILENT, Reporter
from tunewright.security import as_private_as


def prompts(
    path: str | Path, *, task: Task = "causal_lm", mapping: Mapping[str, str] | None = None, skip_bad: bool = False
) -> tuple[list[Prompt], list[Problem]]:
    """The prompts of a file, and the problems of the rows that `skip_bad` left out.

    Raises: DataError for a file or rows that cannot be read.
    """
    prompts, problems = read_prompts(str(path), mapping, task)
    if problems and not skip_bad:
        raise DataError(problems)
    return prompts, problems


def answer_prompts(
    run: TrainedRun,
    prompts: Sequence[Prompt],
    *,
    with_base: bool = False,
    max_new_tokens: int = CHAT_TOKENS,
    reporter: Reporter = SILENT,
) -> Iterator[dict[str, object]]:
    """Each prompt's row with the answer added: as `answer`, or `tuned_answer` where the rows have an `answer` already.

    They come in batches, as they are generated. Prompts without a system turn get that of the training rows.
    """
    request = GenerationRequest(prompts, run.answers, run.opening(), with_base, max_new_tokens)
    return request.each(reporter)


def answer_to_file(
    run: TrainedRun,
    prompts: Sequence[Prompt],
    path: Path,
    *,
    source: Path,
    with_base: bool = False,
    max_new_tokens: int = CHAT_TOKENS,
    reporter: Reporter = SILENT,
) -> None:
    """The same rows as JSON lines in a file that appears when it is whole; after a kill the same request continues.

    The file is as private as the run and as `source`, which the prompts come from.
    Raises: OSError where the disk refuses; the answers so far are not lost.
    """
    changes = [problem.to_record() for problem in run.base_problems()]
    request = GenerationRequest(prompts, run.answers, run.opening(), with_base, max_new_tokens)
    with run.dir.private(), as_private_as([source]):
        request.write(path, batch_generation.identity(run.dir, [changes, *request.settings()]), reporter)


def odd_numbers(prompts: Sequence[Prompt]) -> list[Problem]:
    """W508 where the rows hold numbers that JSON does not have, so that the output cannot hold them either."""
    count = batch_generation.not_finite([prompt.row for prompt in prompts])
    return [Problem("W508", values={"count": count})] if count else []
