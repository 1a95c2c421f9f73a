"""The changelog has a heading for each release, newest first, and none is newer than the first."""

import re
from pathlib import Path

from packaging.version import Version

from kdzoo.version import __version__

TEXT = (Path(__file__).parents[2] / "CHANGELOG.md").read_text()
HEADINGS = re.findall("^## (.*)", TEXT, re.MULTILINE)


def test_each_release_has_a_heading_and_the_newest_is_first():
    versions = [Version(heading.split()[0]) for heading in HEADINGS]
    assert versions == sorted(set(versions), reverse=True)
    assert Version(__version__) in versions


def test_only_the_newest_may_be_unreleased():
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", heading) for heading in HEADINGS[1:])
    assert re.fullmatch(r"\d+\.\d+\.\d+( \(unreleased\))?", HEADINGS[0])
