"""Figures, tables and pages made from a finished search."""
