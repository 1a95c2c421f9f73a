"""Progressive inference: a network with early exits."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import timm
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from kdzoo.api import Backbone, KdzooError
from kdzoo_self.exit import Exit
from kdzoo_self.functional.byot import confident

WEIGHTS, SETTINGS = "exits.safetensors", "exits.json"

Layout = Callable[[Tensor], Tensor]
"""Converts the output of a stage's module to the stage's map (B, C, H, W)."""


class _Answered(Exception):
    """All samples have left; the rest of the network need not run."""


class Progressive(nn.Module):
    """A network with exits on inner stages; each image leaves at the first exit that is confident of it.

    A forward hook on each exit's stage computes the exit's logits and passes only the remaining images to the
    deeper layers, so that the skipped work is really saved. This works for any timm model whose stages are
    modules that return one tensor, batch first.

    Args:
        backbone: the network; it and the exits are set to eval mode.
        exits: one for each of ``stages``.
        stages: negative numbers, -1 is the deepest; ascending, so shallow to deep.
        threshold: an image leaves where the exit's highest probability is above this.

    Raises:
        KdzooError: the model's stages are not such modules.

    """

    def __init__(
        self, backbone: Backbone, exits: Sequence[Exit], stages: Sequence[int], threshold: float = 0.9
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.exits = nn.ModuleList(exits)
        self.stages = tuple(stages)
        self.threshold = threshold
        self.eval()
        self._modules_of_stages = [self._module(stage) for stage in self.stages]
        self._layouts = self._find_layouts()

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, H, W) images in [0, 1] to logits (B, K), each from the exit at which the image left."""
        return self.answer(image)[0]

    @torch.no_grad()
    def answer(self, image: Tensor, thresholds: Sequence[float] | None = None) -> tuple[Tensor, Tensor]:
        """Logits, and the exit at which each image left.

        Args:
            image: (B, C, H, W) in [0, 1].
            thresholds: one for each exit; default: ``threshold`` for all.

        Returns:
            logits (B, K), and (B,) int64: the number of the exit, from 0; ``len(exits)`` is the network
            itself.

        """
        thresholds = [self.threshold] * len(self.exits) if thresholds is None else thresholds
        doubtful = torch.arange(len(image), device=image.device)
        left = torch.full_like(doubtful, len(self.exits))
        logits = image.new_zeros((len(image), self.backbone.num_classes))

        def at(number: int) -> Callable[..., Tensor]:
            def leave(_: nn.Module, __: tuple[Any, ...], output: Tensor) -> Tensor:
                nonlocal doubtful
                exit_ = cast(Exit, self.exits[number])
                own = exit_.classify(self._layouts[number](output))
                sure = confident(own, thresholds[number])
                logits[doubtful[sure]] = own[sure].to(logits.dtype)
                left[doubtful[sure]] = number
                doubtful = doubtful[~sure]
                if not len(doubtful):
                    raise _Answered
                return output[~sure]

            return leave

        with self._hooks(at), suppress(_Answered):
            last = self._whole(image)  # the hooks change which images remain
            logits[doubtful] = last.to(logits.dtype)
        return logits, left

    def costs(self, image: Tensor) -> tuple[float, ...]:
        """Cost of leaving at each exit, and of the network with all exits, relative to the network without exits.

        Args:
            image: (1, C, H, W); only its shape matters.

        Returns:
            One ratio of floating-point operations for each exit, shallow to deep, and one for the whole
            network.

        """
        never, at_once = 2.0, -1.0
        count = len(self.exits)
        patterns = [[never] * number + [at_once] * (count - number) for number in range(count + 1)]
        with torch.no_grad():
            whole = _flops(lambda: self._whole(image))
        return tuple(_flops(lambda p=p: self.answer(image, p)) / whole for p in patterns)  # type: ignore[misc]

    def save(self, folder: Path) -> None:
        """Write the exits and their settings into the folder of the exported network."""
        weights = {
            name: one.detach().cpu().contiguous().clone() for name, one in self.exits.state_dict().items()
        }
        save_file(weights, folder / WEIGHTS)
        settings = {
            "stages": list(self.stages),
            "threshold": self.threshold,
            "exits": [cast(Exit, one).shape for one in self.exits],
        }
        (folder / SETTINGS).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path, threshold: float | None = None) -> Progressive:
        """The exported network in ``folder``, with its exits.

        Args:
            folder: with ``config.json``, ``model.safetensors``, ``exits.json`` and ``exits.safetensors``.
            threshold: default: the one that was saved.

        Raises:
            KdzooError: the folder has no exits.

        """
        folder = Path(folder)
        try:
            settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
            weights = load_file(folder / WEIGHTS)
        except OSError as error:
            raise KdzooError(
                f"{folder}: there are no exits here ({error}); byot exports them next to its student"
            ) from None
        model = timm.create_model(f"local-dir:{folder}", pretrained=True)
        backbone = Backbone(model, input_size=tuple(model.pretrained_cfg["input_size"][1:]))
        exits = [Exit(**shape) for shape in settings["exits"]]
        nn.ModuleList(exits).load_state_dict(weights)
        return cls(
            backbone, exits, settings["stages"], settings["threshold"] if threshold is None else threshold
        )

    def _whole(self, image: Tensor) -> Tensor:
        """The network's logits, not compiled, since hooks do not run inside a compiled graph."""
        return self.backbone.forward(image).logits

    @contextmanager
    def _hooks(self, hook: Callable[[int], Callable[..., Any]]) -> Iterator[None]:
        handles = [
            module.register_forward_hook(hook(number))
            for number, module in enumerate(self._modules_of_stages)
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _module(self, stage: int) -> nn.Module:
        info = self.backbone.model.feature_info
        known = info if isinstance(info, list) else list(info.info)
        module: nn.Module = self.backbone.model.get_submodule(known[stage]["module"])
        return module

    @torch.no_grad()
    def _find_layouts(self) -> list[Layout]:
        """For each stage, the conversion from its module's output to its map, found with two synthetic images."""
        height, width = self.backbone.input_size
        count, device = 2 * self.backbone.channels * height * width, self.backbone.mean.device
        image = torch.linspace(0, 1, count, device=device).view(2, -1, height, width)
        shown = self.backbone.forward(image, self.stages).features
        outputs: dict[int, Tensor] = {}

        def keep(number: int) -> Callable[..., None]:
            def look(_: nn.Module, __: tuple[Any, ...], output: Any) -> None:
                if isinstance(output, Tensor):
                    outputs[number] = output

            return look

        with self._hooks(keep):
            self._whole(image)
        return [self._layout(outputs.get(number), map_) for number, map_ in enumerate(shown)]

    def _layout(self, output: Tensor | None, shown: Tensor) -> Layout:
        for layout in (_as_it_is, _channels_last, _tokens(shown.shape[-2], shown.shape[-1])):
            if output is not None:
                try:
                    found = layout(output)
                except (RuntimeError, ValueError):
                    continue
                if found.shape == shown.shape and torch.allclose(found, shown, atol=1e-4, rtol=1e-3):
                    return layout
        raise KdzooError(
            f"model {self.backbone.name!r} cannot have early exits: a stage that an exit reads is not the output of "
            "one module; take a network such as a ResNet, an EfficientNet or a ViT, or other stages"
        )


def _as_it_is(output: Tensor) -> Tensor:
    return output


def _channels_last(output: Tensor) -> Tensor:
    return output.permute(0, 3, 1, 2)


def _tokens(height: int, width: int) -> Layout:
    """Tokens (B, N, C) to a map; tokens before the patches, such as a class token, are left out."""

    def layout(output: Tensor) -> Tensor:
        patches = output[:, output.shape[1] - height * width :]
        return patches.transpose(1, 2).reshape(output.shape[0], -1, height, width)

    return layout


def _flops(compute: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        compute()
    return int(counter.get_total_flops())
