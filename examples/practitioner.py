# %% [markdown]
# # A small network for your own pictures
#
# A folder `photos` with one sub-folder for each class is enough. Editors show this file as a notebook; `jupytext --to
# ipynb practitioner.py` makes one of it.

# %%
from pathlib import Path

import timm
import torch
from PIL import Image

import kdzoo

DATA = "photos"
TEACHER, STUDENT = "test_resnet", "test_efficientnet"  # small ones to try it: then resnet50 and resnet18
EPOCHS = 3

# %% [markdown]
# Train the small network alone, and with a teacher. The teacher is trained first and kept for later runs.

# %%
alone = kdzoo.distill("baseline", student=STUDENT, data_dir=DATA, epochs=EPOCHS, output="runs/alone")
taught = kdzoo.distill(
    "kd",
    teacher=TEACHER,
    student=STUDENT,
    data_dir=DATA,
    epochs=EPOCHS,
    teacher_epochs=EPOCHS,
    output="runs/taught",
)

# %% [markdown]
# Was it worth it? One run of each does not tell: `kdzoo.bench("quick", data_dir=DATA, methods=["kd", "dkd", "rkd"])`
# compares methods over several seeds, with intervals.

# %%
for name, run in (("alone", alone), ("taught", taught)):
    print(f"{name}: {run.result['test/last']:.1f} % of the test pictures in {run.result['seconds']:.0f} s")

# %% [markdown]
# The figures of every epoch are a DataFrame where pandas is installed.

# %%
taught.metrics

# %% [markdown]
# The student is a plain timm network, which needs no kdzoo.

# %%
student = taught.student()
transform = timm.data.create_transform(**timm.data.resolve_data_config(student.pretrained_cfg))
picture = next(Path(DATA).rglob("*.png"))
with torch.inference_mode():
    probabilities = student(transform(Image.open(picture).convert("RGB")).unsqueeze(0)).softmax(dim=1)[0]
best = int(probabilities.argmax())
print(f"{picture}: {student.pretrained_cfg['label_names'][best]} ({100 * probabilities[best]:.0f} %)")
