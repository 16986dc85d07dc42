"""The enumerated cells cover the box, and no point of the other label is nearer than the exact distance."""

import numpy as np
import pytest

from tests.attacks.sign_network_2d import SignNetwork2D, points_in


def area(vertices):
    x, y = vertices.T
    return 0.5 * abs(x @ np.roll(y, -1) - y @ np.roll(x, -1))


@pytest.mark.parametrize("clip", [(0.0, 1.0), (-2.0, 0.5)])
@pytest.mark.parametrize("units", [1, 2, 5, 12])
def test_cells_cover_the_box_and_have_the_labels_of_the_network(units, clip):
    network = SignNetwork2D(units, seed=units, clip=clip)
    assert sum(area(vertices) for vertices, _ in network.cells) == pytest.approx((clip[1] - clip[0]) ** 2)
    assert {label for _, label in network.cells} == {0, 1}
    for vertices, label in network.cells:
        assert network.label(vertices.mean(axis=0)) == label
    assert network.queried == 0


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("seed", range(4))
def test_exact_distance_is_that_of_the_nearest_point_of_a_fine_grid(seed, norm):
    network = SignNetwork2D(6, seed)
    side = np.linspace(0, 1, 501)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    labels = network(grid)
    x, y = points_in(network, 4, seed)
    for point, own in zip(x, y, strict=True):
        away = grid[labels != own] - point
        nearest = (np.linalg.norm(away, axis=1) if norm == "l2" else np.abs(away).max(axis=1)).min()
        assert nearest >= network.distance(point, norm)
        # a thin cell may hold no grid point near its nearest corner
        assert nearest <= network.distance(point, norm) + 0.02
