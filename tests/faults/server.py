"""A fork server for workers: `python -m tests.faults.server SOCKET` imports torch, transformers and PEFT once.

Each connection is one worker: JSON comes in (run, home, fault) with the file that is to be its standard input, its pid goes out,
and its exit code when it ended, negative for a signal. The child runs what `python -m tunewright.engine.worker` runs, with a
fault in it.
"""

import faulthandler
import fcntl
import gc
import json
import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import peft.tuners.lora.bnb
import torch
import transformers.models.llama.modeling_llama

from tests.faults.injected import installed
from tunewright.engine.system.ranks import named_by_parent
from tunewright.engine.training.callbacks import StopFlag
from tunewright.engine.worker import configure_logging, end_at_once, work
from tunewright.errors.exit_codes import EXIT_LOCKED
from tunewright.rundir import file_names, run_lock
from tunewright.rundir.rank_files import RANK
from tunewright.rundir.run_dir import RunDir

# What transformers and PEFT would import only in a worker.
IMPORTED_LATE = (peft.tuners.lora.bnb, transformers.models.llama.modeling_llama)
LOOK_SECONDS = 5.0
LONGEST_ORDER = 2**16


def as_worker(order: dict[str, Any], stdin: int) -> int:
    """The worker's main(), in a child of this server."""
    run = RunDir(Path(order["run"]))
    os.dup2(stdin, 0)
    os.close(stdin)
    if run_lock.own(run.path) is None:
        return EXIT_LOCKED
    if order["environment"].get(RANK, "0") == "0":
        _alone(run)
    log = os.open(run.file(file_names.LOG), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.update({"TUNEWRIGHT_HOME": order["home"], **order["environment"]})
    ranks = named_by_parent()
    stop = StopFlag(is_shared=ranks.world > 1)
    stop.install()
    stop.listen(run, at_once=end_at_once)
    configure_logging(ranks)
    faulthandler.register(signal.SIGUSR1)
    return work(run, stop, installed(order["fault"], run.path), ranks)


def _alone(run: RunDir) -> None:
    """Leaves RUN.two if there is another worker on the run; a lock of its own, which nothing of the run knows, says so."""
    descriptor = os.open(f"{run.path}.witness", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        Path(f"{run.path}.two").touch()


def serve_connection(connection: socket.socket) -> None:
    """Fork the worker, wait for it, tell what became of it."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with connection, connection.makefile("w") as line:
        message, descriptors, _flags, _address = socket.recv_fds(connection, LONGEST_ORDER, 1)
        pid = os.fork()
        if pid == 0:
            os._exit(as_worker(json.loads(message), descriptors[0]))
        os.close(descriptors[0])
        line.write(f"{pid}\n")
        line.flush()
        if json.loads(message)["environment"].get(RANK):
            threading.Thread(target=_kill_with, args=(connection, pid), daemon=True).start()
        line.write(f"{os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}\n")


def _kill_with(connection: socket.socket, pid: int) -> None:
    """A parent kills what it has started, here the client; one of several processes may hang, and would do so for ever."""
    with suppress(OSError):
        connection.recv(1)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def main() -> None:
    owner = os.getppid()
    torch.set_num_threads(1)
    gc.freeze()  # what was imported is no garbage; to look for it took a worker a third of its time
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that serve one connection
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(sys.argv[1])
        listener.listen()
        listener.settimeout(LOOK_SECONDS)
        print("ready", flush=True)
        while os.getppid() == owner:
            try:
                connection = listener.accept()[0]
            except TimeoutError:
                continue
            connection.settimeout(None)
            if os.fork() == 0:
                listener.close()
                serve_connection(connection)
                os._exit(0)
            connection.close()


if __name__ == "__main__":
    main()
