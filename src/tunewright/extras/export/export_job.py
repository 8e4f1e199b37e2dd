"""What the writers of all formats are given, and the steps that several of them share."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from tunewright.extras.export.export_plan import ExportPlan
from tunewright.extras.export.gguf_limits import TOKENIZER_FILES, complete_for_converter
from tunewright.i18n import _
from tunewright.launch.session_client import SessionClient
from tunewright.reporting import Reporter
from tunewright.rundir.session_protocol import MergeRequest, MergeResult
from tunewright.security import check_link, plain_files

MERGED = "model"


@dataclass(frozen=True)
class ExportJob:
    """One export while it is written: into `folder`, which is published afterwards."""

    plan: ExportPlan
    folder: Path
    session: SessionClient
    reporter: Reporter
    answers_compared_later: bool = False
    """Whether an engine is asked for all answers of what is written, so that a merge need not generate any."""

    @property
    def name(self) -> str:
        """The run's name."""
        return self.plan.run.name

    def merged(self, folder: Path) -> MergeResult:
        """Base and adapter as one model in a new folder, checked against the adapter. Raises: as a merge does."""
        self.reporter.note(_("Merging base and adapter"))
        request = MergeRequest(str(folder), compare_answers=not self.answers_compared_later)
        result = self.session.request(request, MergeResult, self.reporter)
        complete_for_converter(folder, self.plan.plan)
        return result

    def base_with_tokenizer(self, folder: Path) -> Path:
        """The base with the run's own tokenizer and template in a new folder; weights are links where the disk has them."""
        folder.mkdir()
        base = Path(self.plan.plan.facts.model.folder)
        for file in base.iterdir():
            check_link(base, file)
            if file.is_file() and not file.name.startswith(TOKENIZER_FILES) and file.name != "manifest.json":
                _link(file.resolve(), folder / file.name)
        for file in plain_files(self.plan.run.adapter_dir):
            if file.name.startswith(TOKENIZER_FILES):
                shutil.copyfile(file, folder / file.name)
        complete_for_converter(folder, self.plan.plan)
        return folder


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)
