"""Effects of the methods on digits. `make effects` runs them over several seeds.

The margins are at most half of the least difference seen over three seeds.
"""

import pytest
import torch

FEW = {"epochs": 8, "labels_per_class": 10, "lr": 4e-3}  # at the default 2e-3 the gain is half as large
ALONE = {"algorithm.teach_weight": 0.0}


def answers(one, *roles):
    """(roles, images): the class that each role gives to each test image; and the right ones."""
    run = one.run
    found, targets = [], []
    with run.measuring():
        for batch in run.data.test:
            found.append(torch.stack([run.see(role, batch).logits.argmax(dim=1) for role in roles]))
            targets.append(batch.target)
    return torch.cat(found, dim=1), torch.cat(targets)


def agreement(one, *roles):
    """The part of the test images, in percent, to which all these roles give the same class."""
    found, _ = answers(one, *roles)
    return 100 * (found == found[0]).all(dim=0).double().mean().item()


def all_right(one, *roles):
    """The part of the test images, in percent, that all these get right."""
    found, target = answers(one, *roles)
    return 100 * (found == target).all(dim=0).double().mean().item()


def weaker(one, *roles):
    """The least test accuracy of these roles, in percent."""
    found, target = answers(one, *roles)
    return 100 * (found == target).double().mean(dim=1).min().item()


@pytest.mark.slow
def test_peers_teach_each_other_on_unlabelled_images(experiment, beats):
    """`dml`, 100 labels and 1,157 unlabelled images, against the same two peers without the mutual term"""
    dml, alone = experiment("dml", **FEW), experiment("dml", **FEW, **ALONE)
    roles = "student", "peer1"
    beats("images on which the peers agree, %", agreement(dml, *roles), agreement(alone, *roles), by=4.5)
    beats("images that both peers get right, %", all_right(dml, *roles), all_right(alone, *roles), by=3.5)
    beats("accuracy of the weaker peer, %", weaker(dml, *roles), weaker(alone, *roles), by=2)


@pytest.mark.slow
def test_peers_learn_from_their_ensemble_on_unlabelled_images(experiment, beats):
    """`kdcl`, 100 labels and 1,157 unlabelled images, against the same two peers without the common target"""
    kdcl = experiment("kdcl", **FEW)
    alone = experiment("dml", **FEW, **ALONE)  # the control of dml: two peers with the same first weights
    roles = "student", "peer1"
    beats("images on which the peers agree, %", agreement(kdcl, *roles), agreement(alone, *roles), by=5)
    beats("images that both peers get right, %", all_right(kdcl, *roles), all_right(alone, *roles), by=4)


@pytest.mark.slow
def test_branches_learn_from_their_ensemble_on_unlabelled_images(experiment, beats):
    """`one`, 100 labels and 1,157 unlabelled images, against the same branches and gate without the lessons"""
    settings = {**FEW, "scheme.stage": -3}
    one, alone = experiment("one", **settings), experiment("one", **settings, **ALONE)
    roles = "student", "branch1", "branch2"
    beats("images on which the branches agree, %", agreement(one, *roles), agreement(alone, *roles), by=2.5)
    beats("images that all branches get right, %", all_right(one, *roles), all_right(alone, *roles), by=1.5)


@pytest.mark.slow
def test_the_leader_learns_what_the_group_thinks_of_unlabelled_images(experiment, beats):
    """`okddip`, 100 labels and 1,157 unlabelled images, against the same three networks without the lessons"""
    settings = {**FEW, "epochs": 5, "scheme.peers": 3}
    okddip, alone = experiment("okddip", **settings), experiment("okddip", **settings, **ALONE)
    roles = "student", "group"
    beats(
        "images on which leader and group agree, %",
        agreement(okddip, *roles),
        agreement(alone, *roles),
        by=1.5,
    )
    beats("images that both get right, %", all_right(okddip, *roles), all_right(alone, *roles), by=1.5)
