"""The symmetric forms that weigh a deviation, and the matrices that they are made of."""

from collections.abc import Sequence

from broker.predictors.chart.vectors import Quadratic
from quartet.channels import CHANNELS

Vector = list[float]
Matrix = list[Vector]


def inverse(matrix: Matrix) -> Matrix:
    """Of a positive definite matrix, by Gauss and Jordan; such a one needs no pivoting."""
    size = len(matrix)
    work = [[*row, *(float(j == k) for k in range(size))] for j, row in enumerate(matrix)]
    for j, pivot_row in enumerate(work):
        pivot = pivot_row[j]
        pivot_row[:] = [value / pivot for value in pivot_row]
        for k, row in enumerate(work):
            if k != j:
                factor = row[j]
                row[:] = [x - factor * y for x, y in zip(row, pivot_row, strict=True)]
    return [row[size:] for row in work]


def packed(matrix: Matrix) -> Quadratic:
    """A symmetric matrix as a form."""
    return tuple(matrix[j][k] * (1 if j == k else 2) for j, k in _places())


def is_positive(form: Quadratic) -> bool:
    """Whether the form is above 0 at every vector but 0: by Gauss, all pivots are."""
    rows = _unpacked(form)
    for j, pivot_row in enumerate(rows):
        if pivot_row[j] <= 0:
            return False
        for row in rows[j + 1 :]:
            factor = row[j] / pivot_row[j]
            row[:] = [x - factor * y for x, y in zip(row, pivot_row, strict=True)]
    return True


def shares(form: Quadratic, vector: Sequence[float]) -> Vector:
    """What each channel adds to the value of a form, as shares of 1; none is negative."""
    full = _unpacked(form)
    added = [
        max(0.0, vector[j] * sum(full[j][k] * vector[k] for k in range(CHANNELS)))
        for j in range(CHANNELS)
    ]
    return [each / sum(added) for each in added]


def _unpacked(form: Quadratic) -> Matrix:
    full: Matrix = [[0.0] * CHANNELS for _ in range(CHANNELS)]
    for value, (j, k) in zip(form, _places(), strict=True):
        full[j][k] = full[k][j] = value if j == k else value / 2
    return full


def _places() -> list[tuple[int, int]]:
    """Where the numbers of a packed form belong."""
    upper = [(j, k) for j in range(CHANNELS) for k in range(j + 1, CHANNELS)]
    return [(j, j) for j in range(CHANNELS)] + upper
