"""The learning rate that a batch size asks for."""

from __future__ import annotations

from kdzoo.recipe.model import Recipe


def scaled(recipe: Recipe, processes: int) -> Recipe:
    """The recipe with the learning rate that ``optim.lr_base`` gives; without one, as it is.

    ``lr = lr_base * (images of an update / lr_base_size)``, or its square root for Adam and its kin: timm's rule.

    Args:
        recipe: a complete recipe.
        processes: each takes ``data.batch_size`` images in a step.
    """
    optim = recipe.optim
    if optim.lr_base is None:
        return recipe
    ratio = recipe.data.batch_size * processes * optim.grad_accum_steps / optim.lr_base_size
    by_moments = any(part in optim.opt.lower() for part in ("ada", "lamb"))
    root = optim.lr_base_scale == "sqrt" or (optim.lr_base_scale is None and by_moments)
    lr = optim.lr_base * (ratio**0.5 if root else ratio)
    return recipe.model_copy(update={"optim": optim.model_copy(update={"lr": lr})})
