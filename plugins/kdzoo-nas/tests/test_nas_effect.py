"""Effects of each search on digits. `make effects` runs them over several seeds."""

import json
import random
from pathlib import Path
from statistics import mean

import pytest
from scipy.stats import spearmanr

from kdzoo_nas import sandwich
from kdzoo_nas.diswot import Judge
from kdzoo_nas.space import from_plain
from kdzoo_nas.supernet import Builder

pytestmark = pytest.mark.slow  # a whole procedure takes up to a minute

WIDTHS, DEPTHS = (0.25, 0.5, 1.0), (1.0, 2.0)
SPACE = {"algorithm.widths": WIDTHS, "algorithm.depths": DEPTHS}


def found_by(done):
    return from_plain(done.run.state["architecture-search"]["trace"]["found"])


def as_large(builder, size, count):
    """Architectures that are drawn until they have about as many parameters."""
    chance, kept = random.Random("as large"), {}
    while len(kept) < count:
        one = builder.space.draw(chance)
        if 0.85 * size <= builder.parameters(one) <= 1.05 * size:
            kept[one] = None
    return list(kept)


def test_likeness_to_the_teacher_ranks_untrained_students(experiment, beats):
    """`diswot`: rank correlation with 12 distilled students' accuracy (kept in benchmarks/rank.json) against 0"""
    table = json.loads((Path(__file__).parents[1] / "benchmarks" / "rank.json").read_text())["candidates"]
    lender = experiment("kd", epochs=1, student="test_resnet", train_per_class=40)
    judge = Judge(lender.run, Builder(lender.run, WIDTHS, DEPTHS, (3,)))
    scores = [judge(from_plain(row["stages"])) for row in table]
    truth = [mean(row["accuracies"]) for row in table]
    of_size = spearmanr([row["parameters"] for row in table], truth).statistic
    print(f"number of parameters alone: {of_size:.2f}")
    beats("Spearman's correlation", float(spearmanr(scores, truth).statistic), 0.0, by=0.6)


def test_shared_weights_find_a_better_student(experiment, beats):
    """`sandwich`: the found architecture on test images with shared weights, against the mean of 12 as large"""
    done = experiment(
        "sandwich",
        epochs=5,
        student="test_resnet",
        **SPACE,
        **{
            "algorithm.max_params": 0.4,
            "algorithm.fraction": 0.8,
            "algorithm.batches": 4,
            "algorithm.population": 12,
            "algorithm.generations": 3,
        },
    )
    net = done.run.roles["supernet"]
    judge = sandwich.Judge(done.run, net, 4, list(done.run.data.test))
    found = found_by(done)
    others = as_large(net.builder, net.builder.parameters(found), 12)
    beats("minus KL from the teacher", judge(found), mean(judge(one) for one in others), by=0.15)
