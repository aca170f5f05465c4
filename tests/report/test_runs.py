from acenas.report import runs
from acenas.report.summary import build_summary
from tests.report.example import finished_search


def test_the_headline_says_what_came_out() -> None:
    lines = runs.headline(build_summary(finished_search())).splitlines()
    assert lines[0] == "debug on nb201 cifar10, seed 3: 4 architectures trained in 6 s"
    assert lines[1] == "Returned: <f>"
    assert (
        lines[2]
        == "Observed accuracy 85.00 %, test accuracy 86.00 %; the best known has 88.00 % (test regret 2.00 points)."
    )
    assert lines[3] == "Ranking of the space: NDCG@10 1.000, Kendall 1.000."
