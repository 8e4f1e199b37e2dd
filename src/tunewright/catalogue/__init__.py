"""Every code: sentence, cause, fixes, exit code. The one table that CLI, JSON, report, `explain` and docs read.

English is the key of the gettext catalogue. Placeholders are named; a fix whose values a problem lacks is not shown.
"""

from collections.abc import Mapping

from tunewright.catalogue.data import DATA
from tunewright.catalogue.delivery import DELIVERY
from tunewright.catalogue.diagnosis import DIAGNOSIS
from tunewright.catalogue.entry import Entry as Entry
from tunewright.catalogue.model import MODEL
from tunewright.catalogue.running import RUNNING
from tunewright.catalogue.spec import SPEC

CATALOGUE: Mapping[str, Entry] = {**SPEC, **DATA, **MODEL, **RUNNING, **DELIVERY, **DIAGNOSIS}
