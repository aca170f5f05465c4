"""The ranker of a study: pretrained on weak labels, fitted to what is known, asked for scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from acenas.errors import UserError
from acenas.evaluation.labels import counted_by_default, informative
from acenas.evaluation.objective import for_float32
from acenas.ranker import Ranker
from acenas.search.inputs import Labels, weak_labels_of
from acenas.search.state import STOPPED, StudyState, averaged
from acenas.search.stopping import Stopping
from acenas.spaces import GraphBatch
from acenas.tables import WeakLabels

FOLDER = "pretrain"
"""In the folder of a study: what its ranker is pretrained on, and the pretrained ranker."""


class Fitting:
    """Scores all that can be chosen, by a ranker that is pretrained once and fitted anew after each round.

    Args:
        ranker: scores architectures.
        state: what is known of them.
        folder: of the study.
        seed: of the sample that is labelled.
        given: weak labels to pretrain on. Frames are read at once; a function, or names of what can be counted, when
            the ranker is first used. None for those of the folder, or else for what can be counted.
        pretrained: whether `ranker` was pretrained already; None for one that is pretrained here.
        stopping: says what trainings that were stopped would have shown.

    Attributes:
        labels: the weak labels where they are known, else what they are made of.
        pretrained: whether the ranker is, or will be, pretrained.

    Raises:
        UserError: where the folder's study has other weak labels.
    """

    def __init__(
        self,
        ranker: Ranker,
        state: StudyState,
        folder: Path,
        seed: int,
        given: Labels | None,
        pretrained: bool | None,
        stopping: Stopping,
    ) -> None:
        self.ranker = ranker
        self.stopping = stopping
        self.state = state
        self.seed = seed
        self.folder = folder / FOLDER
        self.file = self.folder / "weak_labels.parquet"
        self.labels: Labels = [] if pretrained is not None else self._read(given)
        has_labels = not (isinstance(self.labels, Sequence) and not self.labels)
        self.pretrained = has_labels if pretrained is None else pretrained
        self._ready = pretrained is not None
        self._fitted: int | None = None
        """The round of the last fit."""

    def _read(self, given: Labels | None) -> Labels:
        space = self.state.space
        if given is None:
            return (
                WeakLabels.load(self.file, space=space.name)
                if self.file.exists()
                else counted_by_default(space)
            )
        if isinstance(given, pd.DataFrame | WeakLabels):
            given = weak_labels_of(space, [], given, self.folder)
            if self.file.exists() and not WeakLabels.load(self.file).frame().equals(given.frame()):
                raise UserError(
                    f"{self.folder.parent} holds a study with other weak labels; choose another folder"
                )
        return given

    @property
    def known_labels(self) -> WeakLabels | None:
        """The weak labels; None where they are not made yet, or there are none."""
        return self.labels if isinstance(self.labels, WeakLabels) else None

    def save_labels(self) -> None:
        """Writes the weak labels into the folder, where they are known."""
        if self.known_labels is not None:
            self.known_labels.save(self.file)

    def first_scores(self) -> NDArray[np.floating] | None:
        """`[A]`: scores of the pretrained ranker; None where there is nothing to pretrain on."""
        self._pretrain()
        return self._scores(self.state.graphs) if self.pretrained else None

    def fit(self, number: int) -> NDArray[np.floating]:
        """Fits the ranker to all that was told and given, after round `number`; returns `[A]` scores.

        At least one training must have worked. A ranker that continues from its last fit, and this was not the round
        before, is fitted to all rounds again.
        """
        self._pretrain()
        rounds = [number]
        if self.ranker.continues and self._fitted != number - 1:
            self.ranker.forget()
            rounds = list(range(number + 1))
        for each in rounds:
            self._finetune(each)
        self._fitted = number
        return self._scores(self.state.graphs)

    def _finetune(self, number: int) -> None:
        """Fits the ranker to what was known after round `number`, where a training had worked by then.

        What was trained several times shows the mean. What failed is taken for the worst that worked, and for worse
        where all that worked are alike: with one alone, nothing would tell it from the failures.
        """
        state = self.state
        archs, utilities = state.known
        count = len(state.given) + int((state.finished["round"] <= number).sum())
        first, utilities = averaged(archs[:count], utilities[:count])
        if np.isnan(utilities).all():
            return
        failed = worst = np.nanmin(utilities)
        if worst == np.nanmax(utilities):
            failed -= max(abs(worst), 1.0)
        observed = np.where(np.isnan(utilities), failed, utilities)
        graphs, (stopped, expected) = state.known_graphs[torch.from_numpy(first)], self._stopped(number)
        if stopped:
            graphs = GraphBatch.cat([graphs, state.graphs_of(stopped)])
            observed = np.concatenate([observed, expected])
        self.ranker.finetune(graphs, torch.tensor(for_float32(observed), dtype=torch.float32), round=number)

    def _stopped(self, number: int) -> tuple[list[str], NDArray[np.float64]]:
        """What was stopped early up to round `number`, and the utilities `[n]` that it would have in the end."""
        trials = self.state.trials
        stopped = trials["arch"][trials["state"] == STOPPED].tolist()
        if not stopped or self.stopping.extrapolation is None:
            return [], np.zeros(0)
        past = self.state.past(number + 1)
        found = self.stopping.extrapolation.utilities(past, self.stopping.lengths(past.full), stopped)
        told = np.isfinite(found)
        return [arch for arch, keep in zip(stopped, told.tolist(), strict=True) if keep], found[told]

    def score(self, archs: Sequence[str]) -> NDArray[np.floating]:
        """`[n]`: scores of other architectures, in canonical form, by the last fit."""
        return self._scores(self.state.space.encode(archs))

    def _scores(self, graphs: GraphBatch) -> NDArray[np.floating]:
        return self.ranker.score(graphs).detach().cpu().numpy()

    def _pretrain(self) -> None:
        """Pretrains the ranker, or loads it, where that was not done yet; makes the weak labels for it."""
        if self._ready or not self.pretrained:
            return
        space = self.state.space
        if not isinstance(self.labels, WeakLabels):
            if not self.file.exists():
                archs = [self.state.archs[i] for i in self.state.candidates]
                made = weak_labels_of(space, archs, self.labels, self.folder, self.seed)
                informative(made).save(self.file)
            self.labels = WeakLabels.load(self.file, space=space.name)
        if not self.labels.names:
            self.pretrained = False
            return
        done = self.folder / "ranker.pt"
        if done.exists():
            self.ranker.load(done)
        else:
            self.ranker.pretrain(
                space.canonical_graphs(self.labels.archs),
                torch.tensor(self.labels.frame().to_numpy(), dtype=torch.float32),
                label_names=self.labels.names,
                folder=self.folder,
            )
            self.ranker.save(done)
        self._ready = True
