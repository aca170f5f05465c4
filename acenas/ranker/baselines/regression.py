"""Regression and boosted trees on rows of features of the graphs and weak labels."""

import importlib
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestRegressor
from torch import Tensor
from typing_extensions import override

from acenas.errors import UserError
from acenas.ranker.baselines.weak_labels import RememberingRanker
from acenas.ranker.gaussian_process import most_likely_process
from acenas.ranking import relevance
from acenas.seeds import derive_seed
from acenas.spaces import SearchSpace
from acenas.spaces.features import Features, Rows
from acenas.spaces.graphs import GraphBatch


@dataclass(eq=False)
class RowRanker(RememberingRanker):
    """Fits a model to the observed accuracies, anew in every round, on one row of features per architecture.

    A row contains the features of a graph and, after pretraining, the standardised weak labels. Without pretraining
    (`weak_labels=[]`) it contains the features alone.

    Attributes:
        space: of the architectures to rank.
        features: makes the features, called with `space.num_node_types` (in YAML the class, a `_partial_`); None for
            those of the space.
        seed: of the run.
    """

    space: SearchSpace
    features: Callable[[int], Features] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        super().__init__()
        self._features = (self.features or self.space.features)(self.space.num_node_types)
        self._fitted = False

    @override
    def finetune(self, graphs: GraphBatch, accuracies: Tensor, *, round: int) -> None:
        if len(graphs) != len(accuracies):
            raise ValueError(f"{len(graphs)} graphs, but {len(accuracies)} accuracies")
        self._features.fit(graphs)
        self.fit_rows(self._rows(graphs), accuracies.double(), derive_seed(self.seed, "finetune", round))
        self._fitted = True

    @override
    def score(self, graphs: GraphBatch) -> Tensor:
        if not self._fitted:
            return super().score(graphs)
        return torch.from_numpy(np.asarray(self.score_rows(self._rows(graphs)))).float()

    @abstractmethod
    def fit_rows(self, rows: Rows, accuracies: Tensor, seed: int) -> None:
        """Fits the model to `rows` and their accuracies `[n]`, float64, percent; all chance comes from `seed`."""

    @abstractmethod
    def score_rows(self, rows: Rows) -> NDArray[np.floating]:
        """Returns the scores `[n]`, each a function of its row alone."""

    def _rows(self, graphs: GraphBatch) -> Rows:
        return np.concatenate([self._features.rows(graphs), self.remembered(graphs)], axis=1)


@dataclass(eq=False)
class GaussianProcessRanker(RowRanker):
    """Gaussian process regression with a Matérn kernel and noise; the score is the posterior mean.

    Attributes:
        smoothness: of the Matérn kernel, ν: 0.5, 1.5 or 2.5, or infinity for an RBF kernel.
        restarts: of the maximisation of the marginal likelihood, beside that from the initial kernel.
        clip: whether to regress on the relevance, in which all of the worst fifth are equal, instead of the accuracy.
            Networks that did not learn at all are outliers, which would otherwise set the scale of the process.
    """

    smoothness: float = 2.5
    restarts: int = 1
    clip: bool = True

    @override
    def fit_rows(self, rows: Rows, accuracies: Tensor, seed: int) -> None:
        targets = (relevance(accuracies) if self.clip else accuracies).numpy()
        self._process = most_likely_process(rows, targets, self.smoothness, self.restarts, seed % 2**32)

    @override
    def score_rows(self, rows: Rows) -> NDArray[np.floating]:
        return self._process.predict(rows)  # type: ignore[no-any-return]


@dataclass(eq=False)
class RandomForestRanker(RowRanker):
    """Random forest regression.

    Attributes:
        trees: of the forest.
        max_features: the part of the columns looked at for a split.
        min_samples_leaf: observed architectures of a leaf.
        bootstrap: each tree sees a sample drawn with replacement, rather than all.
    """

    trees: int = 300
    max_features: float = 0.3
    min_samples_leaf: int = 1
    bootstrap: bool = True

    @override
    def fit_rows(self, rows: Rows, accuracies: Tensor, seed: int) -> None:
        self._forest = RandomForestRegressor(
            self.trees,
            max_features=self.max_features,
            min_samples_leaf=self.min_samples_leaf,
            bootstrap=self.bootstrap,
            random_state=seed % 2**32,
        ).fit(rows, accuracies.numpy())

    @override
    def score_rows(self, rows: Rows) -> NDArray[np.floating]:
        return self._forest.predict(rows)  # type: ignore[no-any-return]


# --- boosted trees ---


def graded(accuracies: Tensor, grades: int) -> NDArray[np.int64]:
    """Returns the relevance of `accuracies` `[n]` as integers from 0 to `grades`, as boosting libraries require.

    >>> graded(torch.tensor([10.0, 50.0, 60.0, 70.0, 80.0, 90.0]), grades=10).tolist()
    [0, 0, 2, 5, 8, 10]
    """
    return relevance(accuracies, scale=grades).round().long().numpy()


@dataclass(eq=False)
class BoostedTreesRanker(RowRanker):
    """Gradient boosted trees of an optional library with a LambdaMART objective; all that was observed is one query.

    Attributes:
        rounds: of boosting.
        learning_rate: of each round.
        colsample: the part of the columns that a tree sees.
        grades: the highest relevance; the gain of the best is 2^grades - 1.

    Raises:
        UserError: where the library is not installed.
    """

    library = ""
    rounds: int = 100
    learning_rate: float = 0.1
    colsample: float = 0.5
    grades: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            self._library = importlib.import_module(self.library)
        except ImportError as error:
            raise UserError(
                f"ranker={self.library} needs the package {self.library}, which cannot be imported ({error}); install "
                f"acenas with its extra 'baselines', or: pip install {self.library}"
            ) from error


@dataclass(eq=False)
class XGBoostRanker(BoostedTreesRanker):
    """XGBoost with its objective `rank:ndcg`.

    Attributes:
        max_depth: of a tree.
    """

    library = "xgboost"
    max_depth: int = 3

    @override
    def fit_rows(self, rows: Rows, accuracies: Tensor, seed: int) -> None:
        parameters = {
            "objective": "rank:ndcg",
            "eta": self.learning_rate,
            "max_depth": self.max_depth,
            "colsample_bytree": self.colsample,
            "min_child_weight": 0,  # a bound on the second derivatives, which are far below 1 for so few rows
            "lambdarank_pair_method": "mean",
            "lambdarank_num_pair_per_sample": 8,
            "nthread": 1,
            "seed": seed % 2**31,
        }
        queries = np.zeros(len(rows), dtype=int)
        data = self._library.DMatrix(rows, graded(accuracies, self.grades), qid=queries)
        self._trees = self._library.train(parameters, data, self.rounds)

    @override
    def score_rows(self, rows: Rows) -> NDArray[np.floating]:
        return self._trees.predict(self._library.DMatrix(rows))  # type: ignore[no-any-return]


@dataclass(eq=False)
class LightGBMRanker(BoostedTreesRanker):
    """LightGBM with its objective `lambdarank`.

    Attributes:
        leaves: of a tree.
        min_leaf: observed architectures of a leaf; the library's 20 would leave few dozens unsplit.
    """

    library = "lightgbm"
    leaves: int = 8
    min_leaf: int = 2
    grades: int = 10

    @override
    def fit_rows(self, rows: Rows, accuracies: Tensor, seed: int) -> None:
        parameters = {
            "objective": "lambdarank",
            "learning_rate": self.learning_rate,
            "num_leaves": self.leaves,
            "min_data_in_leaf": self.min_leaf,
            "min_sum_hessian_in_leaf": 1e-5,  # second derivatives are small for so few rows (at 0 the library breaks)
            "min_data_in_bin": 1,
            "feature_fraction": self.colsample,
            "lambdarank_truncation_level": 100_000,  # pairs of all, not only those with one of the first 30
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": 1,
            "verbosity": -1,
            "seed": seed % 2**31,
        }
        grades = graded(accuracies, self.grades)
        data = self._library.Dataset(rows, grades, group=[len(rows)], params=parameters)
        self._trees = self._library.train(parameters, data, self.rounds)

    @override
    def score_rows(self, rows: Rows) -> NDArray[np.floating]:
        return self._trees.predict(rows, num_threads=1)  # type: ignore[no-any-return]
