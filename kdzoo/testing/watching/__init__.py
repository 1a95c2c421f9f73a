"""Listeners that record what a component does in a run, one file for each kind of fact."""
