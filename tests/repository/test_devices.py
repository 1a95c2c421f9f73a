"""Plugins create no tensor on the CPU by mistake: a CPU run does not notice it, a GPU run fails."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(
    path
    for folder in (*ROOT.glob("plugins/*/kdzoo_*"), *ROOT.glob("examples/*/kdzoo_*"))
    for path in folder.rglob("*.py")
)

MAKERS = {
    "arange", "as_tensor", "empty", "eye", "full", "linspace", "logspace", "ones", "rand", "randint",
    "randn", "randperm", "tensor", "zeros",
}  # fmt: skip
"""Functions of torch whose result lies on the host unless they are told a device; ``from_numpy`` says so itself."""

MOVED = {"register_buffer", "Parameter", "ParameterList"}
"""What is made in such a call belongs to a module, and moves with it."""


def careless(source: str) -> Iterator[int]:
    """The lines of ``torch.zeros(...)`` and the like that name no device and are not moved to one at once."""
    tree = ast.parse(source)
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if not (isinstance(node.func.value, ast.Name) and node.func.value.id == "torch"):
            continue
        names_one = any(one.arg == "device" for one in node.keywords)
        if node.func.attr in MAKERS and not names_one and not any(map(_moves, _within(node, parents))):
            yield node.lineno


def _within(node: ast.AST, parents: dict[ast.AST, ast.AST]) -> Iterator[ast.AST]:
    """The expressions around a node, up to its statement."""
    while not isinstance(node, ast.stmt):
        node = parents[node]
        yield node


def _moves(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return name in MOVED or (name == "to" and bool(node.args))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_tensor_is_made_on_a_device_that_is_named(path):
    lines = list(careless(path.read_text(encoding="utf-8")))
    assert not lines, f"{path}: name the device (device='cpu' where it must be the host), lines {lines}"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("cost = (shares * torch.tensor(costs, dtype=torch.float64)).sum()", [1]),
        ("noise = torch.rand(3)\nnoise = noise.to(device)", [1]),
        ("noise = torch.rand(3, device=batch.device)", []),
        ("ramp = torch.linspace(0, 1, 9).reshape(3, 3).to(device)", []),
        ("self.register_buffer('low', torch.tensor(0.0))", []),
        ("other = torch.zeros_like(one)", []),
    ],
)
def test_what_is_careless(source, found):
    assert list(careless(source)) == found
