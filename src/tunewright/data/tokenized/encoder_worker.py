"""A process that encodes: a line of settings, then lines of examples on standard input, a line with a block for each."""

import json
import sys
from base64 import b64encode
from datetime import datetime
from pathlib import Path

from tunewright.data.stored_examples import from_json
from tunewright.data.tokenized.tokenization import EncodingRules, key_of_chunk, uncut_block
from tunewright.data.tokenized.tokenizer import load_tokenizer


def main() -> None:
    """Entry of the process; it ends with its input. A chunk that came out as another one is answered with nothing."""
    setup = json.loads(sys.stdin.readline())
    day = datetime.fromisoformat(setup["day"])
    rules = EncodingRules(load_tokenizer(Path(setup["folder"]), setup["template"], day), *setup["rules"])
    for line in sys.stdin:
        request = json.loads(line)
        chunk = [from_json(example) for example in request["examples"]]
        is_same = key_of_chunk(chunk, rules) == request["key"]
        block = uncut_block(chunk, rules, request["key"]) if is_same else b""
        sys.stdout.write(b64encode(block).decode() + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
