"""Transition matrices of label noise: T[i, j] = P(noisy = j | clean = i), so every row sums to one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .._checks import check_integer, check_number


def symmetric_transition(num_classes: int, rate: float, include_true: bool = False) -> npt.NDArray[np.float64]:
    """The matrix of symmetric (uniform) label noise; the literature uses the name for two different ones.

    - ``include_true=False``, *exclusive*: a label flips to one of the K − 1 **other** classes.
      T_ii = 1 − r, T_ij = r / (K − 1). The share of wrong labels is r.
    - ``include_true=True``, *inclusive*: a label is drawn anew from all K classes, its own among them.
      T_ii = 1 − r + r/K, T_ij = r/K. The share of wrong labels is only r·(K − 1)/K: "50 %" on ten classes is 45 %.

    The two are one family: inclusive(r) = exclusive(r·(K − 1)/K).

    Args:
        num_classes: K, at least 2 (at least 1 with ``include_true``).
        rate: r in [0, 1].
        include_true: whether the true class is among those drawn from.

    Returns:
        float64 array (K, K); row = clean class, column = noisy class (no column convention here: transpose for it).

    Raises:
        ValueError: ``rate`` outside [0, 1] or NaN, or no other class to flip to.

    Sources: exclusive as in Patrini et al. 2017 (arXiv 1609.03683) and Han et al. 2018 (Co-teaching, arXiv
    1804.06872); inclusive as in Li et al. 2020 (DivideMix, arXiv 2002.07394).

    >>> symmetric_transition(3, 0.4)
    array([[0.6, 0.2, 0.2],
           [0.2, 0.6, 0.2],
           [0.2, 0.2, 0.6]])
    >>> round(float(symmetric_transition(10, 0.5, include_true=True)[0, 0]), 9)
    0.55
    """
    classes = check_integer(num_classes, "num_classes", minimum=1)
    share = check_number(rate, "rate", minimum=0.0, maximum=1.0)
    if classes == 1 and not include_true:
        raise ValueError(
            "`num_classes` must be at least 2, got 1: there is no other class to flip to (include_true=True allows 1)"
        )
    off_diagonal = share / classes if include_true else share / (classes - 1)
    matrix = np.full((classes, classes), off_diagonal)
    np.fill_diagonal(matrix, 1.0 - share + off_diagonal if include_true else 1.0 - share)
    return matrix
