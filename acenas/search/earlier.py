"""What an earlier search of the same space found, as a weak label for the next one."""

from pathlib import Path

import numpy as np

from acenas.errors import UserError
from acenas.evaluation.objective import Objective
from acenas.search.description import STUDY, read_description
from acenas.search.state import StudyState, normal_scores
from acenas.spaces import SearchSpace
from acenas.tables import WeakLabels
from acenas.tables.schema import Provenance


def earlier_ranking(folder: str | Path, space: SearchSpace) -> WeakLabels:
    """How a search ranked architectures in the end, on other data or for another objective.

    These are normal scores: of the last scores of its ranker, for all that it could choose, or of what it observed,
    where it had no ranker.

    Args:
        folder: of a run or a study; it need not be finished.
        space: its space.

    Returns:
        A label `weak.from_<name of the folder>`, higher is better. The trainings that it took are in its provenance.

    Raises:
        UserError: where the folder holds no search, one of another space, or one without a training.
    """
    folder = Path(folder)
    kept = read_description(folder)
    if not kept:
        raise UserError(f"{folder} holds no search ({STUDY}); name the folder of a run or a study")
    if kept.get("space") != space.name:
        raise UserError(f"{folder} searched the space {kept.get('space')}, not {space.name}")
    state = StudyState(folder, space, Objective.of(kept["objective"]))
    state.read()
    archs, values = state.known
    if not np.isfinite(values).any():
        raise UserError(f"{folder} has no training yet whose outcome says anything")
    trainings = len(archs)
    if len(state.scores.columns) > 1:
        archs, values = state.archs, state.last_scores.astype(np.float64)
    first = list(dict.fromkeys(archs))
    rows = [archs.index(arch) for arch in first] if len(first) < len(archs) else slice(None)
    name = f"weak.from_{''.join(c if c.isalnum() and c.isascii() else '_' for c in folder.resolve().name)}"
    found = Provenance("none", "none", f"{trainings} trainings of an earlier search, not in the budget")
    return WeakLabels(space.name, first, [name], normal_scores(values)[rows, None], {name: found})
