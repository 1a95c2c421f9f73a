"""Suites of runs under one protocol: planning, a local process pool, the leaderboard, the report."""
