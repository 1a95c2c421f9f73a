import random

import numpy as np
import torch

from kdzoo.seeds import capture, derive_seed, restore, seed_everything, seeded


def draw() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_seeds_of_different_names_differ_and_are_stable():
    assert derive_seed(0, "a") == derive_seed(0, "a")
    assert len({derive_seed(seed, name) for seed in range(50) for name in ("a", "b")}) == 100
    assert 0 <= derive_seed(3, "x") < 2**63


def test_the_state_is_captured_and_restored_through_a_safe_file(tmp_path):
    seed_everything(5)
    draw()
    torch.save(capture(), tmp_path / "state")
    expected = draw()
    restore(torch.load(tmp_path / "state", weights_only=True))
    assert draw() == expected


def test_a_seeded_block_leaves_no_trace():
    seed_everything(5)
    expected = draw()
    seed_everything(5)
    with seeded(9):
        inside = draw()
    assert draw() == expected
    with seeded(9):
        assert draw() == inside
