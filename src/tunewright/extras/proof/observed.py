"""What a deployed model answers to the rows of a reference."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from tunewright.extras.proof.endpoint_client import Answer, EndpointClient
from tunewright.extras.proof.reference import Reference, ReferencePrompt, ReferenceRow
from tunewright.reporting import Reporter

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class ObservedPrompt:
    """A prompt as the server reads it; None for what it does not tell."""

    text: str | None
    ids: list[int] | None
    num_tokens: int | None


@dataclass(frozen=True)
class ObservedRow:
    """A row of the reference as the server reads and answers it; no answer where it gives none as text."""

    prompt: ObservedPrompt
    answer: Answer | None


@dataclass(frozen=True)
class Observed:
    """All that was seen, in the order of the reference."""

    rows: list[ObservedRow]
    prompts: dict[str, ObservedPrompt]


def observe(client: EndpointClient, reference: Reference, reporter: Reporter) -> Observed:
    """Ask for every prompt and every row; as many at once as the endpoint is to be sent. Raises: ExportError E660, E661."""

    def row(expected: ReferenceRow) -> ObservedRow:
        text = client.rendered(expected.prompt)
        answer = client.answer(expected.prompt, text, _most_tokens(expected, reference))
        num_tokens = answer.prompt_tokens if answer else None
        return ObservedRow(ObservedPrompt(text, client.token_ids(expected.prompt, text), num_tokens), answer)

    def prompt(expected: ReferencePrompt) -> ObservedPrompt:
        text = client.rendered(expected)
        return ObservedPrompt(text, client.token_ids(expected, text), client.prompt_tokens(expected))

    prompts = {name: prompt(expected) for name, expected in reference.prompts.items()}
    rows = _each(row, reference.rows, client.endpoint.clients, reporter)
    return Observed(rows, prompts)


def _most_tokens(row: ReferenceRow, reference: Reference) -> int:
    """As many tokens as the run could write; of an answer that was cut as many as it has."""
    return len(row.answer_ids) if row.end_id is None else max(reference.max_new_tokens, len(row.answer_ids) + 1)


def _each(work: Callable[[Item], Result], items: Sequence[Item], clients: int, reporter: Reporter) -> list[Result]:
    results: list[Result] = []
    with ThreadPoolExecutor(clients) as pool:
        try:
            for result in pool.map(work, items):
                results.append(result)
                reporter.progress(len(results), len(items))
        except BaseException:
            pool.shutdown(cancel_futures=True)  # what waits is not asked any more
            raise
    return results
