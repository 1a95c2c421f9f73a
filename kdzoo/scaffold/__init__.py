"""``kdzoo new``: a plugin package that works as it is, from templates."""
