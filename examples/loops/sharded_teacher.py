"""A teacher that does not fit on one device: sharded over the processes by FSDP, beside a student in DDP.

``torchrun --nproc-per-node 2 sharded_teacher.py`` tries it with small networks and random images.
"""

from __future__ import annotations

import timm
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.nn.parallel import DistributedDataParallel

import kdzoo


def shard(teacher: nn.Module, blocks: list[nn.Module]) -> nn.Module:
    """Leave each process a part of the teacher; a block is gathered while it computes."""
    teacher.requires_grad_(False)
    for block in blocks:
        fully_shard(block)
    fully_shard(teacher)
    for name in ("forward_features", "forward_head", "forward_intermediates"):
        register_fsdp_forward_method(teacher, name)  # methods on features call these
    return teacher


def main() -> None:
    """Two steps; prints the loss of each, averaged over the processes."""
    cuda = torch.cuda.is_available()
    dist.init_process_group("nccl" if cuda else "gloo")
    device = (
        torch.device("cuda", dist.get_rank() % torch.cuda.device_count()) if cuda else torch.device("cpu")
    )
    torch.manual_seed(0)
    teacher = timm.create_model("test_vit", num_classes=4).to(device)
    student = timm.create_model("test_resnet", num_classes=4).to(device)
    shard(teacher, list(teacher.blocks))
    example = torch.zeros(2, 3, 160, 160)
    distiller = kdzoo.Distiller(student, teacher, "fitnet", example=example).train()
    model = DistributedDataParallel(distiller)  # the teacher is not among its modules
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    draw = torch.Generator().manual_seed(dist.get_rank())
    for _ in range(2):
        images = torch.randn(4, 3, 160, 160, generator=draw).to(device)
        losses = model(images, torch.arange(4, device=device))
        optimizer.zero_grad()
        losses["total"].backward()
        optimizer.step()
        mean = losses["total"].detach()
        dist.all_reduce(mean, dist.ReduceOp.SUM)
        if dist.get_rank() == 0:
            print(f"loss {float(mean) / dist.get_world_size():.6f}")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
