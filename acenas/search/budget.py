"""The check of a search's numbers of trainings. Imports nothing heavy: a configuration is checked by it at once."""

from numbers import Integral

from acenas.errors import UserError


def check_budget(
    budget: int | None,
    budget_epochs: float | None = None,
    *,
    per_round: int = 1,
    num_final: int = 0,
    growth: float = 0.0,
    num_first: int = 0,
    rounds: int = 0,
) -> None:
    """Checks that the rounds of a search fit its budget.

    Args:
        budget: architectures to train, all of them; None for as many as `budget_epochs` allow.
        budget_epochs: of all trainings together; None for no bound.
        per_round: architectures of a round, at least.
        num_final: architectures of a last round of its own.
        growth: the least size of a round as a share of what was trained before it.
        num_first: architectures of the first round, at least.
        rounds: of equal size, before the last one; 0 for such of `per_round`.

    Raises:
        UserError: for a number outside its range.
    """
    if budget_epochs is not None:
        if not budget_epochs > 0:
            raise UserError(f"search.budget_epochs={budget_epochs} must be above 0")
        for name, value in {"num_final": num_final, "rounds": rounds}.items():
            if value:
                raise UserError(
                    f"search.{name}={value} is of a budget of trainings; where epochs are counted nobody knows how "
                    f"many these will be: choose search.{name}=0"
                )
        if budget is None:
            budget = 1
    if not isinstance(budget, Integral):
        raise UserError(f"search.budget={budget!r} must be a whole number")
    if not 0 <= num_final < budget or per_round < 1 or min(growth, num_first, rounds) < 0:
        raise UserError(
            f"search.budget={budget} must be larger than search.num_final={num_final}, "
            f"search.per_round={per_round} at least 1, search.growth={growth}, search.num_first={num_first} and "
            f"search.rounds={rounds} at least 0"
        )
