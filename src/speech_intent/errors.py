"""Everything that a user can put right, as exceptions of one family.

The command lines catch `UserError` and print it as one line. Any other exception is a fault of
ours, and keeps its traceback.
"""

from collections.abc import Iterable
from pathlib import Path

from .names import printable


class UserError(Exception):
    """Something that its user can put right: what it is about, what is wrong, what to do."""

    def __init__(self, name: str | Path, problem: str, remedy: str):
        super().__init__(name, problem, remedy)  # what pickle hands to the copy
        self.name = str(name)
        self.problem = problem
        self.remedy = remedy

    @property
    def reason(self) -> str:
        """What is wrong and what to do, for a place that names the thing itself."""
        return f"{self.problem}; {self.remedy}"

    def __str__(self) -> str:
        """Say it in one line."""
        return f"{printable(self.name)}: {self.reason}"


class AudioError(UserError):
    """A clip that cannot be used."""


class ModelError(UserError):
    """A model that cannot be used."""


class HubUnreachable(ModelError):
    """The Hub did not answer, and the model is not in the local cache."""


class OutputError(UserError):
    """A folder that results cannot go to."""


class DataError(UserError):
    """A dataset that cannot be used, with everything that is wrong with it."""

    def __init__(self, name: str | Path, problems: Iterable[str]):
        self.problems = tuple(problems)
        super().__init__(name, "cannot be used", "; ".join(self.problems))
        self.args = (name, self.problems)

    def __str__(self) -> str:
        """List everything, a line each."""
        lines = (f"  - {problem}" for problem in self.problems)
        return "\n".join([f"{self.name} cannot be used:", *lines])
