import pytest
import torch

from lowerbound.errors import InputError
from lowerbound.evaluation.paths import axes, path


@pytest.mark.parametrize("kind", ["linear", "spherical"])
def test_a_path_starts_and_ends_where_it_should(kind: str) -> None:
    a, b = torch.randn(5), torch.randn(5)
    found = path(a, b, 7, kind)
    torch.testing.assert_close(found[[0, -1]], torch.stack([a, b]))
    assert found.shape == (7, 5)


def test_the_spherical_path_stays_on_the_sphere_at_equal_angles(double: None) -> None:
    a, b = torch.nn.functional.normalize(torch.randn(2, 6), dim=-1)
    found = path(a, b, 9, "spherical")
    torch.testing.assert_close(found.norm(dim=-1), torch.ones(9))
    steps = (found[:-1] * found[1:]).sum(-1).arccos()
    torch.testing.assert_close(steps, steps[:1].expand(8))


def test_the_linear_path_passes_the_middle() -> None:
    torch.testing.assert_close(path(torch.zeros(2), torch.ones(2), 3, "linear")[1], torch.full((2,), 0.5))


@pytest.mark.parametrize("scale", [1.0, 2.0, -1.0, 0.0])
def test_codes_on_one_line_take_the_straight_path(scale: float) -> None:
    a = torch.tensor([1.0, 2.0])
    torch.testing.assert_close(path(a, scale * a, 5, "spherical"), path(a, scale * a, 5, "linear"))


@pytest.mark.parametrize(("steps", "kind", "word"), [(1, "linear", "2 steps"), (5, "cubic", "choose one of")])
def test_what_is_no_path_is_refused(steps: int, kind: str, word: str) -> None:
    with pytest.raises(InputError, match=word):
        path(torch.zeros(2), torch.ones(2), steps, kind)


def test_along_an_axis_only_one_dimension_changes() -> None:
    start, places = torch.randn(4), torch.randn(2, 5)
    found = axes(start, [3, 1], places)
    assert found.shape == (2, 5, 4)
    torch.testing.assert_close(found[0, :, 3], places[0])
    torch.testing.assert_close(found[1, :, 1], places[1])
    torch.testing.assert_close(found[0, :, :3], start[:3].expand(5, 3))
    assert torch.equal(found[1][:, [0, 2, 3]], start[[0, 2, 3]].expand(5, 3))
