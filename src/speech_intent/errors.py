"""Everything that a user can put right, as exceptions of one family.

The command lines catch `UserError` and print it as one line. Any other exception is a fault of
ours, and keeps its traceback.
"""

from collections.abc import Iterable
from pathlib import Path

from .names import printable, shortened

MOST_PROBLEMS = 20  # of a dataset that are printed


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
        return printable(f"{self.name}: {self.reason}")


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
        super().__init__(name, "cannot be used", "; ".join(self._printed()))
        self.args = (name, self.problems)

    def _printed(self) -> list[str]:
        """Give the first problems, a line each, and say how many there are besides."""
        lines = [shortened(printable(problem)) for problem in self.problems[:MOST_PROBLEMS]]
        n_more = len(self.problems) - len(lines)
        return [*lines, f"and {n_more:,} more"] if n_more else lines

    def __str__(self) -> str:
        """List what is wrong, a line each."""
        lines = (f"  - {line}" for line in self._printed())
        return "\n".join([f"{self.name} cannot be used:", *lines])
