"""What a model was made of, and what is said of it: whose licence its own has to mind.

`train` records it (`of_recipe`), because folders move; it is looked up again when the model is
published. Of a local path only the last part is ever said to others.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from . import negatives, paths, terms
from .errors import UserError
from .hub_names import Kind
from .json_fields import Fields
from .model_results import TRAINING
from .public_names import called, hub_id
from .recipes import Recipe
from .terms import NOTHING, Terms

Role = Literal["encoder", "data", "added", "unknown", "adapted", "earlier"]  # of the encoder
Place = Literal["hub", "bundled", "folder"]

SOURCES = "sources"  # in training.json
RANDOM = "random"  # an encoder of nobody
BUNDLED = "bundled"


@dataclass(frozen=True)
class Source:
    """A model or recordings that another model was made of."""

    role: Role
    name: str  # as the recipe has it: a path, a Hub id, or a bundled one's name
    place: Place
    called: str  # what others may be told of the name
    terms: Terms = NOTHING

    @property
    def kind(self) -> Kind:
        """Which kind of repository it is on the Hub."""
        return "model" if self.role == "encoder" else "dataset"

    def record(self) -> dict[str, Any]:
        """Give what training.json keeps of it."""
        said = {
            "license": self.terms.license,
            "languages": list(self.terms.languages),
            "pretty_name": self.terms.pretty_name,
        }
        named = {
            "role": self.role,
            "name": self.name,
            "place": self.place,
            "called": self.called,
        }
        return named | {key: value for key, value in said.items() if value}


def of_recipe(recipe: Recipe) -> list[dict[str, Any]]:
    """Say for a record what a run is made of, and which terms are known of what lies here.

    Of what is on the Hub the card is read when the model is published. Raises `UserError` for a
    card that cannot be read.
    """
    names: list[tuple[Role, str | None]] = [
        ("encoder", recipe.encoder if recipe.encoder != RANDOM else None),
        ("data", recipe.data),
        *(("added", name) for name in recipe.add),
        ("unknown", recipe.unknown if recipe.unknown != negatives.NONE else None),
        ("adapted", recipe.adapt),
    ]
    found = [source(role, name) for role, name in names if name is not None]
    records = [_known(each, recipe).record() for each in found]
    return records + [record for each in found for record in _inherited(each)]


def with_added(record: Mapping[str, Any], recipe: Recipe) -> list[dict[str, Any]]:
    """List what a model was made of by its training.json, and the data that were added to it."""
    before = record.get(SOURCES, [])
    added = replace(_known(source("data", recipe.data), recipe), role="added")
    return [*(before if isinstance(before, list) else []), added.record()]


def _known(each: Source, recipe: Recipe) -> Source:
    """Say of a source what can be read here, or else what its recipe knows of its data."""
    if each.place != "hub":
        each = _with_terms(each)
    if each.role != "data":
        return each
    return replace(each, terms=each.terms.over(Terms(license=recipe.license)))


def source(role: Role, name: str) -> Source:
    """Say of a name where it is, and what may be told of it."""
    if name == BUNDLED or (role == "encoder" and name in paths.BUNDLED_ENCODERS):
        return Source(role, name, "bundled", name)
    found = hub_id(name, "model" if role == "encoder" else "dataset")
    if found is not None:
        return Source(role, name, "hub", found)
    return Source(role, name, "folder", called(name))


def _inherited(each: Source) -> list[dict[str, Any]]:
    """Give what an encoder was itself made of, where it is a folder that `train` wrote."""
    file = Path(each.name) / TRAINING
    if each.role != "encoder" or each.place != "folder" or not os.path.isfile(file):
        return []
    fields = Fields.read(file)
    inner = [source.values for source in fields.children(SOURCES)] if fields.says(SOURCES) else []
    return [one if one.get("role") == "encoder" else {**one, "role": "earlier"} for one in inner]


def of_model(training: Fields, results: Mapping[str, Any]) -> tuple[Source, ...]:
    """List what a model was made of, with what is said of it now and was when it was trained.

    Takes training.json and metrics.json. Raises `ModelError` for a record that cannot be,
    `UserError` for a card that cannot be read.
    """
    found = {(each.role, each.name): each for each in _recorded(training)}
    for role, name in _named(training.values, results):
        found.setdefault((role, name), source(role, name))
    return tuple(map(_with_terms, found.values()))


def _recorded(training: Fields) -> list[Source]:
    if not training.says(SOURCES):
        return []
    found = []
    for fields in training.children(SOURCES):
        for name, kinds in (("role", get_args(Role)), ("place", get_args(Place))):
            if fields.values.get(name) not in kinds:
                raise fields.fault(name, f"one of {', '.join(kinds)}")
        said = fields.values
        languages = said.get("languages", [])
        if not isinstance(languages, list):
            raise fields.fault("languages", "a list")
        license = fields.text("license") if fields.says("license") else None
        pretty_name = fields.text("pretty_name") if fields.says("pretty_name") else None
        known = Terms(license, tuple(map(str, languages)), pretty_name)
        name, called = fields.text("name"), fields.text("called")
        found.append(Source(said["role"], name, said["place"], called, known))
    return found


def _named(training: Mapping[str, Any], results: Mapping[str, Any]) -> Iterable[tuple[Role, str]]:
    """Give the names in records of runs that list no sources."""
    # `evaluate` records the model that it scores; its data are those of a test, not of training.
    trained = {} if "model" in results else results
    encoder = training.get("encoder") or trained.get("encoder")
    if encoder and encoder != RANDOM:
        yield "encoder", encoder
    if trained.get("data"):
        yield "data", trained["data"]
    for name in trained.get("added") or []:
        yield "added", name
    for entry in training.get("added") or []:  # by `add_intent`
        yield "added", entry["data"]


def _with_terms(each: Source) -> Source:
    """Read what is said of a source now, beside what was recorded."""
    if each.place == "hub":
        said = terms.of_hub(each.called, each.kind)
    elif each.place == "bundled":
        said = terms.of_place(paths.BUNDLED_ENCODERS.get(each.name, paths.BUNDLED))
    else:
        said = terms.of_place(Path(os.path.expanduser(each.name)))
    return replace(each, terms=terms.strict_over(said, each.terms))


def check_license(license: str | None, found: Iterable[Source]) -> None:
    """Raise `UserError` for a licence that allows what that of a source forbids."""
    if license is None or terms.is_noncommercial(license):
        return
    for each in found:
        theirs = each.terms.license
        if theirs is not None and terms.is_noncommercial(theirs):
            problem = f"is under {theirs}, which forbids commercial use, and {license} allows it"
            remedy = f"publish as {theirs}: leave --license out"
            raise UserError(each.name, problem, remedy)


def check_terms(folder: Path, license: str | None, beside: Terms) -> None:
    """Do the same for recordings, by what is said beside them."""
    check_license(license, [Source("data", str(folder), "folder", folder.name, beside)])


def public_names(found: Iterable[Source], data_name: str | None) -> dict[str, str]:
    """Say what each name in the records of a model becomes; `data_name` is that of its data.

    Raises `UserError` for a name of data that have one already.
    """
    names: dict[str, str] = {}
    for each in sorted(found, key=lambda each: each.role == "data"):  # its name holds
        public = each.called
        if data_name is not None and each.role == "data":
            if each.place != "folder":
                problem = f"cannot be the name of the data, which is {each.called}"
                raise UserError(data_name, problem, "leave --data-name out")
            public = data_name
        names |= {each.name: public, each.called: public}
    return names
