"""Where decoded images are kept."""

import pytest
import torch

from kdzoo.api import KdzooError
from kdzoo.data import cache
from kdzoo.data.open import open_data
from kdzoo.places import cache_folder
from kdzoo.recipe.data import DataConfig


class TestPlace:
    def test_the_place(self, monkeypatch, tmp_path):
        monkeypatch.setenv("KDZOO_CACHE", str(tmp_path))
        assert cache.folder() == tmp_path / "datasets"
        assert cache.folder(tmp_path / "here") == tmp_path / "here"

    def test_home_relative_and_empty(self, monkeypatch, tmp_path):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.setenv("KDZOO_CACHE", "~/x")
        assert cache_folder() == tmp_path / "home" / "x"
        monkeypatch.setenv("KDZOO_CACHE", "x")
        assert cache_folder() == tmp_path / "x"
        monkeypatch.setenv("KDZOO_CACHE", "")
        usual = cache_folder()
        monkeypatch.delenv("KDZOO_CACHE")
        assert cache_folder() == usual != tmp_path

    @pytest.mark.parametrize(
        ("chosen", "said"),
        [
            ("~nobody-has-this-name/x", "no such user has a home folder"),
            ("/dev/null", "is not a folder"),
            ("a-file", "is not a folder"),
        ],
    )
    def test_refused(self, chosen, said, monkeypatch, tmp_path):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "a-file").write_text("")
        monkeypatch.setenv("KDZOO_CACHE", chosen)
        with pytest.raises(KdzooError, match=f"^KDZOO_CACHE {chosen}:? {said}$"):
            cache_folder()

    @pytest.mark.parametrize("chosen", ["/dev/null", "/dev/null/x", "/proc/x", "x" * 300])
    def test_nothing_is_asked_of_it_before_something_is_decoded(self, chosen, monkeypatch, make_folder):
        monkeypatch.setenv("KDZOO_CACHE", chosen)
        folder = make_folder(train=4, test=2)

        def opened(**given):
            config = DataConfig(data_dir=folder, batch_size=8, workers=0, **given)
            return open_data(config, seed=0, device=torch.device("cpu"))

        assert len(list(opened(cache_gb=0).test)) == 1
        with pytest.raises(
            KdzooError, match=r"^(KDZOO_CACHE|cannot write the cache of decoded images) [^\n]*$"
        ):
            opened()
