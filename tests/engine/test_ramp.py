import pytest

from kdzoo.api import Ramp


@pytest.mark.parametrize(
    ("shape", "middle"), [("linear", 0.5), ("cosine", 0.5), ("sigmoid", 2.718281828**-1.25)]
)
def test_the_shapes(shape, middle):
    ramp = Ramp(0.0, 1.0, begin=0.2, until=0.6, shape=shape)
    assert ramp(0.0) == ramp(0.2) == 0.0
    assert ramp(0.4) == pytest.approx(middle)
    assert ramp(0.6) == ramp(1.0) == 1.0


def test_it_can_fall_and_can_jump():
    assert Ramp(2.0, 1.0)(0.25) == 1.75
    assert [Ramp(until=0.0)(progress) for progress in (0.0, 0.5)] == [1.0, 1.0]


def test_a_ramp_outside_the_phase_is_refused():
    with pytest.raises(ValueError, match="0 <= begin <= until <= 1"):
        Ramp(begin=0.5, until=0.2)
