"""All that a model's card may say, read from its folder: what was recorded, and whose terms hold.

No local path stands in it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from . import public_names, sources
from .model_results import read_results, read_training
from .sources import Role, Source
from .terms import NOTHING, TOML, Terms, strictest

SEVERAL = "multilingual"  # as the Hub has it
NO_LANGUAGE = "zxx"  # "no linguistic content" of ISO 639
LOCALE = re.compile(r"([a-z]{2})(-[A-Z]{2})?")  # en, en-US


@dataclass(frozen=True)
class ModelFacts:
    """What is known of a model."""

    terms: Terms  # of the model
    sources: tuple[Source, ...]  # what it was made of
    results: dict[str, Any]  # metrics.json
    training: dict[str, Any]  # training.json, or what metrics.json says of the training
    names: Mapping[str, str]  # what names of models and data become before others see them

    def notes(self, given: Terms) -> list[str]:
        """Say what the card leaves out, and whose licence it names that was not given."""
        unsaid = missing(self.terms)
        notes = [unsaid] if unsaid else []
        silent = [each.name for each in self.sources if each.terms.license is None]
        if given.license is None and self.terms.license is not None and silent:
            whose = next(
                each.name for each in self.sources if each.terms.license == self.terms.license
            )
            text = f"the licence {self.terms.license} is that of {whose}; nobody has said that of "
            notes.append(f"{text}{', '.join(silent)} (--license names another)")
        return notes


def missing(known: Terms) -> str:
    """Say which of licence and language a card leaves out, and how to name it; "" if none."""
    unsaid = []
    if known.license is None:
        unsaid.append("no licence (--license)")
    if not known.languages:
        unsaid.append("no language (--language)")
    if not unsaid:
        return ""
    return f"the card names {' and '.join(unsaid)}; {TOML} beside the data may too"


def read_facts(folder: Path, given: Terms = NOTHING) -> ModelFacts:
    """Read what is known of the model in a folder, and look up what is said of its sources.

    `given` is what its user says: its licence and languages, and as pretty name that of its data.
    Raises `ModelError` for a file that cannot be read, `UserError` for a card that cannot, and for
    a licence that allows what that of a source forbids.
    """
    results = read_results(folder)
    record = read_training(folder)
    found = sources.of_model(record, results)
    sources.check_license(given.license, found)
    names = sources.public_names(found, given.pretty_name)
    if "data_called" in results:  # by `evaluate`, on what may be other data
        called = results["data_called"]
        names = {results["data"]: called, called: called} | names
    scored = public_names.public(results, names)
    trained = public_names.public(record.values, names)
    if not trained and "model" not in results:  # in which metrics.json lies alone
        trained = scored
    known = Terms(
        license=given.license or strictest(each.terms.license for each in found),
        languages=given.languages or _languages(scored, found),
    )
    public = tuple(_public_source(each, names, given.pretty_name) for each in found)
    return ModelFacts(known, public, scored, trained, names)


def _public_source(each: Source, names: Mapping[str, str], data_name: str | None) -> Source:
    """Give a source by the name that others may be told."""
    said = each.terms
    if each.role == "data":
        said = replace(said, pretty_name=data_name or said.pretty_name)
    return replace(each, name=names[each.name], terms=said)


def _languages(results: dict[str, Any], found: tuple[Source, ...]) -> tuple[str, ...]:
    """Give the languages of the data, or else those of the encoder.

    A configuration of one language tells it; which ones another has, the card of the data may.
    """
    language = data_language(results)
    if language is not None and language != SEVERAL:
        return (language,)
    of_data = _said("data", found)
    if of_data or language is None:
        return of_data or _said("encoder", found)
    return (SEVERAL,)


def _said(role: Role, found: tuple[Source, ...]) -> tuple[str, ...]:
    """Give the languages that sources of a role name."""
    said = [name for each in found if each.role == role for name in each.terms.languages]
    return tuple(dict.fromkeys(said))


def data_language(results: dict[str, Any]) -> str | None:
    """Read the language of the training data off their configuration on the Hub.

    Takes metrics.json with public names; None where no configuration tells a language.
    """
    config = data_config(results)
    if config is None or "model" in results:  # `evaluate` records the data of a test
        return None
    if config == "all":
        return SEVERAL
    locale = LOCALE.fullmatch(config)
    return None if locale is None else locale[1]


def data_config(results: dict[str, Any]) -> str | None:
    """Give the configuration of data on the Hub; a folder has none, whatever its recipe says."""
    data = results.get("data") or ""
    return results.get("config") if public_names.hub_id(data, "dataset") else None
