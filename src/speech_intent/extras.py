"""What a user may ask for beside a training; none of it is a number of the recipe."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import UserError
from .recipes import Recipe

if TYPE_CHECKING:
    from .pushing import Pusher

SEARCH = "--search"
REPORT_TO = "--report-to"
PUSH_TO = "--push-to"


@dataclass(frozen=True)
class Extras:
    """A search for better numbers, trackers, and a place on the Hub."""

    n_trials: int | None = None  # of a search before the training
    report_to: tuple[str, ...] = ()  # trackers, as transformers calls them
    push_to: str | None = None  # a repository on the Hub
    pusher: "Pusher | None" = None  # its own; puts each better checkpoint there
    searched: dict[str, Any] | None = None  # what a search found, for the record


NO_EXTRAS = Extras()


def check(extras: Extras, recipes: Sequence[Recipe], protocol: str | None) -> None:
    """Raise `UserError` for what does not go together."""
    for option, is_asked in (
        (SEARCH, extras.n_trials is not None),
        (REPORT_TO, bool(extras.report_to)),
        (PUSH_TO, extras.push_to is not None),
    ):
        if is_asked and protocol:
            problem = "is about one model, and a protocol trains several"
            raise UserError(option, problem, "leave it or --protocol out")
        if is_asked and len(recipes) > 1 and option != REPORT_TO:
            problem = f"is about one model, and there are {len(recipes)} encoders"
            raise UserError(option, problem, "name one --encoder")
        if is_asked and recipes[0].numbers.freeze == "encoder" and option != PUSH_TO:
            problem = "has no effect with --freeze encoder, which has no epochs"
            raise UserError(option, problem, "leave one of them out")
