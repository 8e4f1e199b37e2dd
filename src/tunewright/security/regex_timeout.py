"""Regular expressions of strangers, tried where they may take for ever: `python -m tunewright.security.regex_timeout`.

PEFT matches patterns of an adapter's config with the names of all modules. Here it is done once before, within limits.
With `re`, as PEFT uses it: the package `regex`, which has a timeout, answers at once where `re` never ends.
"""

import json
import re
import sys
from collections.abc import Collection, Sequence

from tunewright.security.processes import limit_this_process, tried

MAX_PATTERN = 1000
SECONDS, MEGABYTES = 2, 256
_PLAIN = re.compile(r"[\w.-]*")


def pattern_fault(patterns: Collection[object], names: Sequence[str]) -> str:
    """Why these patterns cannot be matched against these names, in one phrase; empty if they can."""
    odd = [pattern for pattern in patterns if not isinstance(pattern, str) or len(pattern) > MAX_PATTERN]
    if odd:
        return f"a name of modules that is not a text of up to {MAX_PATTERN} characters"
    unsure = sorted({pattern for pattern in patterns if isinstance(pattern, str) and not _PLAIN.fullmatch(pattern)})
    if not unsure:
        return ""
    request = {"patterns": unsure, "names": list(names), "seconds": SECONDS}
    answer = tried("tunewright.security.regex_timeout", request)
    return (
        f"its patterns of module names take too long, as of {unsure[0][:80]}"
        if answer is None
        else str(answer["fault"])
    )


def _hold(patterns: Sequence[str], names: Sequence[str]) -> str:
    """The three uses PEFT makes of a pattern."""
    for pattern in patterns:
        try:
            forms = [
                re.compile(pattern),
                re.compile(rf"(^|.*\.){pattern}($|\..*)"),
                re.compile(rf"(.*\.)?({pattern})$"),
            ]
        except (re.error, RecursionError, OverflowError) as fault:
            return f"the pattern {pattern[:80]} is none: {fault}"
        for name in names:
            for form in forms:
                form.fullmatch(name)
                form.match(name)
    return ""


if __name__ == "__main__":
    request = json.load(sys.stdin)
    limit_this_process(request["seconds"], MEGABYTES)
    json.dump({"fault": _hold(request["patterns"], request["names"])}, sys.stdout)
