"""Command lines that run in another pid namespace, on a machine whose clocks were moved, as far as this system lets them."""

import subprocess
from pathlib import Path

MOVED_SECONDS = 10
NAMESPACES = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--mount-proc"]
CLOCKS = ["--time", "--boottime", "3600", "--monotonic", "3600"]
WITH_STAT = 'mount --bind "$1" /proc/stat && shift && exec "$@"'


def elsewhere(folder: Path) -> list[str]:
    """The beginning of such a command line; empty where nobody may make a namespace. `folder` holds a file for it.

    The kernel is said to have started ten seconds later, which is what a clock that was set does to the times of processes.
    """
    stat = Path("/proc/stat")
    if not stat.exists():
        return []
    lines = stat.read_text().splitlines()
    moved = [f"btime {int(line.split()[1]) + MOVED_SECONDS}" if line.startswith("btime") else line for line in lines]
    (folder / "stat").write_text("\n".join(moved) + "\n")
    for unshared in ([*NAMESPACES, *CLOCKS], NAMESPACES):
        command = [*unshared, "sh", "-c", WITH_STAT, "sh", str(folder / "stat")]
        if not subprocess.run([*command, "true"], capture_output=True).returncode:
            return command
    return []
