"""What a report says of tuning: the budget of each entry, and what tuning was worth."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kdzoo.bench.leaderboard import TUNED, estimate
from kdzoo.bench.ledger import TunedEntry
from kdzoo.bench.results import SuiteResults
from kdzoo.bench.table import percent
from kdzoo.bench.words import several

WORTH_HEADINGS = ("method", "pair", "own settings", "tuned", "tuned minus own")


def about_tuning(results: SuiteResults) -> list[str]:
    """The protocol of the tuning, in sentences; empty without any."""
    if not results.tuning:
        return []
    said = [
        f"Each candidate was trained once, on seed {results.tuning[0].seed}, which no reported run uses. The one "
        "with the best validation accuracy at the last epoch was chosen; candidates never read the test split."
    ]
    budgets = {one.trials for one in results.tuning}
    if len(budgets) == 1 and None not in budgets:
        said.append(
            f"Every entry had the same budget of {several(results.tuning[0].trials or 0, 'trial')}: the method's own "
            "settings first; the others were proposed by Optuna, within a range of the learning rate and those that "
            "the method's hyper-parameters declare."
        )
    said += _about_images(results.tuning)
    return said


def worth(results: SuiteResults) -> Iterator[tuple[str, ...]]:
    """Test accuracy with a method's own and with its tuned settings, and the difference paired by seed."""
    for pair in results.pairs:
        for one in results.tuning:
            method = one.entry.removesuffix(TUNED)
            own, tuned = pair.accuracies.get(method, {}), pair.accuracies.get(one.entry, {})
            both = sorted(own.keys() & tuned.keys())
            if one.pair != pair.pair or not both:
                continue
            difference = estimate([tuned[seed] - own[seed] for seed in both])
            means = (percent(estimate([values[seed] for seed in both])) for values in (own, tuned))
            yield method, pair.pair, *means, percent(difference, signed=True)


def _about_images(entries: Iterable[TunedEntry]) -> list[str]:
    """How many images the students of an entry's candidates saw, where the runs say so."""
    seen = [sum(tried.images or 0 for tried in one.candidates) for one in entries]
    if not any(seen):
        return []
    least, most = min(seen), max(seen)
    number = f"{most:,}" if least == most else f"between {least:,} and {most:,}"
    return [f"The students saw {number} images in the candidates of an entry."]
