"""Hugging Face's ``Trainer``: the model that it trains is the Distiller, so checkpoints hold all of it.

::

    student = AutoModelForImageClassification.from_pretrained("facebook/deit-tiny-patch16-224", num_labels=10)
    teacher = AutoModelForImageClassification.from_pretrained("my-teacher")
    distiller = kdzoo.Distiller(student, teacher, "dkd", example=torch.zeros(2, 3, 224, 224))
    arguments = TrainingArguments("runs/dkd", remove_unused_columns=False, label_names=["labels"])
    DistillationTrainer(distiller, arguments, train_dataset=data).train()
    student.save_pretrained("runs/student")
"""

from __future__ import annotations

from typing import Any

from transformers import Trainer


class DistillationTrainer(Trainer):
    """A trainer whose model is a :class:`kdzoo.Distiller`; batches have ``pixel_values`` and ``labels``."""

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The loss of a batch; also the logits, where the trainer evaluates."""
        progress = self.state.global_step / max(self.state.max_steps, 1)
        losses = model(inputs["pixel_values"], inputs["labels"], progress=min(progress, 1.0))
        loss = losses["total"]
        return (loss, {"loss": loss, "logits": losses["logits"]}) if return_outputs else loss
