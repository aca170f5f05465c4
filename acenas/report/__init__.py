"""Figures, tables and pages made from a finished search."""

from acenas.report.figures import report_figure, save_figure, score_scatter, search_curve
from acenas.report.page import build_page, write_report
from acenas.report.summary import FinishedSearch, best_architectures, build_summary, round_metrics

__all__ = [
    "FinishedSearch",
    "best_architectures",
    "build_page",
    "build_summary",
    "report_figure",
    "round_metrics",
    "save_figure",
    "score_scatter",
    "search_curve",
    "write_report",
]
