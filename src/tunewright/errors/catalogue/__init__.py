"""Every code: sentence, cause, fixes, exit code. The one table that CLI, JSON, report, `explain` and docs read.

English is the key of the gettext catalogue. Placeholders are named; a fix whose values a problem lacks is not shown.
"""

from collections.abc import Mapping

from tunewright.errors.catalogue.codes import Entry as Entry
from tunewright.errors.catalogue.data import DATA
from tunewright.errors.catalogue.delivery import DELIVERY
from tunewright.errors.catalogue.diagnosis import DIAGNOSIS
from tunewright.errors.catalogue.model import MODEL
from tunewright.errors.catalogue.running import RUNNING
from tunewright.errors.catalogue.spec import SPEC

CATALOGUE: Mapping[str, Entry] = {**SPEC, **DATA, **MODEL, **RUNNING, **DELIVERY, **DIAGNOSIS}
