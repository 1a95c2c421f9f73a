"""The conformance kit: finds, in any installed component, the mistakes that distillation code has made before.

``kdzoo check NAME`` and ``pytest --kdzoo`` run it; ``docs/checks.md`` says where each check comes from.
"""

from kdzoo.testing.check import CHECKS, Check, check
from kdzoo.testing.finding import Finding
from kdzoo.testing.kit import examine
from kdzoo.testing.subject import Subject, subjects_of

__all__ = ["CHECKS", "Check", "Finding", "Subject", "check", "examine", "subjects_of"]
