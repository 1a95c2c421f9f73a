"""The report in Markdown, for pull requests and issues."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from kdzoo.bench import protocol
from kdzoo.bench.results import SuiteResults
from kdzoo.bench.single import SingleRun
from kdzoo.bench.table import leaderboard_lines
from kdzoo.bench.tuning_words import WORTH_HEADINGS, about_tuning, worth
from kdzoo.bench.verdicts import about_differences, about_published, over_pairs, pair_rows
from kdzoo.bench.words import about_data, about_teacher, alerts, finding, number, same_runs, several
from kdzoo.markdown import code_block, markdown_text


def suite_markdown(results: SuiteResults) -> str:
    """A suite: its leaderboards, tuning, the protocol, failures."""
    ledger = results.ledger
    parts = [
        f"# {markdown_text(ledger.suite)}",
        markdown_text(ledger.summary),
        *(f"**{markdown_text(one)}**" for one in alerts(results)),
    ]
    seeds = ", ".join(map(str, ledger.seeds))
    parts.append(
        f"Data: {markdown_text(about_data(ledger.data))}. Training: {several(ledger.epochs, 'epoch')}, seeds {seeds}."
    )
    if ledger.command:
        parts.append(code_block(ledger.command))
    for pair in results.pairs:
        parts.append(f"## {markdown_text(pair.pair)}")
        if pair.rows:
            parts.append(markdown_text(finding(pair)))
            parts.append(table(*leaderboard_lines(pair)))
            parts.append(markdown_text(about_teacher(pair)))
            parts.append(markdown_text(" ".join(about_differences(pair))))
            parts += [f"- {markdown_text(one)}" for one in about_published(pair, ledger.changed)]
    ranked = over_pairs(results)
    if ranked:
        parts += ["## Over all pairs", markdown_text(protocol.OVER_PAIRS)]
        parts.append(table(protocol.OVER_PAIRS_HEADINGS, list(pair_rows(ranked))))
    if results.tuning:
        parts += ["## Tuning", *map(markdown_text, about_tuning(results))]
        if rows := list(worth(results)):
            parts.append(table(WORTH_HEADINGS, rows))
    for entry in results.tuning:
        rows = [
            (
                " ".join(f"{key}={value}" for key, value in one.settings.items()),
                "failed" if one.validation is None else number(one.validation),
                "chosen" if place == entry.chosen else "",
            )
            for place, one in enumerate(entry.candidates)
        ]
        parts.append(
            f"### {markdown_text(entry.entry)}, {markdown_text(entry.pair)}: candidates on seed {entry.seed}"
        )
        twin = same_runs(ledger, entry)
        if twin:
            parts.append(f"The best settings are those of {markdown_text(twin)}: the same runs.")
        parts.append(table(("settings", "validation accuracy, %", ""), rows))
    parts += ["## Protocol", *map(markdown_text, protocol.SUITE)]
    if ledger.failures:
        parts.append("## Failures")
        parts.append(
            "\n".join(f"- {markdown_text(one.name)}: {markdown_text(one.error)}" for one in ledger.failures)
        )
    return _document(parts)


def run_markdown(run: SingleRun) -> str:
    """A single run: its final figures."""
    return _document(
        [
            f"# {markdown_text(run.name)}",
            markdown_text(run.what),
            *(f"**{markdown_text(one)}**" for one in run.alerts),
            table(("what", "value"), run.facts) if run.facts else "",
            *(f"![{markdown_text(one.name)}, epoch {one.epoch}]({quote(one.path)})" for one in run.pictures),
            *map(markdown_text, protocol.RUN),
        ]
    )


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A GitHub table; the first column is aligned left, the others right."""
    lines = [headings, *rows]
    text = ["| " + " | ".join(map(markdown_text, line)) + " |" for line in lines]
    return "\n".join([text[0], "|" + "|".join(["---", *["---:"] * (len(headings) - 1)]) + "|", *text[1:]])


def _document(parts: Sequence[str]) -> str:
    return "\n\n".join(part for part in parts if part) + "\n"
