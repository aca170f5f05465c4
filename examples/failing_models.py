"""Models of scikit-learn on a table, some of which fail: a failure is a result, and the search goes on."""

from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import acenas
from acenas import Choice

SPACE = acenas.Choices(
    {
        "model": ["logistic", "boosting", "svm"],
        "penalty": Choice(["l1", "l2", "elasticnet"], when={"model": "logistic"}),
        "solver": Choice(["lbfgs", "liblinear", "saga"], when={"model": "logistic"}),
        "C": Choice([0.01, 0.1, 1.0, 10.0], when={"model": ["logistic", "svm"]}),
        "kernel": Choice(["rbf", "poly", "precomputed"], when={"model": "svm"}),
        "depth": Choice([1, 2, 4, 8], when={"model": "boosting"}),
        "rate": Choice([0.03, 0.1, 0.3], when={"model": "boosting"}),
    }
)


def train(model: str, **choices: object) -> float:
    """Accuracy in percent, cross-validated. Not every solver knows every penalty, so some of these raise."""
    match model:
        case "logistic":
            made = LogisticRegression(**choices, l1_ratio=0.5, max_iter=200)
        case "svm":
            made = SVC(**choices)
        case _:
            made = HistGradientBoostingClassifier(
                max_depth=choices["depth"], learning_rate=choices["rate"], max_iter=30
            )
    table, target = load_breast_cancer(return_X_y=True)
    scores = cross_val_score(make_pipeline(StandardScaler(), made), table, target, cv=3, error_score="raise")
    return 100 * float(scores.mean())


if __name__ == "__main__":
    study = acenas.Study(SPACE, budget=15, folder="lab")
    while trials := study.ask():
        for trial in trials:
            try:
                study.tell(trial, train(**trial.choices))
            except Exception as error:
                study.fail(trial, f"{type(error).__name__}: {error}")
    print(study.returned)
    print(study.observations[["arch", "state", "observed_accuracy", "message"]].to_string())
