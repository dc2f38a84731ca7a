from __future__ import annotations

import pytest
from geometry import grown, intersection


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
