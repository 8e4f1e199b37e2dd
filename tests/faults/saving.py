"""Saves checkpoints as a run does: `python -m tests.faults.saving FOLDER FIRST LAST BYTES`. Torch-free, so it starts fast.

Says each step on standard output when it is saved, and what the disk said where it was not.
"""

import sys
from pathlib import Path

from tunewright.rundir.checkpoints import CheckpointStore

RUN = "run-1"
KEEP = 4


def main() -> None:
    folder, first, last, size = Path(sys.argv[1]), *map(int, sys.argv[2:])

    def fill(content: Path) -> None:
        (content / "adapter_model.safetensors").write_bytes(b"w" * size)
        (content / "trainer_state.json").write_text("{}")

    for step in range(first, last + 1):
        try:
            CheckpointStore(folder, RUN).save(step, fill, {}, keep=KEEP)
        except OSError as fault:
            print(f"unsaved {step} {fault.errno}", flush=True)
        else:
            print(f"saved {step}", flush=True)


if __name__ == "__main__":
    main()
