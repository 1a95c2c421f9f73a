"""The protocol in plain words, for every report."""

from __future__ import annotations

RUN = (
    "The student is trained for a number of epochs that is fixed in advance. On the way it is measured on the "
    "validation split, after each epoch or each few; the test split is opened once, when training is over.",
    "Two numbers come from the test split and are never mixed: the accuracy of the weights after the last epoch, "
    "and that of the weights of the epoch at which validation accuracy was highest. The test split decides neither.",
)

SUITE = (
    "Every method gets the same data, splits, student, epochs, optimizer, augmentation and seeds, unless its "
    "settings below say otherwise. A seed decides the student's initial weights, the order of the images and their "
    "augmentation, so that runs with equal seeds can be compared in pairs. One teacher, trained once on the "
    "training split, teaches every student of its pair.",
    *RUN,
    "The main column is the accuracy after the last epoch. Intervals are 95% intervals of Student's t over seeds: "
    "they tell what other seeds would change, not what other test images would. With few seeds they are wide, and "
    "they are not corrected for the number of methods, so among many methods one may seem to differ by chance.",
)
