"""Ribs, clavicles, scapulae, humeri and spine as curved rods laid on the film point by point."""

import numpy as np

from data.phantom.anatomy import Thorax, chord, ellipse, smooth_step
from data.phantom.frame import Frame, Map

VERTEBRA_PITCH = 21.5  # mm from one thoracic vertebra, and rib, to the next


def bones(thorax: Thorax, frame: Frame) -> Map:
    """Thickness of bone in mm of cortical bone, (side, side)."""
    total = _ribs(thorax, frame) + _spine(thorax, frame)
    total += _shoulder_girdle(thorax, frame)
    return total * np.float32(thorax.patient.bone_density)


def _spine_x(thorax: Thorax, y: Map) -> Map:
    p = thorax.patient
    bow = np.float32(p.spine_bow) * np.sin((y - np.float32(p.apex)) * np.float32(0.017))
    return bow - np.float32(70 * thorax.turn)


def _ribs(thorax: Thorax, frame: Frame) -> Map:
    """Eleven pairs of tilted rings: behind nearly level, in front steeply down to the cartilage."""
    p = thorax.patient
    pairs = 11
    number = np.arange(pairs, dtype=np.float32)[:, None, None, None, None]
    side = np.array([-1, 1], np.float32)[None, :, None, None, None]
    along = np.linspace(0, 1, max(int(frame.side * 0.62), 60), dtype=np.float32)
    rows = max(7, int(np.ceil(14 / frame.pixel)))
    height = np.linspace(-1, 1, rows, dtype=np.float32)[:, None]
    skin = np.array([-1, 1], np.float32)  # inner and outer cortex

    end = np.select([number < 7, number < 8, number < 9, number < 10], [148, 138, 128, 112], 80.0)
    start = np.where(number < 1, 16, 5.5)
    angle = np.deg2rad(start + along[:, None, None] * (end - start)).astype(np.float32)
    half_drop = np.float32(p.rib_tilt) * np.minimum(20 + 6.5 * number, 56)
    origin = np.float32(p.apex + 2) + np.float32(VERTEBRA_PITCH) * number
    reach = thorax.half_width(origin + half_drop) / np.float32(p.lung_half_width)
    depth = np.float32(72) * np.minimum(reach, 1) + 8

    sine, cosine = np.sin(angle), np.cos(angle)
    z = depth * cosine
    y = origin + half_drop * (1 - cosine) - 3 * np.sin(2 * angle)
    width = thorax.half_width(y) * np.where(number < 1, 0.86, 1.0) + 3
    ring_x = width * np.power(sine, np.float32(0.9))
    step_x, step_y = np.gradient(ring_x, axis=2), np.gradient(y, axis=2)
    step_z = np.gradient(z, axis=2)
    level = np.hypot(step_x, step_z)
    length = np.hypot(level, step_y)
    # Across the rib, within the chest wall: perpendicular to its run.
    half_height = np.where(angle < 1.7, 6.2, 7.4) * np.where(number < 1, 1.2, 1.0)
    x = ring_x - height * half_height * step_y / length * step_x / level
    y = y + height * half_height * level / length
    # Through its thickness: along the chest wall's normal.
    x = x + skin * 2.6 * -step_z / level
    fade = 1 - 0.6 * smooth_step(angle, 1.5, 2.2)  # the front is thinner
    cortex = (1.3 + 1.2 * smooth_step(np.abs(height), 0.55, 1.0)).astype(np.float32)
    fade = fade * (1 - 0.45 * smooth_step(np.abs(step_x) / length, 0.6, 0.1))  # end-on cortex
    volume = fade * cortex * length * half_height * np.float32(2 / rows * 1.6)
    x = side * x + np.where(number < 11, _spine_x(thorax, origin) * np.maximum(cosine, 0), 0)
    x = x + z * np.float32(-thorax.turn)
    x, y = np.broadcast_arrays(x, y)
    return frame.deposit(
        x.astype(np.float32), y.astype(np.float32), np.broadcast_to(volume, x.shape)
    )


def _spine(thorax: Thorax, frame: Frame) -> Map:
    """Vertebral bodies with end plates, discs between them, pedicles and spinous processes."""
    p = thorax.patient
    x = frame.x - _spine_x(thorax, frame.y)
    phase = np.mod(frame.y - np.float32(p.apex - 4), np.float32(VERTEBRA_PITCH))
    from_centre = np.abs(phase - np.float32(VERTEBRA_PITCH / 2))
    half = VERTEBRA_PITCH / 2
    level = smooth_step(from_centre, half - 1.5, half - 3.0)
    end_plate = smooth_step(np.abs(from_centre - (half - 3.6)), 1.6, 0.4)
    growth = np.float32(1) + np.float32(0.0011) * frame.y
    across = np.abs(x) / growth
    width = np.float32(15.5) + np.float32(0.02) * np.square(from_centre)
    inside = smooth_step(across, width + 1, width - 1.2)
    side_wall = smooth_step(np.abs(across - width + 1.2), 1.8, 0.3)
    body = inside * level * (2.4 + 1.6 * end_plate) + side_wall * level * 1.4 + inside * 1.0
    offset = phase - half
    pedicle = ellipse(across, offset, 10.5, -2.5, 3.3, 4.6)
    ring = np.maximum(chord(pedicle) - 0.6 * chord(2.6 * pedicle), 0)
    process = chord(ellipse(across, offset, 0, 6.0, 2.6, 6.5))
    return body + 2.6 * ring + 2.2 * process


def _shoulder_girdle(thorax: Thorax, frame: Frame) -> Map:
    p = thorax.patient
    ap = thorax.view == "AP"
    t = np.linspace(0, 1, max(int(220 / frame.pixel), 50), dtype=np.float32)[:, None]
    u = np.linspace(-1, 1, max(9, int(18 / frame.pixel)), dtype=np.float32)
    shell = (chord(u * u) * 0.8 + np.where(np.abs(u) > 0.8, 1.0, 0.25)).astype(np.float32)
    total = np.zeros_like(frame.x)
    for side in (-1, 1):
        total += _clavicle(thorax, frame, side, t, u, shell, 10.0 if ap else 0.0)
        lateral = side * (p.lung_half_width - (34 if ap else 20))
        x, y = frame.x - np.float32(lateral), frame.y - np.float32(p.apex + 30)
        total += _scapula(side * x, y)
    return total


def _clavicle(
    thorax: Thorax, frame: Frame, side: int, t: Map, u: Map, shell: Map, raised: float
) -> Map:
    p = thorax.patient
    span = p.lung_half_width + 24
    x = side * (13 + (span - 13) * t) - np.float32(-60 * thorax.turn)
    y = p.apex + 34 - raised - (24 - 0.6 * raised) * t + 7 * np.sin(np.float32(2 * np.pi) * t)
    radius = 4.6 + 3.4 * np.square(np.square(1 - t)) + 2.2 * np.square(t)
    step_x, step_y = np.gradient(x[:, 0])[:, None], np.gradient(y[:, 0])[:, None]
    length = np.hypot(step_x, step_y)
    px = (x - u * radius * step_y / length).astype(np.float32)
    py = (y + u * radius * step_x / length).astype(np.float32)
    ends = smooth_step(t, 0, 0.05) * smooth_step(t, 1.0, 0.85)
    volume = (ends * shell * length * radius * np.float32(2 / u.size * 6.0)).astype(np.float32)
    return frame.deposit(px, py, np.broadcast_to(volume, px.shape))


def _scapula(x: Map, y: Map) -> Map:
    """Blade with a thick lateral border, glenoid and humeral head; x grows outward."""
    medial = x + np.float32(0.12) * y
    lateral = x - np.float32(52) + np.float32(0.42) * np.asarray(np.maximum(y - 25, 0), np.float32)
    top = y + np.float32(8) + np.float32(0.1) * x
    blade = smooth_step(medial, 0, 2) * smooth_step(lateral, 0, -2) * smooth_step(top, 0, 3)
    blade = blade * smooth_step(y, 128, 120)
    border = smooth_step(lateral, -14, -3) + 0.3 * smooth_step(medial, 4, 0)
    spine = chord(np.square((y - 10 + np.float32(0.30) * x) / 6)) * smooth_step(x, 60, 50)
    socket = chord(ellipse(x, y, 55, 18, 11, 19))
    head = chord(ellipse(x, y, 76, 14, 23, 24))
    shaft = smooth_step(y, 14, 34) * chord(np.square((x - 84 - np.float32(0.1) * y) / 13))
    return blade * (1.6 + 3.0 * border + 2.5 * spine) + 5.0 * socket + 7.5 * head + 8.0 * shaft
