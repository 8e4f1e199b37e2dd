"""What is looked at in YAML of strangers before it is parsed: aliases, which double at each line, and how deep it is nested."""

import yaml

MAX_DEPTH = 64
_OPENS = (
    yaml.FlowSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.BlockMappingStartToken,
)
_CLOSES = (yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken, yaml.BlockEndToken)


def has_alias(text: str) -> bool:
    """Whether a YAML text refers to an anchor. Cost: linear, as it ends where the text is nested too deeply.

    Raises: yaml.YAMLError for text that is no YAML, or is nested deeper than MAX_DEPTH: PyYAML's scanner takes a time that
    grows with the square of the depth.
    """
    depth = 0
    for token in yaml.scan(text):
        if isinstance(token, yaml.AliasToken):
            return True
        depth += isinstance(token, _OPENS) - isinstance(token, _CLOSES)
        if depth > MAX_DEPTH:
            raise yaml.YAMLError("nested too deeply")
    return False
