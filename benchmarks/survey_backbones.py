"""Which of timm's architectures answer as a kdzoo backbone, and how small an image do they take?

    OMP_NUM_THREADS=1 python benchmarks/survey_backbones.py --write docs/benchmarks/backbones.md

Of every family in timm's registry the two smallest architectures are built with random weights and asked at their
own input size. Finding the smallest takes as long as asking them: every architecture is built without weights.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import timm
import torch

from kdzoo.backbone import Backbone, build_backbone
from kdzoo.errors import KdzooError
from kdzoo.jobs.export import export_student
from kdzoo.recipe.roles import RoleConfig

CLASSES = ("ant", "bee", "cat", "dog", "eel", "fox", "gnu")
SIDES = (32, 64, 96, 128, 160, 192, 224, 256)
CHECKS = ("eval", "train", "stages", "embedding", "export")


def smallest(per_family: int, largest: float) -> tuple[dict[str, tuple[str, int]], int]:
    """Architecture -> (family, parameters), and how many families are left out as too large."""
    families: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for family in timm.list_modules():
        for name in timm.list_models(module=family):
            with torch.device("meta"):
                model = timm.create_model(name)
            families[family].append((sum(p.numel() for p in model.parameters()), name))
    chosen = {}
    for family, members in families.items():
        for parameters, name in sorted(members)[:per_family]:
            if parameters <= largest:
                chosen[name] = (family, parameters)
    return chosen, len(families) - len({family for family, _ in chosen.values()})


def build(name: str, side: int | None) -> Backbone:
    torch.manual_seed(0)
    side = side or timm.get_pretrained_cfg(name).input_size[-1]
    return build_backbone(
        RoleConfig(model=name, img_size=side), num_classes=len(CLASSES), channels=3, img_size=side
    )


def check(name: str) -> tuple[Backbone, dict[str, str]]:
    """The backbone, and what each check found: ``yes``, or what is wrong."""
    found: dict[str, str] = {}
    backbone = build(name, None)
    images = torch.rand(2, 3, *backbone.input_size)
    every = tuple(range(-backbone.num_stages, 0))
    for mode in ("train", "eval"):
        backbone.train(mode == "train")
        with torch.no_grad():
            torch.manual_seed(1)
            expected = backbone.model((images - backbone.mean) / backbone.std)
            try:
                torch.manual_seed(1)
                output = backbone(images, every)
                difference = float((output.logits - expected).abs().max())
                found[mode] = "yes" if torch.equal(output.logits, expected) else f"off by {difference:.1e}"
            except KdzooError as error:
                found[mode] = str(error)
    maps = all(feature.dim() == 4 and len(feature) == 2 for feature in output.features)
    found["stages"] = "yes" if maps and len(output.features) == backbone.num_stages else "wrong"
    try:
        with torch.no_grad():
            embedding = backbone(images, embedding=True).embedding
        found["embedding"] = "yes" if embedding.dim() == 2 else f"{tuple(embedding.shape)}"
        found["D"] = str(embedding.shape[1])
    except KdzooError as error:
        found["embedding"], found["D"] = str(error), "-"
    with tempfile.TemporaryDirectory() as folder:
        export_student(backbone, Path(folder) / "student", classes=CLASSES, card="")
        loaded = timm.create_model(f"local-dir:{folder}/student", pretrained=True).eval()
        with torch.no_grad():
            same = torch.equal(loaded((images - backbone.mean) / backbone.std), expected)
        found["export"] = "yes" if same else "other logits"
    return backbone, found


def least_side(name: str) -> str:
    for side in SIDES:
        try:
            build(name, side)
        except KdzooError:
            continue
        return str(side)
    return "its own"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--per-family", type=int, default=2, help="architectures of each family")
    parser.add_argument("--largest", type=float, default=35e6, help="leave out what has more parameters")
    parser.add_argument("--write", type=Path, help="write the Markdown table there as well")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)  # timm announces every adaptation
    started = time.process_time()
    chosen, left_out = smallest(arguments.per_family, arguments.largest)

    rows, passed, odd = [], dict.fromkeys(CHECKS, 0), []
    for name, (family, parameters) in chosen.items():
        try:
            backbone, found = check(name)
        except Exception as error:
            odd.append(f"- `{name}`: {type(error).__name__}: {str(error).splitlines()[0]}")
            continue
        for key in CHECKS:
            passed[key] += found[key] == "yes"
            if found[key] != "yes":
                odd.append(f"- `{name}`, {key}: {found[key]}")
        rows.append(
            f"| `{name}` | {family} | {parameters / 1e6:.1f} | {backbone.input_size[0]} | {least_side(name)} | "
            f"{backbone.num_stages} | {found['D']} | {'yes' if all(found[k] == 'yes' for k in CHECKS) else 'no'} |"
        )
        print(rows[-1], flush=True)

    meaning = {
        "eval": "logits with every stage asked for are bitwise timm's, in eval mode",
        "train": "the same in train mode, from the same random state",
        "stages": "every stage is (B, C, H, W)",
        "embedding": "what the classifier reads is (B, D)",
        "export": "exported and loaded by timm alone, the logits are bitwise the same",
    }
    table = "\n".join(f"| {meaning[key]} | {passed[key]} of {len(chosen)} |" for key in CHECKS)
    report = (
        "# timm architectures as backbones\n\n"
        f"timm {timm.__version__}, torch {torch.__version__}, one core, {time.process_time() - started:.0f} s. "
        f"The {arguments.per_family} smallest architectures of each of timm's {len(timm.list_modules())} families, "
        f"up to {arguments.largest / 1e6:.0f} million parameters; {left_out} families have none that small. "
        "Made by\n\n```sh\n"
        "OMP_NUM_THREADS=1 python benchmarks/survey_backbones.py --write docs/benchmarks/backbones.md\n```\n\n"
        f"| check | passed |\n|---|---|\n{table}\n\n"
        f"{chr(10).join(odd) or 'Nothing failed.'}\n\n"
        "`least` is the smallest of "
        f"{', '.join(map(str, SIDES))} pixels that the architecture takes with the role's `img_size`.\n\n"
        "| architecture | family | M parameters | own size | least | stages | embedding | passed |\n"
        f"|---|---|---|---|---|---|---|---|\n{chr(10).join(rows)}\n"
    )
    print(report)
    if arguments.write:
        arguments.write.parent.mkdir(parents=True, exist_ok=True)
        arguments.write.write_text(report, encoding="utf-8")


if __name__ == "__main__":
    main()
