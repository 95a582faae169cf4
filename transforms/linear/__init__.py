"""Linear heads as arrays: standardisation, what they say of features, their loss, and its minimum by L-BFGS."""

from transforms.linear.head import LinearHead
from transforms.linear.lbfgs import TOLERANCE, Curvature, Minimum, curvature_of, minimise
from transforms.linear.loss import Examples, Judged, judge_linear, loss_and_gradient
from transforms.linear.standardisation import Moments, RunningMoments, reduced_maps

__all__ = [
    "TOLERANCE",
    "Curvature",
    "Examples",
    "Judged",
    "LinearHead",
    "Minimum",
    "Moments",
    "RunningMoments",
    "curvature_of",
    "judge_linear",
    "loss_and_gradient",
    "minimise",
    "reduced_maps",
]
