"""What lsp is good for, between two graph networks on a small graph that looks like citations.

The nodes `known` have labels for the teacher and structures for the student; all figures are of the others.
"""

import warnings
from types import SimpleNamespace

import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier
from torch.nn import functional

from kdzoo_graph.functional import local_structure, lsp_loss

NODES, CLASSES, WORDS = 600, 4, 48
SIGMA = 10.0  # a tenth of the default: these hidden layers are narrow and their distances small


@pytest.fixture(scope="module")
def layers():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch_geometric still uses what torch calls deprecated
        return pytest.importorskip(
            "torch_geometric.nn", reason="lsp's graph networks need the extra kdzoo-graph[pyg]"
        )


def citations(seed):
    """Papers with noisy bags of words cite mostly papers of their own field."""
    draw = torch.Generator().manual_seed(seed)
    field = torch.randint(CLASSES, (NODES,), generator=draw)
    usual = torch.rand(CLASSES, WORDS, generator=draw)
    words = (torch.rand(NODES, WORDS, generator=draw) < 0.05 + 0.25 * usual[field]).float()
    chance = torch.where(field[:, None] == field, 0.030, 0.006)
    cites = torch.rand(NODES, NODES, generator=draw).triu(1) < chance.triu(1)
    edge_index = (cites | cites.T).nonzero().T.contiguous()
    return SimpleNamespace(words=words, edge_index=edge_index, field=field, known=torch.arange(NODES) < 300)


class Network(torch.nn.Module):
    """Two graph layers; the hidden nodes are what lsp compares."""

    def __init__(self, layer, width, heads=None):
        super().__init__()
        settings = {} if heads is None else {"heads": heads}
        self.first = layer(WORDS, width // (heads or 1), **settings)
        self.second = layer(width, CLASSES)

    def forward(self, graph):
        hidden = functional.elu(self.first(graph.words, graph.edge_index))
        return hidden, self.second(hidden, graph.edge_index)


def fit(network, loss, steps):
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01, weight_decay=5e-4)
    for _ in range(steps):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    return network


def structure(network, graph):
    """Local structures of the nodes that were held back, relative to uniform ones."""
    with torch.no_grad():
        likeness = local_structure(network(graph)[0], graph.edge_index, sigma=SIGMA)
    target = graph.edge_index[1]
    degree = torch.bincount(target, minlength=NODES)[target]
    return (likeness.exp() * degree)[~graph.known[target]]


def same_structure(student, teacher, graph):
    return torch.corrcoef(torch.stack([structure(student, graph), structure(teacher, graph)]))[0, 1].item()


def neighbours(network, graph):
    """5-NN accuracy in percent on the nodes that were held back, from five labelled nodes of each class."""
    with torch.no_grad():
        hidden = network(graph)[0]
    few = torch.cat([(graph.known & (graph.field == c)).nonzero()[:5, 0] for c in range(CLASSES)])
    model = KNeighborsClassifier(5).fit(hidden[few].numpy(), graph.field[few].numpy())
    return 100 * float(model.score(hidden[~graph.known].numpy(), graph.field[~graph.known].numpy()))


def test_local_structure_is_kept_on_nodes_never_taught(layers, experiment_seed, beats):
    """`lsp` alone, from a GAT to a GCN without labels or logits, against random weights"""
    graph = citations(experiment_seed)
    with torch.random.fork_rng():
        torch.manual_seed(experiment_seed)
        teacher = Network(layers.GATConv, 64, heads=4)
        student = Network(layers.GCNConv, 32)
    known = graph.known
    fit(teacher, lambda: functional.cross_entropy(teacher(graph)[1][known], graph.field[known]), steps=60)
    with torch.no_grad():
        taught = teacher(graph)[0]
    untaught = same_structure(student, teacher, graph), neighbours(student, graph)
    edges = graph.edge_index[:, known[graph.edge_index[1]]]
    fit(student, lambda: 100 * lsp_loss(student(graph)[0], taught, edges, sigma=SIGMA), steps=150)
    beats("correlation of local structures", same_structure(student, teacher, graph), untaught[0], by=0.15)
    beats("5-NN accuracy, %", neighbours(student, graph), untaught[1], by=4)
