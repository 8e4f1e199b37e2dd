"""The process that holds llama.cpp: `python -m tunewright.extras.serve.llama_worker`. The only module that imports xllamacpp.

It reads `EngineSettings` from its standard input, replies with `EngineAddress`, and serves until that input ends: with its
parent, however that ended. What the C++ server says goes to standard error.
"""

import os
import sys

import xllamacpp

from tunewright.extras.serve.engine_settings import EngineAddress, EngineSettings

WARNINGS = 2


def parameters(settings: EngineSettings) -> xllamacpp.CommonParams:
    """The server's parameters: nothing but its API on the loopback interface, nothing adjusted behind our back."""
    params = xllamacpp.CommonParams()
    params.model.path = settings.model
    params.hostnames = ["127.0.0.1"]
    params.port = 0  # the system chooses
    params.api_keys = [settings.key]
    params.cors_origins = ""  # its default answers with any Origin that asks
    params.ui = False
    params.endpoint_slots = False  # shows the prompts of others
    params.n_parallel = settings.slots
    params.n_ctx = settings.context * settings.slots
    params.prefill_assistant = False  # a conversation that ends with an answer is not continued, as in training
    params.fit_params = False  # would shorten the context where memory is short, in silence
    params.cache_ram_mib = 0  # its default keeps up to 8 GiB of old prompts
    params.verbosity = WARNINGS  # its eight lines a request would fill a disk in time
    params.cpuparams.n_threads = settings.threads
    params.cpuparams_batch.n_threads = settings.threads
    # A single adapter is on from the start; of several none is until a request names their scales.
    start_scale = 1.0 if len(settings.adapters) == 1 else 0.0
    params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(path, start_scale) for path in settings.adapters]
    return params


def main() -> None:
    """Entry of the process. Standard output is for the address alone; C++ that prints there is heard on standard error."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    settings = EngineSettings.from_line(sys.stdin.readline())
    try:
        server = xllamacpp.Server(parameters(settings))
    except RuntimeError as refusal:
        sys.exit(str(refusal))  # the reason is in the lines that the C++ wrote before
    replies.write(EngineAddress(int(server.listening_address.rsplit(":", 1)[1])).to_line() + "\n")
    replies.flush()
    sys.stdin.read()
    os._exit(0)  # its destructor waits for requests that are still being answered


if __name__ == "__main__":
    main()
