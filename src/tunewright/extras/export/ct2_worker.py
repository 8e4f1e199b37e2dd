"""A merged model for CTranslate2, by its own converter: `python -m tunewright.extras.export.ct2_worker MODEL TARGET TYPE`."""

import sys

from ctranslate2.converters import TransformersConverter


def convert(model: str, target: str, quantization: str) -> None:
    """Write the folder; what the converter does not know it refuses by name."""
    TransformersConverter(model, trust_remote_code=False).convert(target, quantization=quantization, force=True)


if __name__ == "__main__":
    convert(*sys.argv[1:4])
