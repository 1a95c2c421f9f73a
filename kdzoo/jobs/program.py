"""An assembled student as a program that runs with torch alone."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from kdzoo.api.assembled import Assembled
from kdzoo.recipe.evaluation import WHOLE, Evaluation

_USAGE = """
## Use

This student is more than one timm model. It is a program for torch alone, from RGB or grey images in [0, 1] to
logits:

```python
import json
import torch

classes = json.load(open("{folder}/config.json"))["label_names"]
model = torch.export.load("{folder}/model.pt2").module()
image = torch.rand(1, {channels}, {height}, {width})
print(classes[model(image).argmax(dim=1)[0]])
```
"""


class _Logits(nn.Module):
    """Images to logits: a program returns tensors."""

    def __init__(self, network: Assembled) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.network(image).logits
        return logits


def write_program(
    student: Assembled,
    folder: Path,
    classes: Sequence[str],
    image_shape: tuple[int, int, int],
    name: str = "",
    evaluation: Evaluation = WHOLE,
) -> str:
    """Write ``model.pt2`` and ``config.json``; Markdown about its use.

    Args:
        student: the network, which is not changed.
        folder: the folder to write to.
        classes: the class names in the order of the logits.
        image_shape: (C, H, W) of its images.
        name: the final name of the folder; default: its current name.
        evaluation: how pictures were prepared on which it was evaluated.

    """
    network = _Logits(copy.deepcopy(student)).cpu().eval()
    for tensor in (*network.parameters(), *network.buffers()):
        # torch.export treats a tensor with other strides as a view of another.
        tensor.data = tensor.detach().clone(memory_format=torch.contiguous_format)
    with torch.no_grad():
        program = torch.export.export(
            network,
            (torch.zeros(2, *image_shape),),
            dynamic_shapes={"image": {0: torch.export.Dim("batch")}},
        )
    torch.export.save(program, folder / "model.pt2")
    channels, height, width = image_shape
    description = {
        "label_names": list(classes),
        "input_size": list(image_shape),
        "range": [0, 1],
        **asdict(evaluation),
    }
    (folder / "config.json").write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
    return _USAGE.format(folder=name or folder.name, channels=channels, height=height, width=width)
