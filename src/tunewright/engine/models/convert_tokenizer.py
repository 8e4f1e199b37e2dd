"""tokenizer.json for a folder that has only older files: `python -m tunewright.engine.models.convert_tokenizer FOLDER TARGET`."""

import sys
from pathlib import Path

from transformers import AutoTokenizer

if __name__ == "__main__":
    tokenizer = AutoTokenizer.from_pretrained(sys.argv[1], trust_remote_code=False, local_files_only=True)
    tokenizer.save_pretrained(Path(sys.argv[2]))
