"""A student that learns from the moving average of its own weights: Tarvainen and Valpola 2017."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field
from safetensors.torch import save_file

from kdzoo.api import Batch, Lesson, Output, Ramp, Run, Scheme, refuse_mixing
from kdzoo_self.functional import follow

STEP = "ema/step"
FILE = "average.safetensors"

_CARD = f"""## The average

`{FILE}` holds the moving average of the student's weights, the teacher of its training. To use it:

```python
import timm
from safetensors.torch import load_file

model = timm.create_model("local-dir:{{folder}}", pretrained=True).eval()
model.load_state_dict(load_file("{{folder}}/{FILE}"))
```
"""


class WeightAverage(Scheme):
    """The teacher is the moving average of the student's weights and BatchNorm statistics.

    The average sees the same images with another augmentation. It is the frozen role ``ema``.

    Args:
        decay: decay of the average per step; less in the first steps.
        ramp_up: fraction of training over which the weight of the distillation loss grows, as exp(-5 (1 -
            t)²).
    """

    name = "ema"
    kind = "self"
    exempt: ClassVar = {"teacher:ema": "the teacher is the moving average of the student"}

    def __init__(
        self,
        decay: Annotated[float, Field(ge=0, lt=1)] = 0.999,
        ramp_up: Annotated[float, Field(ge=0, le=1)] = 0.2,
    ) -> None:
        self.decay = decay
        self.weight = Ramp(0.0, 1.0, until=ramp_up, shape="sigmoid")

    def enroll(self, run: Run) -> None:
        """Enroll the student and its average, which starts as a copy."""
        refuse_mixing(run, "scheme 'ema' gives the average another view of each image")
        student = run.enroll("student", run.build("student"))
        modality = run.recipe.roles["student"].modality  # a copy does not know what it reads
        run.enroll("ema", copy.deepcopy(student), learns=False, modality=modality)
        run.derive("ema-elsewhere", lambda batch: self._answer(run, batch))

    def arrows(self, run: Run) -> Iterable[tuple[str, str]]:
        """From the average to the student."""
        return [("student", "ema-elsewhere")]

    def lessons(self, run: Run, batch: Batch) -> Iterable[Lesson]:
        """From the average to the student."""
        return [Lesson("student", "ema-elsewhere", self.weight(batch.progress))]

    def after_step(self, run: Run) -> None:
        """Update the average."""
        step = run.state[STEP] = run.state.get(STEP, 0) + 1
        follow(run.roles["ema"], run.roles["student"], min(self.decay, 1 - 1 / (step + 1)))

    def export(self, run: Run, folder: Path) -> str:
        """Write the average's weights next to the student."""
        weights = {
            name.removeprefix("model."): one.detach().cpu().contiguous().clone()
            for name, one in run.roles["ema"].state_dict().items()
        }
        save_file(weights, folder / FILE)
        return _CARD.format(folder="student")

    def _answer(self, run: Run, batch: Batch) -> Output:
        return run.see("ema", run.data.fetch(batch.index, view=1))
