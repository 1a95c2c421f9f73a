import subprocess
import sys
from typing import get_type_hints

import pytest
from pydantic import TypeAdapter, ValidationError

import kdzoo_graph
from kdzoo_graph.irg import IRG
from kdzoo_graph.mhgd import MHGD


def test_the_plugin_announces_itself_without_torch():
    assert list(kdzoo_graph.kdzoo_knowledge()) == ["hkd", "irg", "mhgd"]
    script = "import sys, kdzoo_graph; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.parametrize("knowledge", [IRG, MHGD])
@pytest.mark.parametrize("stages", [(-1,), (-1, -2), (-2, 1)])
def test_bad_stages_are_refused_by_their_type(knowledge, stages):
    hints = get_type_hints(knowledge.__init__, include_extras=True)
    assert TypeAdapter(hints["stages"]).validate_python((-2, -1)) == (-2, -1)
    with pytest.raises(ValidationError):
        TypeAdapter(hints["stages"]).validate_python(stages)
