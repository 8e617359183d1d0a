"""Label noise as the definitions write it: loops, no vectorisation, decimal arithmetic for counts."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import numpy as np


def symmetric_transition(num_classes: int, rate: float, include_true: bool) -> np.ndarray:
    matrix = np.zeros((num_classes, num_classes))
    for clean in range(num_classes):
        matrix[clean, clean] += 1.0 - rate
        candidates = [noisy for noisy in range(num_classes) if include_true or noisy != clean]
        for noisy in candidates:
            matrix[clean, noisy] += rate / len(candidates)
    return matrix


def half_up(rate: str, samples: int) -> int:
    return int((Decimal(rate) * samples).quantize(Decimal(1), rounding=ROUND_HALF_UP))


def empirical_transition(clean: np.ndarray, noisy: np.ndarray, num_classes: int) -> np.ndarray:
    """T̂[i, j]: the share of the samples of clean class i that carry label j."""
    counts = np.zeros((num_classes, num_classes))
    for before, after in zip(clean.tolist(), noisy.tolist(), strict=True):
        counts[before, after] += 1
    return counts / counts.sum(axis=1, keepdims=True)


def mapped_transition(targets: dict[int, int], num_classes: int, rate: float) -> np.ndarray:
    matrix = np.zeros((num_classes, num_classes))
    for clean in range(num_classes):
        noisy = targets.get(clean, clean)
        matrix[clean, clean] += 1.0 - rate
        matrix[clean, noisy] += rate
    return matrix


def similarity_transition(prototypes: np.ndarray, rate: float, temperature: float) -> np.ndarray:
    count = len(prototypes)
    matrix = np.zeros((count, count))
    for clean in range(count):
        weights = {}
        for noisy in range(count):
            if noisy != clean:
                a, b = prototypes[clean], prototypes[noisy]
                cosine = float(a @ b) / (float(a @ a) ** 0.5 * float(b @ b) ** 0.5)
                weights[noisy] = np.exp(cosine / temperature)
        for noisy, weight in weights.items():
            matrix[clean, noisy] = rate * weight / sum(weights.values())
        matrix[clean, clean] = 1.0 - rate
    return matrix


def confusion_transition(counts: np.ndarray, rate: float | None) -> np.ndarray:
    matrix = np.zeros(counts.shape)
    for clean, row in enumerate(counts.astype(float)):
        others = sum(count for noisy, count in enumerate(row) if noisy != clean)
        for noisy, count in enumerate(row):
            if rate is None:
                matrix[clean, noisy] = count / row.sum()
            else:
                matrix[clean, noisy] = 1.0 - rate if noisy == clean else rate * count / others
    return matrix


def instance_probabilities(row: np.ndarray, projections: np.ndarray, label: int, flip: float) -> np.ndarray:
    """P(noisy | x) of Xia et al.: q·softmax of x·W_y without the clean class, and 1 − q for it."""
    logits = np.array(
        [sum(row[d] * projections[label, d, k] for d in range(len(row))) for k in range(len(projections))]
    )
    weights = np.array([0.0 if k == label else np.exp(logits[k]) for k in range(len(logits))])
    probabilities = flip * weights / weights.sum()
    probabilities[label] += 1.0 - flip
    return probabilities


def truncated_normal_mean(mean: float, std: float, points: int = 200_001) -> float:
    """By quadrature over [0, 1]."""
    x = (np.arange(points) + 0.5) / points
    density = np.exp(-0.5 * ((x - mean) / std) ** 2)
    return float((x * density).sum() / density.sum())


def posterior_flip(margin: float, kind: str) -> float:
    return {
        "I": 0.5 - 0.5 * margin**2,
        "II": 1.0 - margin**3,
        "III": 1.0 - (margin**3 + margin**2 + margin) / 3.0,
    }[kind]


# --- baselines of the benchmark: what the field's code does, written from its definition


def per_class_choice(labels: np.ndarray, matrix: np.ndarray, seed: int) -> np.ndarray:
    """Class by class, truncated counts, ``choice`` without replacement: cleanlab's generator of noisy labels."""
    generator = np.random.RandomState(seed)
    present, sizes = np.unique(labels, return_counts=True)
    noisy = labels.copy()
    for label, size in zip(present.tolist(), sizes.tolist(), strict=True):
        counts = (matrix[label] * size).astype(int)
        counts[label] = 0
        new = [other for other, count in enumerate(counts.tolist()) for _ in range(count)]
        members = np.flatnonzero((noisy == label) & (labels == label))
        if new and len(members) >= len(new):
            noisy[generator.choice(members, len(new), replace=False)] = new
    return noisy


def loop_rows(labels: np.ndarray, matrix: np.ndarray, seed: int) -> np.ndarray:
    """Sample by sample, one multinomial draw from the row of its label."""
    generator = np.random.RandomState(seed)
    noisy = labels.copy()
    for place, label in enumerate(labels):
        noisy[place] = np.flatnonzero(generator.multinomial(1, matrix[label], 1)[0])[0]
    return noisy


def loop_instance_dependent(
    labels: np.ndarray, rows: np.ndarray, rate: float, num_classes: int, seed: int
) -> np.ndarray:
    """Sample by sample: product with the projection of its class, softmax, ``choice`` among the classes."""
    import torch
    from scipy import stats

    generator = np.random.RandomState(seed)
    spread = 0.1
    law = stats.truncnorm(-rate / spread, (1 - rate) / spread, loc=rate, scale=spread)
    flips = torch.from_numpy(law.rvs(len(labels), random_state=generator)).float()
    drawer = torch.Generator().manual_seed(seed)
    present = {int(label): place for place, label in enumerate(np.unique(labels))}
    projections = torch.randn(min(len(present), 5), rows.shape[1], num_classes, generator=drawer)  # few: not timed
    features = torch.from_numpy(rows)
    found = []
    for place, label in enumerate(labels.tolist()):
        logits = (features[place].view(1, -1) @ projections[present[label] % len(projections)]).squeeze(0)
        logits[label] = -torch.inf
        logits = flips[place] * torch.softmax(logits, dim=0)
        logits[label] += 1 - flips[place]
        found.append(logits)
    probabilities = torch.stack(found).double().numpy()
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    names = list(range(num_classes))
    return np.array([generator.choice(names, p=probabilities[place]) for place in range(len(labels))])
