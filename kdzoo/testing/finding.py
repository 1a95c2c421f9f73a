"""A finding of a check."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One mistake of one component.

    Attributes:
        check: the check's name.
        subject: the component and its distribution.
        what: what is wrong, with values.
        where: the parameter, hyper-parameter, role or file.
        mend: how to fix it.

    """

    check: str
    subject: str
    what: str
    where: str
    mend: str

    @property
    def item(self) -> str:
        """The last word of ``where``: the name of the hyper-parameter, parameter or role."""
        return self.where.split()[-1]

    def __str__(self) -> str:
        return f"{self.subject}: {self.what} ({self.check}, {self.where}). {self.mend}"
