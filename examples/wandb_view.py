"""A saved view of W&B that compares methods: test accuracy and NDCG@10 against trained, grouped by method, with bands.

pip install wandb-workspaces; wandb login
python examples/wandb_view.py ENTITY [PROJECT]    # the person or team that the runs are sent to; prints the address
"""

import sys

import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws
from wandb_workspaces import expr

PANELS = {
    "search/returned_test_accuracy": "Test accuracy of what would be returned (%)",
    "search/ndcg@10": "NDCG@10 of the whole space",
}


def view(entity: str, project: str = "acenas") -> ws.Workspace:
    """The view of a project; nothing is sent."""
    panels = [
        wr.LinePlot(
            title=title,
            x="search/trained",
            y=[metric],
            title_x="architectures trained",
            groupby=wr.Config("method"),
            groupby_aggfunc="mean",
            groupby_rangefunc="stderr",
            max_runs_to_show=100,
        )
        for metric, title in PANELS.items()
    ]
    columns = ["report/test_accuracy", "report/test_regret", "report/ndcg@10", "report/trained"]
    return ws.Workspace(
        entity=entity,
        project=project,
        name="acenas: methods compared",
        sections=[
            ws.Section(
                "Methods", panels, is_open=True, layout_settings=ws.SectionLayoutSettings(columns=2, rows=1)
            )
        ],
        settings=ws.WorkspaceSettings(x_axis="search/trained", max_runs=100),
        runset_settings=ws.RunsetSettings(
            groupby=[expr.Config("method")],
            pinned_columns=[f"summary:{name}" for name in columns],
        ),
        auto_generate_panels=False,
    )


if __name__ == "__main__":
    print(view(*sys.argv[1:]).save().url)
