"""The protocol in plain words, for every report."""

from __future__ import annotations

RUN = (
    "The student is trained for a fixed number of epochs. It is evaluated on the validation split after each epoch "
    "or every few epochs; the test split is read once, after training.",
    "Two test accuracies are reported and never mixed: that of the weights after the last epoch, and that of the "
    "weights of the epoch with the highest validation accuracy. The test split is not used for any choice.",
)

SUITE = (
    "Every method gets the same data, splits, student, epochs, optimizer, augmentation and seeds, unless its "
    "settings below say otherwise. An algorithm may take more or fewer steps than others, which the figures "
    "work/student_updates, work/student_images and work/teacher_images of its results count. A seed determines the "
    "student's initial weights, the order of the images and their augmentation, so that runs with equal seeds can be "
    "compared in pairs. All students of a pair have the same teacher, trained once on the training split.",
    *RUN,
    "The main column is the accuracy after the last epoch. Intervals are 95% intervals of Student's t over seeds: "
    "they cover the variation over seeds, not over test images. With few seeds they are wide. They are not corrected "
    "for the number of methods, so among many methods one may seem to differ by chance; the tests below the "
    "leaderboard are corrected. They pool the deviation of all entries, for that of a few seeds is hardly known.",
)

OVER_PAIRS = (
    "Entries that all pairs have. The difference to the baseline, of tuned entries to the tuned one, is paired by "
    "seed, averaged over the seeds of a pair, and then taken as one value for each pair: intervals and t tests are "
    "over pairs, p values are corrected by Holm's method."
)

OVER_PAIRS_HEADINGS = ("method", "mean rank", "minus baseline", "p")
