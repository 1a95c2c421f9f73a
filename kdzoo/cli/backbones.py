"""``kdzoo list --backbones``: the networks for a recipe."""

from __future__ import annotations

from kdzoo.cli.output import print_json
from kdzoo.errors import UnknownName
from kdzoo.zoo import Zoo


def list_backbones(zoo: Zoo, word: str | None = None, *, json: bool = False) -> None:
    """Print the models of plugins, each with its plugin, then timm's; with ``word``, only those with it in the name.

    Raises:
        UnknownName: no model has the word in its name.

    """
    from timm.models import list_models  # needs torch

    from kdzoo.backbone.registered import registered

    brought = registered(zoo)
    names = sorted(
        list_models(), key=lambda name: name not in brought
    )  # stable: each part stays in timm's order
    wanted = [name for name in names if word is None or word.lower() in name.lower()]
    if not wanted:
        raise UnknownName("timm model", str(word), names, zoo.hint)
    if json:
        origins = {name: brought[name].distribution if name in brought else "timm" for name in wanted}
        print_json([{"model": name, "distribution": origin} for name, origin in origins.items()])
        return
    for name in wanted:
        print(f"{name}  (from {brought[name].distribution})" if name in brought else name)
    if zoo.hint:
        print(zoo.hint)
