"""What the Plan page asks for: where a config begins, and what was typed over it.

Paths of this machine are no fields of the form: rows come by their id, a model by a name of the list, the rest of what a run was
made of by the run's name.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import urlencode

from tunewright import api
from tunewright.config.load_config import LoadedConfig
from tunewright.config.schema_keys import SECTIONS
from tunewright.config.section import AUTO, number_if_written
from tunewright.errors import Where, error
from tunewright.i18n import N_, Phrase
from tunewright.inspection.builtin_models import DEFAULT_MODEL
from tunewright.studio import data_choices
from tunewright.studio.pages.run_rows import run_named

NOT_TYPED = ("model.name", "model.revision", "model.chat_template", "data.train", "run.output_dir")
SECTIONS_TYPED = tuple(name for name in SECTIONS if name != "launch")
TOP_TYPED = ("task", "method", "preset", "fast_paths")
MOST_CHARACTERS = 4096


@dataclass(frozen=True)
class PlanForm:
    """A form of the Plan page: `base` are the settings that its rows, or its run, come with; `typed` holds the text of each field
    that is not empty. Both go by dotted path."""

    data: str
    run: str
    base: Mapping[str, object]
    model: str = ""
    device: str = ""
    typed: Mapping[str, str] = field(default_factory=dict)

    @property
    def model_name(self) -> str:
        """The model of the base, or a built-in one. Raises: ConfigError E134 for any other name: a page names no paths."""
        own = str(self.base["model.name"])
        if self.model not in ("", own, *api.builtin_models()):
            raise error("E134", what=N_("model"), name=self.model)
        return self.model or own

    @property
    def method(self) -> str:
        return self.typed.get("method", "lora")

    def prefilled(self) -> "PlanForm":
        """The form before anything was typed: as the settings of its base say."""
        typed = {path: api.as_text(value) for path, value in self.base.items() if self.is_typed(path)}
        return replace(self, typed=typed)

    def with_flags(self, flags: str) -> "PlanForm":
        """The form with the settings of these flags; what is no flags of settings changes nothing."""
        settings = api.settings_in(flags, self.method) or {}
        model = str(settings.pop("model.name", self.model))
        texts = {path: api.as_text(value) for path, value in settings.items() if self.is_typed(path)}
        return replace(self, model=model, typed={**self.typed, **texts}).without_other_methods()

    def without_other_methods(self) -> "PlanForm":
        """Without fields that the method does not have, as after another one was chosen."""
        typed = {path: text for path, text in self.typed.items() if api.belongs(self.method, path)}
        return replace(self, typed=typed)

    def is_typed(self, path: str) -> bool:
        """Whether a setting is a field of the form; held-out rows in a file of their own are not."""
        section, dot, _key = path.partition(".")
        is_file = path == "data.holdout" and isinstance(self.base.get(path), str)
        return (section in SECTIONS_TYPED if dot else path in TOP_TYPED) and path not in NOT_TYPED and not is_file

    def load(self) -> LoadedConfig:
        """The config, with the origins that its command gives. Raises: ConfigError with every problem of what was typed."""
        _refuse_a_path(self.typed.get("data.holdout", "auto"))
        named = {path: value for path, value in self.base.items() if not self.is_typed(path)}
        sets = [f"{path}={text}" for path, text in self.typed.items() if self.is_typed(path)]
        return api.command(api.load(named={**named, "model.name": self.model_name}, sets=sets)).load()

    def address(self) -> str:
        """The page with this form, to be kept."""
        places = {"data": self.data, "run": self.run, "model": self.model, "device": self.device, "typed": "yes"}
        return "/plan?" + urlencode({name: text for name, text in {**places, **self.typed}.items() if text})


def _refuse_a_path(holdout: str) -> None:
    """Raises: ConfigError E103 for held-out rows that are no share: a file is chosen by its id."""
    if isinstance(number_if_written(holdout), str) and holdout != AUTO:
        reason = Phrase(N_("must be {what}"), what=N_("a number"))
        where = Where("--set", source=f"data.holdout={holdout}")
        raise error("E103", where, key="data.holdout", reason=reason, value=holdout)


def read(fields: Iterable[tuple[str, object]]) -> PlanForm:
    """The form that was sent, or is in the address; one in which nothing was typed yet shows what its base says.

    Raises: ConfigError E134 for rows that were not listed, E113 for such a run.
    """
    texts = {name: value.strip()[:MOST_CHARACTERS] for name, value in fields if isinstance(value, str)}
    run = texts.get("run", "")
    data = "" if run else texts.get("data") or next(iter(data_choices.choices()))
    plan_form = PlanForm(data, run, _base(data, run), texts.get("model", ""), texts.get("device", ""))
    if texts.get("typed") == "yes":
        typed = {name: text for name, text in texts.items() if text and plan_form.is_typed(name)}
        plan_form = replace(plan_form, typed=typed).without_other_methods()
    else:
        plan_form = plan_form.prefilled()
    return plan_form.with_flags(texts["take"]) if texts.get("take") else plan_form


def _base(data: str, run: str) -> dict[str, object]:
    if run:
        return api.settings_of(run_named(run))
    return {"model.name": DEFAULT_MODEL, **data_choices.choice(data).settings}
