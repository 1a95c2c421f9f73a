"""A trained student in timm's layout, to be used with timm, without kdzoo."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import yaml
from safetensors import SafetensorError
from timm.models import save_for_hf
from torch import Tensor, nn

from kdzoo.api.assembled import Assembled
from kdzoo.backbone import Backbone
from kdzoo.errors import KdzooError
from kdzoo.jobs.program import write_program
from kdzoo.recipe.evaluation import WHOLE, Evaluation

_USAGE = """
## Use

```python
import numpy as np
import timm
import torch
from PIL import Image, ImageOps

# Without pretrained=True, timm builds the architecture and leaves the weights random.
model = timm.create_model("local-dir:{folder}", pretrained=True).eval()
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
image = ImageOps.exif_transpose(Image.open("image.png"))  # turned as the camera was
if image.mode.startswith("I"):  # 16 bits to 8
    image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
elif image.mode == "F":  # 0..1 to 8 bits
    image = Image.fromarray((np.asarray(image) * 255).round().astype(np.uint8))
if image.has_transparency_data:  # what is transparent lies on white
    image = image.convert("RGBA")
    image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
image = image.convert("{mode}")
with torch.inference_mode():
    probabilities = model(transform(image).unsqueeze(0)).softmax(dim=1)[0]
print(model.pretrained_cfg["label_names"][probabilities.argmax()])
```
"""

_FEATURES = """
## Use

This network has no classifier: it returns features.

```python
import timm
import torch
from PIL import Image

model = timm.create_model("local-dir:{folder}", pretrained=True, num_classes=0).eval()
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
image = Image.open("image.png").convert("{mode}")
with torch.inference_mode():
    features = model(transform(image).unsqueeze(0))[0]
print(features.shape)
```

With `num_classes=10` in place of `num_classes=0`, timm adds a new classifier for 10 classes, to be trained.
"""


def export_student(
    student: Backbone | Assembled,
    folder: Path,
    *,
    classes: Sequence[str],
    card: str,
    image_shape: tuple[int, int, int] | None = None,
    evaluation: Evaluation = WHOLE,
    extend: Callable[[Path], str] | None = None,
) -> None:
    """Write the student's weights and description and ``README.md``, all of them or none.

    A backbone is written in timm's layout: ``timm.create_model("local-dir:FOLDER", pretrained=True)`` and timm's
    own preprocessing, as described in ``config.json``, give the same logits. An assembled student is written
    as a program; see :mod:`kdzoo.jobs.program`. An existing folder is replaced.

    Args:
        student: the network, on any device, in any memory format; it is not changed.
        folder: where to.
        classes: the class names in the order of the logits.
        card: Markdown that describes the model; the code that loads it is added.
        image_shape: (C, H, W) of an assembled student's images.
        evaluation: how the images were prepared on which it was evaluated.
        extend: writes further files into the given folder, and returns Markdown about them.

    Raises:
        KdzooError: the folder cannot be written.

    """
    new, old = (folder.with_name(f".{folder.name}.{state}") for state in ("new", "old"))
    try:
        shutil.rmtree(new, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        new.mkdir()
        if isinstance(student, Backbone):
            _write(student, new, classes, evaluation)
            card = _readme(student, folder, card)
        else:
            assert image_shape is not None
            usage = write_program(student, new, classes, image_shape, folder.name, evaluation)
            card = f"{card.rstrip()}\n{usage}"
        more = extend(new) if extend is not None else ""
        (new / "README.md").write_text(f"{card.rstrip()}\n\n{more}".rstrip() + "\n", encoding="utf-8")
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
            folder.rename(old)
        new.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(new, ignore_errors=True)
        reason = getattr(error, "strerror", None) or error
        raise KdzooError(f"{folder}: cannot write the student: {reason}") from error


def _write(backbone: Backbone, folder: Path, classes: Sequence[str], evaluation: Evaluation) -> None:
    names = {"label_names": list(classes)} if backbone.num_classes else {}
    hook = backbone.model.register_state_dict_post_hook(_unshare)
    try:
        save_for_hf(
            backbone.model,
            str(folder),
            model_config={**names, "pretrained_cfg": {"tag": "kdzoo"}},
            safe_serialization=True,
            data_config={
                "input_size": (backbone.channels, *backbone.input_size),
                "interpolation": evaluation.interpolation,
                "mean": _decimals(backbone.mean),
                "std": _decimals(backbone.std),
                "crop_pct": evaluation.crop_pct,
                "crop_mode": evaluation.crop_mode,
            },
        )
    finally:
        hook.remove()


def _unshare(_: nn.Module, state: dict[str, Tensor], *__: object) -> None:
    """Make the tensors contiguous and separate, as safetensors requires: channels_last and tied ones are not."""
    for key, tensor in state.items():
        state[key] = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)


def _decimals(values: Tensor) -> tuple[float, ...]:
    """The shortest decimals that are read back as these float32 values: 0.485, not 0.48500001430511475."""
    return tuple(float(str(value)) for value in values.flatten().cpu().numpy())


def _readme(backbone: Backbone, folder: Path, card: str) -> str:
    """The card between the header that model hubs read and the code that loads the model."""
    task = "image-classification" if backbone.num_classes else "image-feature-extraction"
    header = yaml.safe_dump({"library_name": "timm", "tags": [task, "timm", "kdzoo"]})
    usage = (_USAGE if backbone.num_classes else _FEATURES).format(
        folder=folder.name, mode="L" if backbone.channels == 1 else "RGB"
    )
    return f"---\n{header}---\n{card.rstrip()}\n{usage}"
