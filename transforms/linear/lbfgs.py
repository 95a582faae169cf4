"""L-BFGS: a linear head brought to the optimum of its loss with an L2 penalty, by SciPy.

Features of a conv base are correlated: the loss is steep along some directions and flat along others, which costs
L-BFGS hundreds of passes. It is therefore run in other coordinates, in which the features of the training part are
about uncorrelated: the inverse of the Cholesky factor of an estimate of the Hessian, c · covariance + 2 · L2 (c the
mean of p · (1 - p) over rows and classes, which falls with the loss). The optimum is the same.
"""

import dataclasses
from typing import Final

import numpy as np

from schemas.classifiers import LabelKind
from schemas.errors import RunFailed
from transforms.linear.head import LinearHead
from transforms.linear.loss import Examples, loss_and_gradient
from transforms.linear.standardisation import Moments
from transforms.runtime import PROGRESS

# The least decrease of the loss by an iteration after which another is made.
TOLERANCE: Final = 1e-7
_MOST_PASSES: Final = 500
# Pairs of steps and gradients that L-BFGS keeps.
_PAIRS: Final = 10

# With more features than these, the covariance would cost more than it saves.
_MOST_CORRELATED: Final = 2048
# Rows a feature that an estimate of the covariance takes: enough for condition numbers of about 4.
_ROWS_PER_FEATURE: Final = 8
# The least share of a feature's variance that is taken for more than rounding.
_LEAST_SHARE: Final = 1e-5
# The mean of p · (1 - p) beside the loss, where most rows are told apart.
_CURVATURE_PER_LOSS: Final = 0.4
_LEAST_CURVATURE: Final = 1e-4


@dataclasses.dataclass(frozen=True)
class Minimum:
    """Where L-BFGS ended.

    Attributes:
        head: The head there.
        loss: Its loss on the rows to which it was fitted, without the penalty; infinite where it is not known.
        passes: How often it went through them.
    """

    head: LinearHead
    loss: float
    passes: int


@dataclasses.dataclass(frozen=True)
class Curvature:
    """What is known of the Hessian beforehand.

    Attributes:
        covariance: float64 [D, D] of standardised vectors; None where D is too large, and they count as uncorrelated.
        of_bias: float64 [outputs], p · (1 - p) for each class, p its frequency.
    """

    covariance: np.ndarray | None
    of_bias: np.ndarray


def minimise(start: Minimum, examples: Examples, l2: float, curvature: Curvature, tolerance: float) -> Minimum:
    """Finds the head with the least mean loss + L2 · sum of squares of the kernel.

    To be called where BLAS has one thread.

    Args:
        start: Where it begins: the minimum with another L2, or a head of no known loss.
        examples: The rows.
        l2: The weight of the penalty.
        curvature: What is known of the Hessian.
        tolerance: An iteration that lowers the objective by less is the last.

    Raises:
        RunFailed: If the loss does not stay finite.
    """
    from scipy import optimize

    coordinates = _Coordinates.of(curvature, l2, start.loss)
    head, outputs = start.head, len(start.head.bias)
    losses: list[float] = []

    def weights(point: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return coordinates.kernel(point[outputs:].reshape(-1, outputs)), point[:outputs] / coordinates.of_bias

    def objective(point: np.ndarray) -> tuple[float, np.ndarray]:
        kernel, bias = weights(point)
        loss, by_kernel, by_bias = loss_and_gradient(head.with_weights(kernel, bias), examples)
        losses.append(loss)
        PROGRESS.add(passes=1)
        by_point = coordinates.gradient(by_kernel + 2 * l2 * kernel)
        return loss + l2 * float(np.vdot(kernel, kernel)), np.append(by_bias / coordinates.of_bias, by_point)

    found = optimize.minimize(
        objective,
        np.append(head.bias * coordinates.of_bias, coordinates.point(head.kernel.astype(np.float64))),
        jac=True,
        method="L-BFGS-B",
        options={"maxcor": _PAIRS, "ftol": tolerance, "gtol": tolerance, "maxfun": _MOST_PASSES},
    )
    kernel, bias = weights(found.x)
    if not np.isfinite(found.fun) or not np.isfinite(kernel).all():
        remedy = "; features this large need --standardise=true" if head.moments is None else f" with an L2 of {l2:g}"
        raise RunFailed(f"The training diverged: the loss is not finite{remedy}.")
    found_head = dataclasses.replace(head.with_weights(kernel, bias), l2=l2)
    return Minimum(found_head, float(found.fun) - l2 * float(np.vdot(kernel, kernel)), passes=len(losses))


def curvature_of(examples: Examples, moments: Moments | None, kind: LabelKind, frequencies: np.ndarray) -> Curvature:
    """Estimates the Hessian at the frequencies of the classes, in one pass.

    Args:
        examples: The rows.
        moments: What standardises their vectors.
        kind: What labels an image can have.
        frequencies: float64 [outputs], those of the classes that the outputs stand for.
    """
    share = 1 if kind != LabelKind.MULTI_LABEL else len(frequencies)  # The loss is a mean over its classes.
    of_bias = np.maximum(frequencies * (1 - frequencies), 1e-6) / share
    dimensions, covariance, rows = 0, np.zeros((0, 0)), 0
    step = None
    for block in examples.vectors():
        if step is None:
            dimensions = block.shape[1]
            if dimensions > _MOST_CORRELATED:
                return Curvature(None, of_bias)
            step = max(len(examples) // (_ROWS_PER_FEATURE * dimensions), 1)
            covariance = np.zeros((dimensions, dimensions))
        vectors = block[::step]
        if moments is not None:
            vectors = (vectors - moments.mean) / moments.deviation
        covariance += vectors.T @ vectors
        rows += len(vectors)
    return Curvature(covariance / max(rows, 1), of_bias)


@dataclasses.dataclass(frozen=True)
class _Coordinates:
    """Coordinates in which the Hessian is about 1.

    Attributes:
        factor: float64 [D, D], lower triangular, or a number: kernel = factor⁻ᵀ · point.
        of_bias: float64 [outputs]: bias = point / of_bias.
    """

    factor: np.ndarray | float
    of_bias: np.ndarray

    @classmethod
    def of(cls, curvature: Curvature, l2: float, loss: float) -> "_Coordinates":
        at_most = float(curvature.of_bias.mean())
        by_loss = _CURVATURE_PER_LOSS * loss / len(curvature.of_bias)
        scale = max(min(at_most, by_loss), _LEAST_CURVATURE * at_most)
        of_bias = np.sqrt(curvature.of_bias * (scale / at_most))
        if curvature.covariance is None:
            return cls(float(np.sqrt(scale + 2 * l2)), of_bias)
        variance = float(curvature.covariance.trace()) / len(curvature.covariance)
        hessian = scale * curvature.covariance
        hessian[np.diag_indices_from(hessian)] += max(2 * l2, _LEAST_SHARE * scale * variance, 1e-12)
        return cls(np.linalg.cholesky(hessian), of_bias)

    def kernel(self, point: np.ndarray) -> np.ndarray:
        return self._solved(point, transposed=True)

    def gradient(self, by_kernel: np.ndarray) -> np.ndarray:
        """Returns the derivatives by the point."""
        return self._solved(by_kernel, transposed=False)

    def point(self, kernel: np.ndarray) -> np.ndarray:
        points: np.ndarray = kernel * self.factor if isinstance(self.factor, float) else self.factor.T @ kernel
        return points

    def _solved(self, values: np.ndarray, *, transposed: bool) -> np.ndarray:
        from scipy import linalg

        if isinstance(self.factor, float):
            return values / self.factor
        solved: np.ndarray = linalg.solve_triangular(
            self.factor, values, trans="T" if transposed else "N", lower=True, check_finite=False
        )
        return solved
