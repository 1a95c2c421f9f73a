# %% [markdown]
# # Methods under one protocol, and one in a loop of your own
#
# Editors show this file as a notebook; `jupytext --to ipynb researcher.py` makes one of it.

# %%
from pathlib import Path

import timm
import torch

import kdzoo

# %% [markdown]
# A suite says what is compared: methods, pairs of networks, seeds, and the data. This one is small enough to try; the
# registry has those of the literature: `kdzoo list` in a terminal.

# %%
Path("small.yaml").write_text(
    """\
summary: A method and its baseline on a few digits.
methods: [baseline, kd]
data: {dataset: digits, train_per_class: 8, test_per_class: 8, val_fraction: 0.25, batch_size: 16}
pairs: [{teacher: {model: test_resnet, epochs: 2}, student: test_efficientnet}]
seeds: [0, 1]
epochs: 2
"""
)
suite = kdzoo.bench("small.yaml", output="runs/small")

# %% [markdown]
# Means over the seeds with 95 % intervals, and differences to the baseline, paired by seed. With so few seeds and
# images none of it means anything yet. `suite.report` is a page with all of it.

# %%
suite.leaderboard

# %%
for folder, run in suite.runs.items():
    print(folder, [round(row["train/task"], 2) for row in run.metrics], run.result["test/last"])

# %% [markdown]
# The same losses in a loop of your own, for what no recipe says: here the distillation loss is left out for images
# that the teacher gets wrong.

# %%
torch.manual_seed(0)
teacher = timm.create_model("test_resnet", num_classes=10)
student = timm.create_model("test_efficientnet", num_classes=10)
distiller = kdzoo.Distiller(student, teacher, "kd", example=torch.zeros(2, 3, 32, 32)).train()
optimizer = torch.optim.AdamW(distiller.parameters(), lr=1e-3)
for _ in range(3):
    images, labels = torch.randn(16, 3, 32, 32), torch.randint(0, 10, (16,))
    with torch.no_grad():
        trusted = teacher(images).argmax(dim=1) == labels
    losses = distiller(images, labels)
    loss = losses["task"]
    if trusted.sum() >= 2:
        loss = loss + distiller(images[trusted], labels[trusted])["teach"]
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"{loss.item():.3f}")
