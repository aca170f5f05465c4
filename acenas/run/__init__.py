"""Runs: one configuration in its folder, stage by stage; many of them in sweeps and side by side."""
