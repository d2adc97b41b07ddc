"""Pulmonary vessels: two trees of tapering, bending tubes that branch from the hila."""

import numpy as np

from data.phantom.anatomy import Thorax, chord
from data.phantom.cohort import stream
from data.phantom.frame import Frame, Map

CROWDED = 45.0  # mm: near the hilum tubes lie before and behind each other, not side by side
GENERATIONS = 4
DENSITY = np.float32(4.5)  # a vessel runs with its bronchus wall and vein: more than one chord
CHILDREN = (1, 3, 2, 2)  # tubes that leave each tube of the generation before


def vessels(thorax: Thorax, frame: Frame) -> Map:
    """Thickness of vessel in mm, (side, side), hila included; not yet clipped to the lungs."""
    total = np.zeros_like(frame.x)
    for side in (-1, 1):
        for x, y, radius in _tree(thorax, side):
            across = max(3, int(np.ceil(2.2 * float(radius.max()) / frame.pixel)))
            total += _tubes(frame, x, y, radius, across)
    total *= DENSITY
    return total / (1 + total * np.float32(1 / CROWDED))


def _tree(thorax: Thorax, side: int) -> list[tuple[Map, Map, Map]]:
    """Per generation: points x, y (tubes, points) and radii; scaled with the lung's height."""
    p = thorax.patient
    rng = stream(p.seed, p.number, -1, f"vessels {side}")
    root_x, root_y = (30.0, -26.0) if side > 0 else (31.0, -16.0)
    stretch = (thorax.dome(side) - p.apex) / 205.0
    # Angles from straight up (-90) over lateral (0) to straight down (90).
    angle = np.deg2rad(np.array([-78, -58, -36, -14, 8, 26, 44, 60, 74, 86.0]))
    angle = angle + rng.normal(0, 0.08, angle.size)
    size = np.array([3.0, 3.3, 3.0, 2.8, 3.0, 3.3, 4.0, 4.6, 6.5, 4.0])
    length = np.array([52, 58, 55, 58, 62, 66, 74, 80, 74, 60.0]) * rng.uniform(0.85, 1.15, 10)
    x, y = np.full(10, root_x), root_y + 16 * np.sin(angle)
    heading = angle
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for generation in range(GENERATIONS):
        if generation:
            from_x, from_y, from_radius = parts[-1]
            count = CHILDREN[generation]
            tubes = len(from_x)
            at = rng.uniform(0.25, 0.95, (tubes, count))
            at[:, 0] = 1.0
            index = (at * (from_x.shape[1] - 1)).astype(int)
            row = np.arange(tubes)[:, None]
            x, y = from_x[row, index].ravel(), from_y[row, index].ravel()
            fork = rng.uniform(0.25, 0.75, (tubes, count)) * rng.choice([-1, 1], (tubes, count))
            angle = (heading[:, None] + fork).ravel()
            size = (from_radius[row, index] * rng.uniform(0.6, 0.88, (tubes, count))).ravel()
            length = np.repeat(length, count) * rng.uniform(0.45, 0.75, tubes * count)
        points = (26, 18, 14, 12)[generation]
        along = np.linspace(0, 1, points)
        bend = rng.normal(0, 0.28, angle.size)
        turning = angle[:, None] + bend[:, None] * along
        step = length[:, None] / (points - 1)
        px = x[:, None] + np.cumsum(np.cos(turning) * step, axis=1) - np.cos(angle)[:, None] * step
        py = y[:, None] + stretch * np.cumsum(np.sin(turning) * step, axis=1)
        radius = size[:, None] * (1 - 0.45 * along)
        heading = turning[:, -1]
        parts.append((px, py, radius))
    shift = 10 * thorax.turn
    return [
        ((side * a + shift).astype(np.float32), b.astype(np.float32), r.astype(np.float32))
        for a, b, r in parts
    ]


def _tubes(frame: Frame, x: Map, y: Map, radius: Map, across: int) -> Map:
    step_x, step_y = np.gradient(x, axis=1), np.gradient(y, axis=1)
    length = np.hypot(step_x, step_y) + np.float32(1e-6)
    fine = max(int(np.ceil(float(length.max()) / frame.pixel)), 1)
    weight = (np.arange(fine, dtype=np.float32) / fine - np.float32(0.5))[:, None]
    u = np.linspace(-0.9, 0.9, across, dtype=np.float32)
    profile = chord(u * u)
    profile /= profile.sum() * np.float32(2 / np.pi)  # so that the cross-section is pi r^2
    cx = x[..., None, None] + weight * step_x[..., None, None]
    cy = y[..., None, None] + weight * step_y[..., None, None]
    nx, ny = (-step_y / length)[..., None, None], (step_x / length)[..., None, None]
    r = radius[..., None, None]
    px, py = cx + u * r * nx, cy + u * r * ny
    volume = (length / fine)[..., None, None] * 2 * r * r * profile
    return frame.deposit(px, py, np.broadcast_to(volume, px.shape))
