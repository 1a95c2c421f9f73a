"""Which data set a recipe names: the embedded one, a folder, a plugin's, or one that timm reads."""

from __future__ import annotations

from dataclasses import replace

from kdzoo.data import digits, folder, labels_file, plugin_source, timm_source
from kdzoo.data.class_folders import ACCEPTED
from kdzoo.data.listing import Source
from kdzoo.data.traits import traits
from kdzoo.errors import KdzooError, UnknownName
from kdzoo.recipe.data import DataConfig
from kdzoo.zoo import Zoo


def data_name(config: DataConfig) -> str:
    """The data set that is meant: whoever gives a folder and names no set means the folder."""
    if config.data_dir is not None and "dataset" not in config.model_fields_set:
        return "folder"
    return config.dataset


def _only_of_folders(config: DataConfig) -> str | None:
    """The first setting that an image folder alone has a use for."""
    return next((one for one in ("labels_file", "unlabelled", "allow_missing") if getattr(config, one)), None)


def find_source(config: DataConfig, zoo: Zoo | None = None) -> Source:
    """The data set that the configuration names, with its samples found and nothing decoded.

    Args:
        config: which one, where it lies, its options.
        zoo: whose plugins may have it; default: those that are installed, asked if nobody else has the name.

    Raises:
        UnknownName: nobody has it; names the nearest ones.
        KdzooError: its folder or its options are not as they must be.

    """
    name, data_dir = data_name(config), config.data_dir and config.data_dir.expanduser()
    if name != "folder" and (given := _only_of_folders(config)):
        raise KdzooError(f"data.{given} is for image folders (data.data_dir); {name!r} takes none")
    if name in ("digits", "folder") or timm_source.reads(name):
        if config.options and name in ("digits", "folder"):
            raise KdzooError(f"data.options are for data sets of plugins and of timm; {name!r} takes none")
        if name == "digits":
            if data_dir is not None:
                raise KdzooError(
                    f"data.data_dir {data_dir} goes with data.dataset 'folder' or a timm data set; "
                    "digits are embedded"
                )
            return digits.read(config.img_size or digits.IMG_SIZE)
        if name == "folder":
            if data_dir is None:
                raise KdzooError(f"data.dataset 'folder' needs data.data_dir: {ACCEPTED}")
            if config.labels_file is not None:
                found = labels_file.scan(data_dir, config.labels_file.expanduser(), config)
            else:
                found = folder.scan(data_dir, config)
            looked_at = found.test if config.withhold_train else found.train
            return replace(found, notes=(*found.notes, *traits(looked_at)))
        return timm_source.scan(name, data_dir, config)
    zoo = zoo or Zoo()
    brought = zoo.components("dataset")
    if name not in brought:
        raise UnknownName("data set", name, ("digits", "folder", *timm_source.KNOWN, *brought), zoo.hint)
    return plugin_source.read(zoo.find("dataset", name), config)
