"""The base model as others can have it: by its Hub id, as a built-in model, or as a folder that only its owner has."""

from dataclasses import dataclass
from pathlib import Path

from tunewright.inspection.builtin_models import BUNDLED, BuiltinModel
from tunewright.planning.run_plan import Plan


@dataclass(frozen=True)
class BaseReference:
    """`name` is what others call it, without a path of this machine; `hub_id` is empty where the Hub has no such model.

    `note` says in English what is not the same elsewhere.
    """

    name: str
    hub_id: str
    note: str
    own_name: str  # what Tunewright takes it by

    def to_json(self) -> dict[str, object]:
        """For programs; without a Hub id it is null."""
        return {"name": self.name, "hub_id": self.hub_id or None, "note": self.note}


def base_of(plan: Plan) -> BaseReference:
    """The base of a plan, for others."""
    model = plan.facts.model
    if model.name in BUNDLED:
        return _built_in(BUNDLED[model.name])
    if f"models--{model.name.replace('/', '--')}" in Path(model.folder).parts:  # in the Hub's own cache
        return BaseReference(model.name, model.name, "", model.name)
    name = Path(model.name).name
    return BaseReference(
        name, "", f"The base, {name}, is a folder of whoever trained this: it has to be obtained from there.", name
    )


def _built_in(model: BuiltinModel) -> BaseReference:
    if isinstance(model.source, str):
        origin = f"of {model.repository}: tunewright doctor --fetch {model.name}"
        return BaseReference(
            model.name, "", f"The base is Tunewright's built-in {model.name}, which it makes out {origin}", model.name
        )
    note = f"The base was Tunewright's built-in {model.name}: {model.repository}, "
    if any(file.endswith(".gguf") for file in model.source.files):
        note += "quantized in GGUF and dequantized. With the Hub's own weights logits differ a little."
        return BaseReference(model.repository, model.repository, note, model.name)
    return BaseReference(model.repository, model.repository, note + "byte for byte.", model.name)
