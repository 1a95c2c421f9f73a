"""Jobs: from a recipe to a finished folder, teachers first."""
