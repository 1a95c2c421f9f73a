"""The recipe: everything that determines a run. It dumps to YAML, and that YAML runs again as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PlainSerializer,
    PositiveFloat,
    PositiveInt,
    SerializerFunctionWrapHandler,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
    model_serializer,
    model_validator,
)

from kdzoo.errors import shortened
from kdzoo.recipe.auto_augment import parse

Probability = Annotated[float, Field(ge=0, le=1)]
ComponentKind = Literal["knowledge", "scheme", "algorithm"]
ModalityName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
RoleName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$", max_length=60)]
Side = Annotated[int, Field(gt=0, le=4096)]
BlurWidth = Annotated[float, Field(gt=0, le=100)]

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$", max_length=100)]
"""Of a method or a suite, which is also a part of a folder's name: one that begins with a dot may lead elsewhere."""


AUTO = 0
"""A batch size that is to be found when the run begins."""


def _or_auto(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    return AUTO if value == "auto" else check(value)


BatchSize = Annotated[
    int, Field(gt=0, le=2**31), WrapValidator(_or_auto), PlainSerializer(lambda size: size or "auto")
]


class Section(BaseModel):
    """A part of the recipe: unknown keys are refused, values do not change afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Component(Section):
    """A Knowledge, Scheme or Algorithm by name, with its hyper-parameters: ``{name: kd, temperature: 4}``."""

    name: str = Field(description="the name under which a plugin provides it")
    settings: dict[str, Any] = Field(default_factory=dict, description="its hyper-parameters")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value}
        if isinstance(value, dict):
            own = {key: item for key, item in value.items() if key in cls.model_fields and key != "settings"}
            rest = {key: item for key, item in value.items() if key not in cls.model_fields}
            return {**own, "settings": {**_settings(value), **rest}}
        return value

    @model_serializer
    def _dump(self) -> dict[str, Any]:
        return {"name": self.name, **self.settings}


def _settings(component: dict[str, Any]) -> dict[str, Any]:
    found = component.get("settings", {})
    if not isinstance(found, dict):
        raise ValueError(f"settings: expected keys with values, not {shortened(found)}")
    return found


class Summand(Component):
    """A Knowledge in a sum: ``{name: kd, weight: 0.9, temperature: 4}``.

    In a list ``weight`` is that of the sum; a hyper-parameter of this name goes under ``settings``.
    """

    weight: NonNegativeFloat = Field(1.0, description="weight of its loss in the sum")

    @model_serializer
    def _dump(self) -> dict[str, Any]:
        if "weight" in self.settings:
            return {"name": self.name, "weight": self.weight, "settings": dict(self.settings)}
        return {"name": self.name, "weight": self.weight, **self.settings}


def _summands(value: Any) -> Any:
    """A name, or a component with its hyper-parameters, is a sum of one."""
    if value is None:
        return ()
    if isinstance(value, str | Component):
        value = {"name": value} if isinstance(value, str) else value.model_dump()
    if isinstance(value, dict):
        if value.get("name") is None:
            raise ValueError(f"settings without the name of a component: {shortened(value)}")
        settings = {key: item for key, item in value.items() if key not in ("name", "settings")}
        return ({"name": value.get("name"), "settings": {**_settings(value), **settings}},)
    return value


def _named_once(summands: tuple[Summand, ...]) -> tuple[Summand, ...]:
    names = [one.name for one in summands]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"names {shortened(twice[0])} twice")
    return summands


def _shortest(summands: tuple[Summand, ...]) -> Any:
    """None, a component alone, or a list with weights."""
    if not summands:
        return None
    if len(summands) == 1 and summands[0].weight == 1:
        return {"name": summands[0].name, **summands[0].settings}
    return [one.model_dump(mode="json") for one in summands]


Knowledges = Annotated[
    tuple[Summand, ...],
    BeforeValidator(_summands),
    AfterValidator(_named_once),
    PlainSerializer(_shortest),
]
"""What is taught: nothing, one Knowledge, or several whose weighted losses are added."""


def _numbers(value: Any) -> Any:
    """``0.5``, or ``0.5,0.4,0.3`` as on a command line, as several."""
    if isinstance(value, str):
        return list(value.replace(",", " ").split())
    return [value] if isinstance(value, int | float) else value


Mean = Annotated[tuple[float, ...], Field(min_length=1), BeforeValidator(_numbers)]
Std = Annotated[tuple[PositiveFloat, ...], Field(min_length=1), BeforeValidator(_numbers)]
"""A number for each channel, or one for all."""


class RoleConfig(Section):
    """The timm network that plays a role, and where its weights come from."""

    model: str = Field(description="a timm model name, or local-dir:FOLDER, or hf-hub:ID")
    pretrained: bool = Field(False, description="start from timm's pretrained weights (downloads them)")
    checkpoint: Path | None = Field(
        None,
        description="weights for the run's own classes: .safetensors, .pth, or an exported student folder; a teacher "
        "without them is trained first",
    )
    weights: str | None = Field(
        None,
        description="start from these weights, of whatever classes: pretrained (timm's), a file, a folder in timm's "
        "layout, local-dir:FOLDER or hf-hub:ID",
    )
    train: Literal["never", "head", "full", "auto"] | None = Field(
        None,
        description="what is trained for the run's classes: nothing, a new linear head, the whole network, or, "
        "with auto, as little as the method needs; default: auto for a teacher with weights, else full",
    )
    head: bool | None = Field(
        None,
        description="whether it has a classifier; default: yes, but for a teacher whose classes do not fit and whose "
        "logits the method does not read",
    )
    label_names: tuple[str, ...] | None = Field(
        None,
        description="class names of its weights in the order of the logits, where their file does not know them",
    )
    mean: Mean | None = Field(
        None,
        description="subtracted from images in [0, 1]; default: what the weights' config.json or timm says",
    )
    std: Std | None = Field(None, description="divides after that; default: as for mean")
    trust: bool = Field(False, description="use a teacher whose accuracy on validation images is near chance")
    img_size: Side | None = Field(
        None,
        description="side in pixels that this network sees; default: the data's, or the model's own if fixed or "
        "named by a local-dir: folder",
    )
    modality: str = Field("image", description="which of the data's modalities this network reads")
    drop_path: Probability | None = Field(None, description="rate of stochastic depth")
    kwargs: dict[str, Any] = Field(default_factory=dict, description="further arguments of timm.create_model")
    epochs: PositiveInt | None = Field(
        None, description="epochs of a teacher that is trained here; default: the recipe's"
    )
    seed: NonNegativeInt = Field(0, description="seed of a teacher that is trained here, whatever the run's")
    lr: PositiveFloat | None = Field(
        None, description="learning rate of a teacher that is trained here; default: the recipe's"
    )
    optim: OwnOptimConfig | None = Field(
        None,
        description="optimizer and schedule of a teacher that is trained here: the keys that differ from optim",
    )
    augment: AugmentConfig | None = Field(
        None,
        description="how images are varied for a teacher that is trained here; default: as data.augment says",
    )

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"model": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_origin(self) -> RoleConfig:
        if self.weights is not None and (self.checkpoint is not None or self.pretrained):
            raise ValueError("weights takes the place of checkpoint and pretrained: give one of them")
        return self

    @model_validator(mode="after")
    def _one_rate(self) -> RoleConfig:
        if self.lr is not None and self.optim is not None and {"lr", "lr_base"} & self.optim.model_fields_set:
            raise ValueError("lr and optim set the learning rate both: leave one out")
        return self

    def own_optim(self, common: OptimConfig) -> OptimConfig:
        """The settings of a teacher that is trained here: its own before the ``common`` ones."""
        own = (
            {}
            if self.optim is None
            else {name: getattr(self.optim, name) for name in self.optim.model_fields_set}
        )
        if self.lr is not None:
            own["lr"] = self.lr
        if "lr" in own:
            own.setdefault("lr_base", None)
        return common.model_copy(update=own)


def _automatic(name: str) -> str:
    parse(name)
    return name


AutoAugmentName = Annotated[str, AfterValidator(_automatic)]


class AugmentConfig(Section):
    """How training images are varied; drawn as a pure function of (seed, epoch, index)."""

    crop: NonNegativeInt = Field(
        0,
        le=1024,
        description="pad by this many pixels of zeros, at most the image's side, then crop back at random",
    )
    crop_padding: Literal["zeros", "reflect"] = Field(
        "zeros", description="crop: padded with zeros, or with the image mirrored at its border"
    )
    scale: tuple[PositiveFloat, PositiveFloat] | None = Field(
        None,
        description="random resized crop in place of crop: range of its part of the decoded image's area",
    )
    ratio: tuple[PositiveFloat, PositiveFloat] = Field(
        (3 / 4, 4 / 3), description="random resized crop: range of width / height"
    )
    interpolation: Literal["bilinear", "bicubic"] = Field(
        "bicubic", description="random resized crop: how it is resized, with antialiasing"
    )
    hflip: Probability = Field(0.0, description="probability of a left-right flip")
    vflip: Probability = Field(0.0, description="probability of an upside-down flip")
    rotate: NonNegativeFloat = Field(0.0, description="largest rotation in degrees")
    auto_augment: AutoAugmentName | None = Field(
        None,
        description="RandAugment in timm's notation (rand-m9-mstd0.5-inc1), trivial-augment or 3-augment",
    )
    color: NonNegativeFloat = Field(0.0, description="strength of brightness, contrast and saturation jitter")
    hue: Annotated[float, Field(ge=0, le=0.5)] = Field(
        0.0, description="colour jitter: largest turn of the hue, 1 being a whole turn"
    )
    color_prob: Probability = Field(1.0, description="probability of colour jitter")
    grey: Probability = Field(0.0, description="probability of taking the colour away")
    blur: Probability = Field(0.0, description="probability of a Gaussian blur")
    blur_sigma: tuple[BlurWidth, BlurWidth] = Field(
        (0.1, 2.0), description="blur: range of its standard deviation in pixels"
    )
    solarize: Probability = Field(0.0, description="probability of inverting values of 128 and above")
    erase: Probability = Field(0.0, description="probability of erasing a rectangle")
    erase_mode: Literal["black", "const", "rand", "pixel"] = Field(
        "black",
        description="erase: fill with black, or as timm: the mean colour, a random colour, one for each pixel",
    )
    erase_count: Annotated[int, Field(ge=1, le=16)] = Field(
        1, description="erase: most rectangles of an image"
    )
    erase_area: tuple[Probability, Probability] = Field(
        (0.02, 1 / 3), description="erase: range of the rectangles' part of the area"
    )
    erase_ratio: tuple[PositiveFloat, PositiveFloat] = Field(
        (0.3, 1 / 0.3), description="erase: range of height / width"
    )
    repeats: Annotated[int, Field(ge=1, le=64)] = Field(
        1, description="views of a sample in an epoch's batches, which so have that many times fewer samples"
    )
    mixup: NonNegativeFloat = Field(0.0, description="timm's mixup alpha")
    cutmix: NonNegativeFloat = Field(0.0, description="timm's cutmix alpha")
    mixup_prob: Probability = Field(1.0, description="probability of mixup or cutmix")
    mixup_switch_prob: Probability = Field(0.5, description="probability of cutmix where both are on")
    mixup_mode: Literal["batch", "pair", "elem"] = Field(
        "batch", description="mixed alike: a whole batch, each pair of images, or no two images"
    )

    @model_validator(mode="after")
    def _one_crop(self) -> AugmentConfig:
        if self.scale is not None and self.crop:
            raise ValueError("scale asks for a random resized crop: set crop to 0, or leave scale out")
        for name, (low, high) in (
            ("scale", self.scale or (1.0, 1.0)),
            ("ratio", self.ratio),
            ("blur_sigma", self.blur_sigma),
            ("erase_area", self.erase_area),
            ("erase_ratio", self.erase_ratio),
        ):
            if low > high:
                raise ValueError(f"{name} is a range from {low:g} to {high:g}: give the smaller number first")
        if self.scale is not None and self.scale[1] > 1:
            raise ValueError("scale is a part of the area: at most 1")
        return self

    @model_serializer(mode="wrap")
    def _given(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What was given: a recipe that ran with the data set's defaults for the rest runs so again."""
        return {name: value for name, value in dump(self).items() if name in self.model_fields_set}


class DataConfig(Section):
    """Where the images come from and how they are split, cut down and varied."""

    dataset: str = Field(
        "digits",
        description="digits (embedded), folder (data_dir), a plugin's, or any name that timm.data.create_dataset "
        "reads",
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="keyword arguments of a plugin's data set"
    )
    data_dir: Path | None = Field(
        None, description="the image folder: train/, val/, test/ with class folders, or class folders alone"
    )
    class_depth: PositiveInt = Field(
        1, description="so many folders below a split name the class of an image"
    )
    unlabelled: bool = Field(
        False,
        description="take every picture of the image folder, in whatever sub-folder, as one without a label, for "
        "methods that need none",
    )
    allow_missing: bool = Field(False, description="accept classes that have no image in some split")
    labels_file: Path | None = Field(
        None,
        description="a CSV or parquet file with the columns path (below data_dir), label and perhaps split (train, "
        "val or test), in place of class folders",
    )
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.2, description="part of each class that is the test split where the images come in no splits"
    )
    img_size: Side | None = Field(
        None,
        description="side in pixels to decode to; default: the images' own if they are all alike, else 224",
    )
    crop_pct: Annotated[float, Field(ge=0.1, le=1)] | None = Field(
        None,
        description="evaluation: the shorter side is resized to img_size / crop_pct, then the centre is cut out; "
        "default: the student's own in timm, or 1 for tiny images of one size",
    )
    interpolation: Literal["nearest", "bilinear", "bicubic", "box", "hamming", "lanczos"] | None = Field(
        None, description="evaluation: how images are resized; default: the student's own in timm"
    )
    canvas: Annotated[float, Field(ge=1, le=8)] = Field(
        1.15,
        description="random resized crops of photographs: side of the square in which the whole image is kept "
        "decoded, as a multiple of img_size",
    )
    val_fraction: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.1, description="part of train used for validation where no validation split exists; 0 = none"
    )
    split_seed: NonNegativeInt = Field(0, description="seeds the validation split and the subsets below")
    train_per_class: PositiveInt | None = Field(None, description="use so many training images of each class")
    test_per_class: PositiveInt | None = Field(None, description="use so many test images of each class")
    labels_per_class: NonNegativeInt | None = Field(
        None, description="keep so many training labels of each class and withhold the rest"
    )
    sampling: Literal["balanced"] | None = Field(
        None,
        description="balanced: an epoch is as long as without, and has each class equally often; default: each "
        "training image once",
    )
    class_weights: Literal["balanced"] | None = Field(
        None,
        description="balanced: weigh the task loss of each class by the inverse of its number of labelled training "
        "images, with mean 1 over the images",
    )
    withhold_train: bool = Field(
        False, description="open no training image, for methods that work without data; train/ may be missing"
    )
    batch_size: BatchSize = Field(
        128,
        description="samples per step and process, or auto: the most that fit into memory; where it is not given and "
        "an image folder has few images, a power of two from 16 that makes 20 steps an epoch",
    )
    drop_last: bool = Field(
        True, description="leave out the rest of an epoch that fills no batch; false: it is a smaller batch"
    )
    workers: NonNegativeInt | None = Field(
        None, description="decoding threads, or processes where the set streams; default: one per core"
    )
    cache_gb: NonNegativeFloat = Field(
        4.0, description="sets that decode to at most this are cached, others stream"
    )
    views: PositiveInt | None = Field(
        None,
        description="make the views of so many epochs; the epochs after them repeat these in new orders. Default: "
        "new views in every epoch",
    )
    bad_images: Probability = Field(0.01, description="largest part of unreadable images that is skipped")
    augment: AugmentConfig | None = Field(
        None, description="default: what suits the data set, for each key not given; {} varies nothing"
    )
    computed: dict[ModalityName, Literal["edges", "grey", "heat", "low-resolution"]] = Field(
        default_factory=dict,
        description="further modalities, computed from the image: name -> edges, grey, heat or low-resolution",
    )
    paired: dict[ModalityName, Path] = Field(
        default_factory=dict,
        description="further modalities: name -> an image folder with the files of data_dir, by name",
    )

    @model_validator(mode="before")
    @classmethod
    def _folder(cls, value: Any) -> Any:
        """A folder without the name of a data set is an image folder."""
        if isinstance(value, dict) and value.get("data_dir") is not None and "dataset" not in value:
            return {**value, "dataset": "folder"}
        return value

    @model_validator(mode="after")
    def _distinct(self) -> DataConfig:
        twice = {"image", *self.computed}.intersection(self.paired) | {"image"}.intersection(self.computed)
        if twice:
            raise ValueError(f"the modality {sorted(twice)[0]!r} is there already: choose another name")
        return self


class OptimConfig(Section):
    """Optimizer and schedule of one role; names and meanings are timm's."""

    opt: str = Field("adamw", description="a timm optimizer name")
    lr: PositiveFloat = Field(2e-3, description="peak learning rate")
    lr_base: PositiveFloat | None = Field(
        None, description="sets lr by the images of a step in all processes: lr_base x images / lr_base_size"
    )
    lr_base_size: PositiveInt = Field(256, description="images of a step for which lr_base holds")
    lr_base_scale: Literal["linear", "sqrt"] | None = Field(
        None, description="how lr_base follows the images; default: sqrt for Adam and its kin, else linear"
    )
    weight_decay: NonNegativeFloat = Field(0.05, description="weight decay; see filter_bias_and_bn")
    filter_bias_and_bn: bool = Field(
        True,
        description="biases and norms (parameters of one dimension) do not decay; false: every parameter does",
    )
    layer_decay: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None,
        description="learning rate of each layer of a timm network as a part of that of the layer above; heads and "
        "connectors have the whole",
    )
    momentum: Probability = Field(0.9, description="momentum, where the optimizer has one")
    opt_kwargs: dict[str, Any] = Field(default_factory=dict, description="further arguments of the optimizer")
    sched: Literal["cosine", "tanh", "poly", "step", "multistep", "wsd", "constant", "none"] = Field(
        "cosine", description="a timm schedule, read at every step of a phase"
    )
    warmup_epochs: NonNegativeFloat = Field(
        1.0, description="epochs of linear warm-up from warmup_lr; at most half a phase"
    )
    warmup_lr: NonNegativeFloat = Field(1e-5, description="learning rate at which the warm-up begins")
    min_lr: NonNegativeFloat = Field(0.0, description="learning rate at which the cosine ends")
    decay_epochs: tuple[PositiveFloat, ...] = Field(
        (30.0,), min_length=1, description="step: period; multistep: milestones"
    )
    decay_rate: PositiveFloat = Field(0.1, description="step and multistep: factor")
    clip_grad: PositiveFloat | None = Field(None, description="largest gradient norm of the role")
    grad_accum_steps: PositiveInt = Field(
        1,
        description="steps whose gradients are averaged for one update; an epoch's last update may have fewer",
    )


class OwnOptimConfig(OptimConfig):
    """The keys of :class:`OptimConfig` in which a teacher's training differs; the others are the recipe's."""

    @model_serializer(mode="wrap")
    def _given(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in dump(self).items() if name in self.model_fields_set}


RoleConfig.model_rebuild()


class EmaConfig(Section):
    """The exponential moving average of each student's weights and buffers, as timm's ``ModelEmaV3`` computes it."""

    decay: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        None,
        description="decay of an update; the students end each phase with their averages, which are exported; "
        "default: no average",
    )
    warmup: bool = Field(
        False, description="begin with a small decay, 1 - (1 + updates)^(-2/3), that rises to decay"
    )

    @model_validator(mode="after")
    def _averages(self) -> EmaConfig:
        if self.warmup and self.decay is None:
            raise ValueError("warmup is that of an average: set decay too")
        return self


class EarlyStoppingConfig(Section):
    """Ends a phase whose validation figure no longer rises. What the test split says has no part in it."""

    patience: PositiveInt | None = Field(
        None,
        description="validations without a better figure after which a phase ends; default: it is trained whole",
    )
    metric: Annotated[str, Field(pattern=r"^val/")] = Field(
        "val/accuracy", description="the figure, larger is better, as the epochs record it"
    )


class Recipe(Section):
    """Everything that determines a run."""

    kdzoo: str = Field(description="the version of kdzoo that resolved this recipe")
    method: Name | None = Field(None, description="the registry's name of what this began as")
    knowledge: Knowledges = Field((), description="what is taught: one component, or a list with weights")
    scheme: Component = Field(description="who teaches whom")
    algorithm: Component = Field(description="how training is run")
    roles: dict[RoleName, RoleConfig] = Field(description="the networks, by role: student, teacher, ...")
    data: DataConfig = Field(DataConfig(), description="the images")
    optim: OptimConfig = Field(OptimConfig(), description="optimizer and schedule")
    model_ema: EmaConfig = Field(EmaConfig(), description="moving average of the students' weights")
    early_stopping: EarlyStoppingConfig = Field(EarlyStoppingConfig(), description="when a phase ends early")
    epochs: PositiveInt = Field(20, description="epochs of the student")
    seed: NonNegativeInt = Field(0, description="seed of the run's random numbers")
    smoothing: Probability = Field(0.0, description="label smoothing of the task loss")
    precision: Literal["32-true", "bf16-mixed"] = Field(
        "32-true", description="autocast to bfloat16 with bf16-mixed; losses stay in float32"
    )
    channels_last: bool = Field(True, description="channels-last memory format of images and networks")
    compile: bool = Field(False, description="compile every backbone with torch.compile")
    deterministic: bool = Field(False, description="deterministic kernels on a GPU (always so on a CPU)")
    eval_every: PositiveInt = Field(1, description="epochs between validations")
    checkpoint_seconds: NonNegativeFloat = Field(60.0, description="least time between two checkpoints")
    store_gb: NonNegativeFloat = Field(
        1.0,
        description="GB of a frozen teacher's answers that are kept for later runs with the same views; 0 = none",
    )
    observers: tuple[str, ...] = Field(("console", "wandb"), description="who records the run, by name")

    @property
    def components(self) -> list[tuple[ComponentKind, Component]]:
        """Every component that the recipe names, with its kind."""
        taught: list[tuple[ComponentKind, Component]] = [("knowledge", one) for one in self.knowledge]
        return [*taught, ("scheme", self.scheme), ("algorithm", self.algorithm)]

    @field_validator("roles")
    @classmethod
    def _has_student(cls, roles: dict[str, RoleConfig]) -> dict[str, RoleConfig]:
        if "student" not in roles:
            raise ValueError("a recipe needs the role 'student': pass --student MODEL")
        for name, role in roles.items():
            if not name.startswith("teacher") and (role.optim is not None or role.augment is not None):
                raise ValueError(
                    f"{name}: optim and augment are those of a teacher that is trained here; other roles have the "
                    "recipe's, optim and data.augment"
                )
        return roles
