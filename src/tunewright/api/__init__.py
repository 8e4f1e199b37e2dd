"""The surface: one function for each verb, for both Python and the command line. Torch-free.

Each subject has a module; this is the table of their public functions.
"""

from tunewright.api.batch_answers import answer_prompts, answer_to_file, odd_numbers, prompts
from tunewright.api.comparisons import (
    check_page,
    compare_runs,
    grid,
    grid_folder,
    grid_settings,
    measure_prompted,
    plan_grid,
    train_grid,
)
from tunewright.api.configs import config_rows, config_schema, explain, load, starter
from tunewright.api.datasets import data_check
from tunewright.api.deployment import export_formats, plan_export
from tunewright.api.models import (
    continue_text,
    count_parameters,
    fetch,
    load_for_training,
    load_model,
    peft_config,
    preset_rows,
    put_adapter,
    stand_in_data,
)
from tunewright.api.proofs import check_export, proof_failure, proof_lines
from tunewright.api.run_folders import (
    account,
    benchmark_lines,
    copy_adapter,
    diagnose,
    open_exactly,
    open_run,
    output_file,
    overview,
    remove,
    run_bytes,
    runs,
    summary,
    verify,
    write_file,
)
from tunewright.api.run_handle import Conversation, TrainedRun
from tunewright.api.serving import open_server, serve
from tunewright.api.sweeps import open_sweep, search_axis, sweep, sweep_settings, train_sweep, trial_limit
from tunewright.api.system import doctor, environment
from tunewright.api.training import (
    begin,
    calibrate,
    describe_data,
    follow,
    plan,
    problems,
    quickstart,
    quickstart_request,
    resume,
    train,
    train_loaded,
    wait_for_stop,
)
from tunewright.extras.deploy.served import Served
from tunewright.extras.serve.serve_options import ServeOptions
from tunewright.rundir.session_protocol import Sampling

__all__ = [
    "Conversation",
    "Sampling",
    "ServeOptions",
    "Served",
    "TrainedRun",
    "account",
    "answer_prompts",
    "answer_to_file",
    "begin",
    "benchmark_lines",
    "calibrate",
    "check_export",
    "check_page",
    "compare_runs",
    "config_rows",
    "config_schema",
    "continue_text",
    "copy_adapter",
    "count_parameters",
    "data_check",
    "describe_data",
    "diagnose",
    "doctor",
    "environment",
    "explain",
    "export_formats",
    "fetch",
    "follow",
    "grid",
    "grid_folder",
    "grid_settings",
    "load",
    "load_for_training",
    "load_model",
    "measure_prompted",
    "odd_numbers",
    "open_exactly",
    "open_run",
    "open_server",
    "open_sweep",
    "output_file",
    "overview",
    "peft_config",
    "plan",
    "plan_export",
    "plan_grid",
    "preset_rows",
    "problems",
    "prompts",
    "proof_failure",
    "proof_lines",
    "put_adapter",
    "quickstart",
    "quickstart_request",
    "remove",
    "resume",
    "run_bytes",
    "runs",
    "search_axis",
    "serve",
    "stand_in_data",
    "starter",
    "summary",
    "sweep",
    "sweep_settings",
    "train",
    "train_grid",
    "train_loaded",
    "train_sweep",
    "trial_limit",
    "verify",
    "wait_for_stop",
    "write_file",
]
