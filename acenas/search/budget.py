"""The check of a search's budget. It imports nothing heavy: the command makes it before anything else."""

from acenas.errors import UserError


def check_budget(budget: int, per_round: int = 1, num_final: int = 0, growth: float = 0.0) -> None:
    """Raises `UserError` where rounds of these sizes cannot be; the arguments are those of `BudgetedSearch`."""
    if not 0 <= num_final < budget or per_round < 1 or growth < 0:
        raise UserError(
            f"search.budget={budget} must be larger than search.num_final={num_final}, "
            f"search.per_round={per_round} at least 1, and search.growth={growth} at least 0"
        )
