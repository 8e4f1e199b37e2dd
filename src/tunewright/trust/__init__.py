"""The one gate for foreign files and for processes: everything from outside is checked here before it is used.

A file for each matter: JSON and paths, model folders, weights, GGUF, adapters, processes, text. Nothing here loads a
weight or imports a library that does; docs/security.md says what is held off, and which test holds it.
"""

from tunewright.trust.adapter import gate_adapter as gate_adapter
from tunewright.trust.folder import gate_model_folder as gate_model_folder
from tunewright.trust.frontmatter import front_matter as front_matter
from tunewright.trust.gguf import gate_gguf as gate_gguf
from tunewright.trust.html import html_table as html_table
from tunewright.trust.html import in_page as in_page
from tunewright.trust.jsonfile import read_json as read_json
from tunewright.trust.modes import as_private_as as as_private_as
from tunewright.trust.modes import narrow as narrow
from tunewright.trust.paths import cache_faults as cache_faults
from tunewright.trust.paths import home as home
from tunewright.trust.paths import is_plain as is_plain
from tunewright.trust.paths import jail as jail
from tunewright.trust.process import command as command
from tunewright.trust.process import spawn as spawn
from tunewright.trust.process import tried as tried
from tunewright.trust.sealed import seal_object as seal_object
from tunewright.trust.sealed import unseal_object as unseal_object
from tunewright.trust.tasks import gate_task_folder as gate_task_folder
from tunewright.trust.text import is_control as is_control
from tunewright.trust.text import printable as printable
from tunewright.trust.text import python_line as python_line
from tunewright.trust.text import redact as redact
from tunewright.trust.weights import safetensors_header as safetensors_header
from tunewright.trust.weights import shards as shards
