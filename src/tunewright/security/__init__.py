"""The one gate for foreign files and for processes: everything from outside is checked here before it is used.

A file for each matter: JSON and paths, model folders, weights, GGUF, adapters, processes, text. Nothing here loads a
weight or imports a library that does; docs/security.md says what is held off, and which test holds it.
"""

from tunewright.security.adapter_folder import gate_adapter as gate_adapter
from tunewright.security.benchmark_tasks import gate_task_folder as gate_task_folder
from tunewright.security.file_modes import as_private_as as as_private_as
from tunewright.security.file_modes import narrow as narrow
from tunewright.security.front_matter import front_matter as front_matter
from tunewright.security.gguf_header import gate_gguf as gate_gguf
from tunewright.security.gguf_header import gguf_values as gguf_values
from tunewright.security.html_escape import html_table as html_table
from tunewright.security.html_escape import in_page as in_page
from tunewright.security.json_file import read_json as read_json
from tunewright.security.model_folder import gate_model_folder as gate_model_folder
from tunewright.security.paths import cache_faults as cache_faults
from tunewright.security.paths import check_link as check_link
from tunewright.security.paths import home as home
from tunewright.security.paths import is_plain as is_plain
from tunewright.security.paths import jail as jail
from tunewright.security.paths import plain_files as plain_files
from tunewright.security.printable_text import is_control as is_control
from tunewright.security.printable_text import json_text as json_text
from tunewright.security.printable_text import printable as printable
from tunewright.security.printable_text import python_line as python_line
from tunewright.security.printable_text import redact as redact
from tunewright.security.processes import command as command
from tunewright.security.processes import script_command as script_command
from tunewright.security.processes import spawn as spawn
from tunewright.security.processes import tried as tried
from tunewright.security.safetensors_header import TensorEntry as TensorEntry
from tunewright.security.safetensors_header import safetensors_header as safetensors_header
from tunewright.security.safetensors_header import shards as shards
from tunewright.security.sealed_cache import seal_object as seal_object
from tunewright.security.sealed_cache import unseal_object as unseal_object
