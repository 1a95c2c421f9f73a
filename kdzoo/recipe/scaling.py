"""The learning rate that a batch size asks for."""

from __future__ import annotations

from kdzoo.recipe.data import AUTO
from kdzoo.recipe.model import Recipe
from kdzoo.recipe.optim import OptimConfig


def scaled(recipe: Recipe, processes: int) -> Recipe:
    """The recipe with the learning rate that ``optim.lr_base`` gives, of the run and of each teacher's own.

    ``lr = lr_base * (images of an update / lr_base_size)``, or its square root for Adam and its kin: timm's rule.

    Args:
        recipe: a complete recipe.
        processes: each takes ``data.batch_size`` images in a step.
    """
    if recipe.data.batch_size == AUTO:
        return recipe  # until it is found
    images = recipe.data.batch_size * processes
    roles = {
        name: role.model_copy(update={"optim": role.optim.model_copy(update={"lr": rate})})
        for name, role in recipe.roles.items()
        if role.optim is not None and role.optim.lr_base is not None
        for rate in [_rate(role.own_optim(recipe.optim), images)]
    }
    optim = recipe.optim.model_copy(update={"lr": _rate(recipe.optim, images)})
    return recipe.model_copy(update={"optim": optim, "roles": {**recipe.roles, **roles}})


def _rate(optim: OptimConfig, images: int) -> float:
    if optim.lr_base is None:
        return optim.lr
    ratio = images * optim.grad_accum_steps / optim.lr_base_size
    by_moments = any(part in optim.opt.lower() for part in ("ada", "lamb"))
    root = optim.lr_base_scale == "sqrt" or (optim.lr_base_scale is None and by_moments)
    return optim.lr_base * (ratio**0.5 if root else ratio)
