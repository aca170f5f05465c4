"""How well weak labels rank what is known."""

import numpy as np
import pytest
from scipy.stats import kendalltau

from acenas.run.stages.labels import label_quality
from acenas.spaces import NasBench201
from acenas.tables import Provenance, WeakLabels

SPACE = NasBench201()


def test_labels_of_a_part_are_ranked_over_that_part() -> None:
    archs = [arch for arch in SPACE.enumerate() if SPACE.connected(arch)][:40]
    random = np.random.default_rng(0)
    accuracy, label = random.uniform(size=(2, 40))
    accuracy[3] = np.nan  # its training failed
    values = np.full((20, 3), np.nan)
    values[:, 0], values[0, 1] = label[:20], 1.0
    names = ["weak.supernet", "weak.one", "weak.none"]
    labels = WeakLabels(SPACE.name, archs[:20], names, values, dict.fromkeys(names, Provenance()))
    both = [i for i in range(20) if i != 3]
    quality = label_quality(labels, SPACE, archs, accuracy, [])
    expected = kendalltau(label[both], accuracy[both]).statistic
    assert quality == {"weak.supernet": {"kendall": pytest.approx(expected), "architectures": 19}}
    assert label_quality(labels, SPACE, [], np.zeros(0), []) == {}
