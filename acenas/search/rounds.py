"""The rounds of a search: fit the ranker to the observations, score the candidates, choose what to train next."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from typing_extensions import override

from acenas.errors import UserError
from acenas.evaluation import Evaluator
from acenas.files import atomic_path, write_text
from acenas.ranker import Ranker
from acenas.search.acquisition import Acquisition, BestAndRandom
from acenas.search.budget import check_budget
from acenas.search.candidates import Candidates, Score, Within
from acenas.search.events import RoundResult, SearchCallback
from acenas.seeds import numpy_generator
from acenas.spaces import GraphBatch, SearchSpace


@dataclass(frozen=True)
class SearchResult:
    """The result of a search.

    Attributes:
        observations: every architecture trained, in order: `arch`, `round`, `reason`, `observed_accuracy` in percent,
            `seconds` of training, and `returned`: what a search returns that ends after this training.
        scores: `arch`, then one column per fit: `pretrained` (where there was a pretraining), `round_1`, ...
    """

    observations: pd.DataFrame
    scores: pd.DataFrame


class Search(ABC):
    """Trains `budget` architectures in rounds; a subclass defines the size of each round and chooses its architectures.

    Every architecture that is trained counts: those of the first round, of the later ones, and the final candidates.
    After each round the ranker is fitted anew, from its pretrained weights, to all observations so far. So the state
    of a search is its observations, and a search that was killed resumes with the same result.

    Attributes:
        budget: architectures to train, all of them.
        candidates: the source of candidates in a space too large to list.
        constraints: upper limits on costs, by name; the caller passes only architectures that satisfy them.
        confidence: the least probability that another architecture is better than the best observed, without noise,
            for it to be returned instead; None for always the best observed. See `returned_after_each`.
    """

    budget: int
    confidence: float | None = None
    candidates: Candidates = Candidates()
    constraints: Mapping[str, float] | None = None

    @property
    @abstractmethod
    def round_sizes(self) -> list[int]:
        """The number of architectures of each round; they add up to the budget."""

    @property
    @abstractmethod
    def anytime(self) -> bool:
        """Whether a search with a smaller budget trains the first architectures of this one."""

    @abstractmethod
    def choose(
        self,
        number: int,
        space: SearchSpace,
        archs: Sequence[str],
        left: NDArray[np.int64],
        state: SearchState,
        generator: np.random.Generator,
    ) -> tuple[NDArray[np.int64], list[str]]:
        """Chooses the architectures of a round.

        Args:
            number: of the round, from 1.
            space: of the architectures.
            archs: everything that can be scored and chosen.
            left: positions in `archs` of what may be chosen: one per function, without those trained already.
            state: the observations and scores so far.
            generator: the only source of randomness.

        Returns:
            Distinct positions out of `left`, as many as `round_sizes` says, and the reason for each.
        """

    def extend(
        self,
        space: SearchSpace,
        archs: Sequence[str],
        scores: NDArray[np.floating],
        within: Within,
        score: Score,
        state: SearchState,
        generator: np.random.Generator,
    ) -> list[str]:
        """Returns further candidates for the next round, where a space is too large to list.

        Args:
            space: of the architectures.
            archs: all candidates so far.
            scores: of `archs`, by the ranker as fitted to all observations so far.
            within: checks the constraints.
            score: scores other architectures as `scores` does.
            state: the observations and scores so far.
            generator: the only source of randomness.

        Returns:
            Canonical forms that satisfy the constraints, none of them in `archs`.
        """
        return []

    def run(
        self,
        space: SearchSpace,
        archs: Sequence[str],
        graphs: GraphBatch,
        ranker: Ranker,
        evaluator: Evaluator,
        folder: Path,
        seed: int,
        callbacks: Sequence[SearchCallback] = (),
        pretrained: bool = True,
        within: Within | None = None,
    ) -> SearchResult:
        """Runs the rounds that are not done yet.

        Args:
            space: gives canonical forms and graphs.
            archs: the candidates; all of them satisfy the constraints.
            graphs: the graphs of `archs`, in their order.
            ranker: scores them; pretrained or fresh.
            evaluator: trains the chosen architectures; the only source of accuracies.
            folder: keeps `observations.parquet` and `scores.parquet`; a search found there is resumed.
            seed: drives every choice.
            callbacks: receive every round once, over all processes that worked on the search.
            pretrained: whether the ranker's scores have a meaning before the first round.
            within: checks the constraints of further candidates, where `archs` are only a sample of the space. After
                each round the candidates that `extend` returns are added, and have a row in the scores from then on.

        Raises:
            UserError: where the space has fewer distinct architectures than the budget asks for.
        """
        state = SearchState(folder, archs)
        if added := state.archs[len(archs) :]:  # by an earlier process
            graphs = GraphBatch.cat([graphs, space.encode(added)])
        candidates = np.array(space.distinct(state.archs), dtype=np.int64)
        if len(candidates) < self.budget:
            raise UserError(
                f"there are {len(candidates)} distinct architectures to choose from"
                + (" within search.constraints" if self.constraints else "")
                + f", fewer than search.budget={self.budget}; choose a smaller budget"
                + (" or higher limits" if self.constraints else "")
            )
        if pretrained and "pretrained" not in state.scores:
            state.add_scores("pretrained", ranker.score(graphs))
        sizes = self.round_sizes
        self._report(state, 0, callbacks)
        for callback in callbacks:
            callback.on_search_start(len(sizes), self.budget, state.rounds_done)
        for number in range(1, len(sizes) + 1):
            if number > state.rounds_done:
                left = candidates[~np.isin(candidates, state.trained)]
                generator = numpy_generator(seed, "acquisition", number)
                positions, reasons = self.choose(number, space, state.archs, left, state, generator)
                chosen = [state.archs[i] for i in positions]
                for callback in callbacks:
                    callback.on_round_start(number, chosen)
                observed = evaluator.evaluate(chosen)
                state.add_observations(
                    number, reasons, observed.archs, observed.observed_accuracy, observed.seconds
                )
            if f"round_{number}" not in state.scores:
                accuracies = torch.tensor(
                    state.observations["observed_accuracy"].to_numpy(), dtype=torch.float32
                )
                ranker.finetune(graphs[torch.from_numpy(state.trained)], accuracies, round=number)
                scores = ranker.score(graphs)
                if within is not None and number < len(sizes):
                    more = self.extend(
                        space,
                        state.archs,
                        scores.numpy(),
                        within,
                        lambda others: ranker.score(space.encode(others)).numpy(),
                        state,
                        numpy_generator(seed, "candidates", number),
                    )
                    if more:
                        candidates = np.append(candidates, np.arange(len(graphs), len(graphs) + len(more)))
                        more_graphs = space.encode(more)
                        graphs = GraphBatch.cat([graphs, more_graphs])
                        scores = torch.cat([scores, ranker.score(more_graphs)])
                        state.add_archs(more)
                state.add_scores(f"round_{number}", scores)
            self._report(state, number, callbacks)
        state.add_returned(self._returned(space, state.observations))
        for callback in callbacks:
            callback.on_search_end()
        return SearchResult(state.observations, state.scores)

    def _returned(self, space: SearchSpace, observations: pd.DataFrame) -> list[str]:
        from acenas.search.returned import returned_after_each  # imports scikit-learn, which takes seconds

        archs = observations["arch"].tolist()
        accuracies = observations["observed_accuracy"].to_numpy()
        positions = returned_after_each(
            space.encode(archs), accuracies, space.num_node_types, self.confidence
        )
        return [archs[i] for i in positions]

    def _report(self, state: SearchState, number: int, callbacks: Sequence[SearchCallback]) -> None:
        """Sends a round to the callbacks, unless an earlier process already did."""
        name = f"round_{number}" if number else "pretrained"
        if number < state.next_report or name not in state.scores:
            return
        seen = state.observations[state.observations["round"] <= number]
        result = RoundResult(
            stage="search" if number else "pretrain",
            round=number,
            rounds=len(self.round_sizes),
            trained=len(seen),
            budget=self.budget,
            archs=state.archs,
            scores=state.scores[name].to_numpy(),
            observations=seen,
        )
        for callback in callbacks:
            callback.on_round_end(result)
        state.set_reported(number)


@dataclass(eq=False)
class BudgetedSearch(Search):
    """Trains `budget` architectures in rounds and learns to rank from them (AceNAS, algorithm 1).

    Attributes:
        budget: architectures to train, all of them.
        per_round: architectures of a round, at least.
        growth: the least size of a round as a share, rounded down, of what was trained before it; 0 for equal rounds.
            After many observations a few more change the ranker little, and each round costs a finetuning.
        num_final: architectures of a last round, chosen by `final`; 0 for none.
        first: chooses the first round by the scores of the pretrained ranker; without pretraining it is random.
        acquisition: chooses the other rounds.
        final: chooses the last round, where `num_final` is not 0.
        confidence: see `Search`; above 0.5 and below 1.
        constraints: see `Search`.
        candidates: see `Search`: a sample, and an evolution from the best scores.

    Raises:
        UserError: for a number outside its range.
    """

    budget: int = 100
    per_round: int = 3
    growth: float = 0.15
    num_final: int = 0
    first: Acquisition = BestAndRandom(best=0.0, part=0.1)  # noqa: RUF009 (frozen)
    acquisition: Acquisition = BestAndRandom()  # noqa: RUF009 (frozen)
    final: Acquisition = BestAndRandom()  # noqa: RUF009 (frozen)
    confidence: float | None = 0.95
    constraints: Mapping[str, float] | None = None
    candidates: Candidates = Candidates()  # noqa: RUF009 (frozen)

    def __post_init__(self) -> None:
        check_budget(self.budget, self.per_round, self.num_final, self.growth)
        if self.confidence is not None and not 0.5 < self.confidence < 1:
            raise UserError(
                f"search.confidence={self.confidence} must be above 0.5 and below 1, or null for the best observed"
            )

    @property
    @override
    def round_sizes(self) -> list[int]:
        sizes: list[int] = []
        while left := self.budget - self.num_final - sum(sizes):
            sizes.append(min(max(self.per_round, int(self.growth * sum(sizes))), left))
        return [*sizes, self.num_final] if self.num_final else sizes

    @property
    @override
    def anytime(self) -> bool:
        """Whether there is no last round of its own, and all rules are `one_by_one`."""
        rules = (self.first, self.acquisition)
        return not self.num_final and all(rule.one_by_one(max(self.round_sizes)) for rule in rules)

    @override
    def choose(
        self,
        number: int,
        space: SearchSpace,
        archs: Sequence[str],
        left: NDArray[np.int64],
        state: SearchState,
        generator: np.random.Generator,
    ) -> tuple[NDArray[np.int64], list[str]]:
        """Chooses by the latest scores."""
        sizes = self.round_sizes
        rule = self._rule(number, len(sizes), scored=len(state.scores.columns) > 1)
        positions, reasons = rule.propose(state.last_scores[left], sizes[number - 1], generator)
        return left[positions], reasons

    @override
    def extend(
        self,
        space: SearchSpace,
        archs: Sequence[str],
        scores: NDArray[np.floating],
        within: Within,
        score: Score,
        state: SearchState,
        generator: np.random.Generator,
    ) -> list[str]:
        """Returns what evolves from the candidates with the best scores."""
        return self.candidates.evolve(space, archs, scores, within, score, generator)

    def _rule(self, number: int, rounds: int, scored: bool) -> Acquisition:
        if self.num_final and number == rounds:
            return self.final
        if number > 1:
            return self.acquisition
        return self.first if scored else BestAndRandom(best=0.0)  # without scores at random


class SearchState:
    """The files of a search: observations, scores, and which rounds the callbacks have received."""

    def __init__(self, folder: Path, archs: Sequence[str]) -> None:
        self._observations_file = folder / "observations.parquet"
        self._scores_file = folder / "scores.parquet"
        self._reported_file = folder / "rounds_reported.json"
        self.observations = (
            pd.read_parquet(self._observations_file)
            if self._observations_file.exists()
            else pd.DataFrame(
                {
                    "arch": pd.Series(dtype=str),
                    "round": pd.Series(dtype=np.int64),
                    "reason": pd.Series(dtype=str),
                    "observed_accuracy": pd.Series(dtype=np.float64),
                    "seconds": pd.Series(dtype=np.float64),
                }
            )
        )
        self.scores = (
            pd.read_parquet(self._scores_file)
            if self._scores_file.exists()
            else pd.DataFrame({"arch": list(archs)})
        )
        self.archs: list[str] = self.scores["arch"].tolist()
        """The candidates: those that the search began with, then those it added."""
        self._position = {arch: i for i, arch in enumerate(self.archs)}
        written = self._reported_file.read_text() if self._reported_file.exists() else '{"next": 0}'
        self.next_report: int = json.loads(written)["next"]
        """The first round that the callbacks have not received; 0 is the pretraining."""

    @property
    def rounds_done(self) -> int:
        """The last round whose architectures are trained."""
        return int(self.observations["round"].max()) if len(self.observations) else 0

    @property
    def trained(self) -> np.ndarray:
        """Positions `[n]` of the architectures trained so far, in order."""
        return np.array([self._position[arch] for arch in self.observations["arch"]], dtype=np.int64)

    @property
    def last_scores(self) -> np.ndarray:
        """`[A]`: the latest scores; all equal where there are none yet."""
        fits = self.scores.columns[1:]
        return self.scores[fits[-1]].to_numpy() if len(fits) else np.zeros(len(self.scores), dtype=np.float32)

    def add_observations(
        self, number: int, reasons: list[str], archs: Sequence[str], accuracy: np.ndarray, seconds: np.ndarray
    ) -> None:
        """Adds the architectures of a round."""
        new = pd.DataFrame(
            {
                "arch": list(archs),
                "round": number,
                "reason": reasons,
                "observed_accuracy": np.asarray(accuracy, dtype=np.float64),
                "seconds": np.asarray(seconds, dtype=np.float64),
            }
        )
        both = [self.observations, new] if len(self.observations) else [new]
        self._write(pd.concat(both, ignore_index=True))

    def add_returned(self, archs: Sequence[str]) -> None:
        """Adds what a search returns that ends after each training."""
        self._write(self.observations.assign(returned=list(archs)))

    def _write(self, observations: pd.DataFrame) -> None:
        self.observations = observations
        with atomic_path(self._observations_file) as path:
            observations.to_parquet(path, index=False)

    def add_archs(self, archs: Sequence[str]) -> None:
        """Adds candidates; their scores by earlier fits are NaN. They are written with the next scores."""
        self._position |= {arch: i for i, arch in enumerate(archs, start=len(self.archs))}
        self.archs = [*self.archs, *archs]
        if archs:
            self.scores = pd.concat([self.scores, pd.DataFrame({"arch": list(archs)})], ignore_index=True)

    def add_scores(self, name: str, scores: torch.Tensor) -> None:
        """Adds the scores `[A]` of a fit."""
        column = pd.Series(scores.detach().cpu().numpy().astype(np.float32), name=name)
        self.scores = pd.concat([self.scores, column], axis=1)
        with atomic_path(self._scores_file) as path:
            self.scores.to_parquet(path, index=False)

    def set_reported(self, number: int) -> None:
        """Records that the callbacks have received round `number`."""
        self.next_report = number + 1
        write_text(self._reported_file, json.dumps({"next": self.next_report}))
