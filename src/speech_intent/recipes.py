"""What a run starts from: a recipe of recipes.toml, chosen by one word, or a file of the user's.

`resolve` puts it together, once; everything behind it takes that one recipe.
"""

import tomllib
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, get_type_hints

from . import settings
from .errors import UserError
from .hub_names import Kind, is_hub_id, repository
from .hyperparameters import Hyperparameters, check, listed


@dataclass(frozen=True)
class Recipe:
    """What a run starts from: data, encoder and numbers. Most fields describe the data."""

    recipe: str = "bundled"  # its word
    data: str = "bundled"  # or a folder, or a Hub dataset
    encoder: str = "moonshine"  # or "small", a folder, a Hub id, or "random"
    cut_to_clip: bool = True  # Whisper takes the clip's own length; else 30 s, as others have it
    add: tuple[str, ...] = ()  # more data, for train only, such as synthetic clips
    adapt: str | None = None  # folder of unlabelled clips of the place where it will be used
    unknown: str = "bundled"  # clips of no intent: those in dataset/unknown, "none", or a folder
    config: str | None = None  # of the Hub dataset
    file_name: str = "file_name"  # columns; this one in CSV files, `audio` on the Hub
    audio: str = "audio"
    intent: str = "intent"
    speaker: str = "speaker"
    text: str | None = None  # what is said; None: the first of tables.TRANSCRIPTS that there is
    intents: tuple[str, ...] = ()  # names of intents that the data number
    test_share: float = 0.3  # where the data name no test split; as the recipe scooter has it
    validation_share: float = 0.15  # of the clips left for training
    by_speaker: bool = True  # hold out whole speakers where they are known
    drop_copies: bool = False  # leave recordings that are held out under another name out of train
    numbers: Hyperparameters = field(default_factory=Hyperparameters)
    note: str = ""  # what to know before quoting its figure
    task: str = "intent-classification"  # what its labels are, as a tag of the Hub
    license: str | None = None  # of the data, where their publishers name one and copies may not

    def __post_init__(self) -> None:
        """Raise `UserError` for a share of the clips that cannot be."""
        for name in ("test_share", "validation_share"):
            remedy = "give a share of the clips: above 0, below 1"
            check(name, getattr(self, name), lambda share: 0 < share < 1, remedy)

    def with_seed(self, seed: int) -> "Recipe":
        """Give the same recipe with another seed."""
        return replace(self, numbers=replace(self.numbers, seed=seed))

    def differences(self) -> dict[str, Any]:
        """Say for a record which recipe this is, and what of it differs; numbers left out."""
        usual = asdict(RECIPES[self.recipe])
        others = usual.keys() - {"recipe", "numbers", "note", "task", "license"}
        changed = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
            if name in others and value != usual[name]
        }
        return {"recipe": self.recipe, **changed}


def _read_recipes() -> dict[str, Recipe]:
    text = Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")
    return {name: _read_recipe(name, table) for name, table in tomllib.loads(text).items()}


def _read_recipe(name: str, table: dict[str, Any]) -> Recipe:
    numbers = Hyperparameters(**table.pop("numbers", {}))
    intents = tuple(table.pop("intents", ()))
    return Recipe(**table, recipe=name, intents=intents, numbers=numbers)


RECIPES = _read_recipes()
PLAIN = Recipe()


def resolve(name: str = "bundled", **given: Any) -> Recipe:
    """Take a recipe, by its word or from a file, with what is given and not None in place of its.

    `given` may hold fields of `Recipe` and of `Hyperparameters`; folders may be paths, and what is
    on the Hub an address. Raises `UserError` for a recipe that there is not, for a file that is
    none, and for a number or an address that cannot be.
    """
    recipe = RECIPES[name] if name in RECIPES else _read_file(str(name))
    return _with(recipe, given)


def _read_file(name: str) -> Recipe:
    """Read the settings of a user's own, or of a run; they begin with a recipe of ours."""
    if Path(name).suffix != ".toml" and not Path(name).is_file():
        remedy = f"name a file FILE.toml, or choose {listed(tuple(RECIPES))}"
        raise UserError(name, "there is no such recipe", remedy)
    given = settings.read(Path(name), get_type_hints(Recipe), get_type_hints(Hyperparameters))
    word = given.pop("recipe", "bundled")
    if word not in RECIPES:
        problem = f"begins with the recipe {word!r}, which there is not"
        raise UserError(name, problem, f"choose {listed(tuple(RECIPES))}")
    try:
        return _with(RECIPES[word], given)
    except UserError as error:
        raise UserError(name, f"{error.name}: {error.problem}", error.remedy) from error


def _with(recipe: Recipe, given: dict[str, Any]) -> Recipe:
    """Put what is given, and not None, in the place of a recipe's own."""
    given = {key: value for key, value in given.items() if value is not None}
    number_names = {number.name for number in fields(Hyperparameters)}
    numbers = {key: value for key, value in given.items() if key in number_names}
    others = {key: value for key, value in given.items() if key not in number_names}
    if "add" in others:
        others["add"] = tuple(repository(str(name), "dataset") for name in others["add"])
    for key in ("adapt", "unknown"):
        if key in others:
            others[key] = str(others[key])
    kinds: dict[str, Kind] = {"data": "dataset", "encoder": "model"}
    for key, kind in kinds.items():
        if key in others:
            others[key] = repository(str(others[key]), kind)
    if "data" in others:
        others.setdefault("note", "")  # the recipe's is about its own data
        if is_hub_id(others["data"]) and others["data"] != recipe.data:
            others.setdefault("license", None)  # a folder may be a copy of them
    return replace(recipe, **others, numbers=replace(recipe.numbers, **numbers))
