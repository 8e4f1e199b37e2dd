"""The job that a launcher takes: written, shown, submitted."""

import shlex
from typing import TYPE_CHECKING

from tunewright.cli import console, live_display, paste_commands
from tunewright.i18n import _

if TYPE_CHECKING:
    from tunewright.config.load_config import LoadedConfig


def write_and_submit(
    loaded: "LoadedConfig", on: str, *, force: bool, is_dry: bool, is_json: bool, is_quiet: bool
) -> None:
    """Write the job, print it, and submit it unless `is_dry`. Raises: the errors of `api.write_job` and `api.submit_job`."""
    from tunewright import api

    with live_display.meter(_("Inspecting the data"), is_quiet=is_quiet) as reporter:
        job = api.write_job(loaded, on, force=force, reporter=reporter)
    if not is_json and not is_quiet:
        for line in job.text.splitlines():
            console.out().line(line)
    if not is_dry:
        api.submit_job(job)
    if is_json:
        record = {"job": str(job.path), "run": job.output, "command": list(job.submit), "submitted": not is_dry}
        console.as_json({"schema": 1, **record})
    elif is_quiet:
        console.out().line(str(job.path))
    elif is_dry:
        console.next_steps((shlex.join(job.submit), _("submit it")))
    elif job.is_shared and not job.package:  # what stays here has shown it
        console.next_steps((paste_commands.command("runs watch", job.output), _("see it, once it has begun")))
