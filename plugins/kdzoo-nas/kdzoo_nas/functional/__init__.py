"""Pure functions: similarity at initialisation, block-wise error, shared weights, the Pareto front."""

from kdzoo_nas.functional.blockwise import relative_error
from kdzoo_nas.functional.front import pareto_front
from kdzoo_nas.functional.sharing import cut
from kdzoo_nas.functional.similarity import class_gradient, gram_distance

__all__ = ["class_gradient", "cut", "gram_distance", "pareto_front", "relative_error"]
