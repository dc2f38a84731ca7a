from __future__ import annotations

import pytest

from dib.geometry import grown, intersection, scaled


@pytest.mark.parametrize(
    ("a", "b", "shared"),
    [
        ((0, 0, 10, 10), (5, 6, 10, 10), (5, 6, 5, 4)),
        ((-5, -5, 10, 10), (0, 0, 100, 100), (0, 0, 5, 5)),
        ((0, 0, 10, 10), (10, 0, 5, 5), None),
        ((0, 0, 10, 10), (2, 3, 4, 5), (2, 3, 4, 5)),
    ],
)
def test_intersection(a, b, shared):
    assert intersection(a, b) == shared
    assert intersection(b, a) == shared


def test_grown_stays_inside():
    assert grown((1, 50, 10, 10), 4, (0, 0, 100, 62)) == (0, 46, 15, 16)


def test_scaled_rectangles_of_one_size_stay_of_one_size():
    sizes = {scaled((x, y, 101, 33), 0.37)[2:] for x in range(-5, 30) for y in range(7)}
    assert sizes == {(37, 12)}
    assert scaled((3, 4, 1, 1), 0.1) == (0, 0, 1, 1)
