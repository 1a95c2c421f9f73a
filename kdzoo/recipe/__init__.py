"""The recipe: everything that determines a run, as one validated model."""
