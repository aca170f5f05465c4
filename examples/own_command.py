"""A training that is a program, in any language: here this file, started for each architecture by itself."""

import argparse
import json
import sys
from pathlib import Path

from sklearn.datasets import load_diabetes
from sklearn.model_selection import cross_val_score
from sklearn.neural_network import MLPRegressor


def train(choices: dict[str, object], out: Path) -> None:
    """Trains one network and writes its mean absolute error."""
    table, target = load_diabetes(return_X_y=True)
    layers = [choices["width"]] * int(choices["depth"])  # type: ignore[call-overload]
    options = {"activation": choices["activation"], "alpha": choices["decay"]}
    network = MLPRegressor(hidden_layer_sizes=layers, **options, max_iter=60, random_state=0)
    errors = -cross_val_score(network, table, target, cv=3, scoring="neg_mean_absolute_error")
    out.write_text(json.dumps({"error": errors.mean()}))


def main() -> None:
    """Searches with four programs at once."""
    import acenas
    from acenas.evaluation.command import CommandEvaluator

    space = acenas.Choices(
        {
            "width": [8, 16, 32, 64],
            "depth": [1, 2, 3],
            "activation": ["relu", "tanh", "logistic"],
            "decay": [1e-4, 1e-2, 1.0],
        }
    )
    command = f"{sys.executable} -W ignore {Path(__file__).resolve()} --choices {{choices}} --out {{out}}"
    evaluator = CommandEvaluator(space, command, "lab/trained", key="error", time_limit=300, jobs=4)
    study = acenas.search(space, evaluator, budget=9, folder="lab", objective="min error")
    print(study.returned)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--choices", type=json.loads)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.choices:
        train(options.choices, options.out)
    else:
        main()
