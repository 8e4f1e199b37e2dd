"""A merged model for CTranslate2, by its own converter: `python -m tunewright.extras.export.ct2_worker MODEL TARGET TYPE KIND`."""

import sys

import ctranslate2
from ctranslate2.converters import TransformersConverter

LOADERS = {"decoder": ctranslate2.Generator, "encoder_decoder": ctranslate2.Translator}


def convert(model: str, target: str, quantization: str, kind: str) -> None:
    """Write the folder, and load it: what the converter does not know it refuses by name, and it writes some folders that
    the engine then refuses, as those of tokenizers without a beginning token.
    """
    TransformersConverter(model, trust_remote_code=False).convert(target, quantization=quantization)
    LOADERS[kind](target, device="cpu", compute_type="default")


if __name__ == "__main__":
    convert(*sys.argv[1:5])
