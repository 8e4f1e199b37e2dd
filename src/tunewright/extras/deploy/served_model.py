"""A run as a model of the front."""

from tunewright.data.prompts import shared_system
from tunewright.extras.serve.backend import ServedModel
from tunewright.extras.serve.serve_options import ServeOptions
from tunewright.rundir.run_dir import RunDir


def served_model(run: RunDir, options: ServeOptions, *, adapter: int | None = None) -> ServedModel:
    """The run under its name; with the system turn of its training rows before conversations, where `options` say so."""
    config = run.plan().run
    system = shared_system(config.data, config.task) if options.with_system else ""
    return ServedModel(run.name, adapter, ({"role": "system", "content": system},) if system else ())
