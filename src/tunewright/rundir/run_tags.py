"""Tags of a run: words by which somebody finds it again, in a file of their own, which whoever trains the run does not write."""

import fcntl
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tunewright.errors import ConfigError, Problem, system_faults
from tunewright.i18n import N_
from tunewright.rundir import atomic_io, file_names
from tunewright.rundir.records import TagsRecord
from tunewright.rundir.run_dir import RunDir
from tunewright.security import as_private_as

MOST_TAGS = 20
_TAG = re.compile(r"\w[\w.+:/-]{0,39}")
_RULE = N_("must be one word of at most 40 letters, digits and . _ + : / -, and a run has at most 20")


@system_faults()
def change(run: RunDir, *, add: Iterable[str] = (), remove: Iterable[str] = ()) -> tuple[str, ...]:
    """Give tags to a run, and take others from it; those that it has then. Tags that it does not have are not missed.

    Raises: ConfigError E133 for what is no tag; TrainingError E525 for a damaged file, E520, E524 where it cannot be written.
    """
    with _alone(run.path):
        gone, new = set(remove), list(add)
        return _write(run, [tag for tag in dict.fromkeys([*run.tags(), *new]) if tag not in gone], new)


@system_faults()
def replace(run: RunDir, tags: Iterable[str]) -> tuple[str, ...]:
    """Give a run these tags alone. Raises: as `change`, but for E525: a damaged file is replaced."""
    with _alone(run.path):
        wanted = list(dict.fromkeys(tags))
        return _write(run, wanted, wanted)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Nobody else changes the tags meanwhile: one lock on the folder itself, which no other file has to hold."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(run: RunDir, tags: list[str], new: list[str]) -> tuple[str, ...]:
    """Write the tags, of which only new ones are looked at: odd ones in a file of somebody else can be taken away one by one."""
    odd = [tag for tag in new if not _TAG.fullmatch(tag)] or [tag for tag in tags[MOST_TAGS:] if tag in new]
    if odd:
        raise ConfigError([Problem("E133", values={"name": "tag", "reason": _RULE, "value": tag}) for tag in odd])
    with as_private_as([run.file(file_names.RUN_JSON)]):
        record = TagsRecord(tags=tags)
        atomic_io.write_json(run.file(file_names.TAGS), {"schema": file_names.SCHEMA, **record.to_stored()})
    return tuple(tags)
