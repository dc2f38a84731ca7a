"""How a mask is understood, and that it is said where it is not plain."""

from __future__ import annotations

import io

import numpy as np
import pytest
from pictures import load, save
from PIL import Image, ImageFilter

from blend_daemon import images
from blend_daemon.engine.raster.mask import understood_in
from blend_daemon.images import Picture
from blend_daemon.images.mask import mask_of
from blend_protocol.errors import BlendError

Y, X = np.mgrid[:160, :200]
DISC = np.rint(np.clip(50.5 - np.hypot(Y - 80, X - 100), 0, 1) * 255).astype(np.uint8)


def understood(values):
    values = values if values.ndim == 3 else values[:, :, None]
    mask, notes = mask_of(Picture("m.png", values))
    return mask[:, :, 0], notes


def through_jpeg(values, quality, mode="L"):
    file = io.BytesIO()
    Image.fromarray(values).convert(mode).save(file, "jpeg", quality=quality)
    return np.array(Image.open(file))


def test_plain_masks_are_taken_as_they_are_without_a_word():
    for values in (DISC, DISC.astype(np.uint16) * 257, DISC.astype(np.float32) / 255, np.full_like(DISC, 255), DISC * 0):
        mask, notes = understood(values)
        assert np.array_equal(mask, values)
        assert notes == []


@pytest.mark.parametrize("sigma", [1, 3, 12, 30])
def test_soft_edges_stay_soft(sigma):
    soft = np.array(Image.fromarray(DISC).filter(ImageFilter.GaussianBlur(sigma)))
    mask, notes = understood(soft)
    assert np.array_equal(mask, soft)
    assert notes == []


@pytest.mark.parametrize(
    "values", [X * 255.0 / 199, (X / 199) ** 2 * 255, (1 - np.cos(np.pi * X / 199)) / 2 * 255, np.where(X < 60, 100, DISC)]
)
def test_ramps_and_steps_are_no_noise(values):
    values = np.rint(values).astype(np.uint8)
    assert np.array_equal(understood(values)[0], values)


@pytest.mark.parametrize(("black", "white"), [(0, 1), (0, 7), (1, 2)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_two_labels_are_black_and_white(black, white, dtype):
    mask, notes = understood(np.where(DISC > 127, white, black).astype(dtype))
    assert np.array_equal(mask > 0, DISC > 127)
    assert mask.max() == np.iinfo(dtype).max
    assert f"{white} is taken as white" in notes[0]


@pytest.mark.parametrize("values", [DISC // 100, X % 4])
def test_several_labels_or_noise_alone_are_refused(values):
    with pytest.raises(BlendError) as error:
        understood(values.astype(np.uint8))
    assert error.value.code == "mask-faint"


@pytest.mark.parametrize("floor", [1, 2, 3, 16])
def test_a_floor_is_no_object(floor):
    mask, notes = understood(np.maximum(DISC, floor).astype(np.uint8))
    assert np.array_equal(mask > 0, floor < DISC)
    assert f"noise up to {floor} of 255" in notes[0]


@pytest.mark.parametrize("quality", [95, 85, 75, 60])
@pytest.mark.parametrize("hard", [True, False])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_the_ripples_of_a_jpeg_are_no_object(quality, hard, mode):
    drawn = (DISC > 127).astype(np.uint8) * np.uint8(255) if hard else DISC
    mask, notes = understood(through_jpeg(drawn, quality, mode))
    assert "noise" in notes[0]
    outside = (mask > 0) & (drawn == 0)
    assert not (outside & (np.hypot(Y - 80, X - 100) > 54)).any(), "nothing counts that is further off than the edge's own blocks"
    assert outside.sum() < 0.02 * (drawn > 0).sum()
    assert (mask[drawn == 255] == 255).mean() > 0.9


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("quality", [95, 75, 60])
def test_what_has_been_understood_is_understood_as_it_is(quality, mode):
    """The daemon looks at each mask, also at one that `blend --daemon` has looked at."""
    source = np.dstack([DISC] * 3)
    once = [understood(through_jpeg(DISC, quality, mode))[0], understood(DISC // 4)[0], understood(np.maximum(DISC, 3))[0]]
    for mask in once:
        _source, twice, notes = understood_in(source, mask[:, :, None])
        assert np.array_equal(twice[:, :, 0], mask)
        assert notes == []


def test_weak_masks_and_masks_of_other_ranges_are_told():
    mask, notes = understood(DISC // 4)
    assert np.array_equal(mask, DISC // 4)
    assert "63 of 255" in notes[0]
    mask, notes = understood(DISC.astype(np.uint16))
    assert np.array_equal(mask, DISC.astype(np.uint16) * 257)
    assert "8 bits" in notes[0]
    for top in (255, 65535):
        mask, notes = understood(DISC.astype(np.float32) / 255 * top)
        assert np.abs(mask - DISC.astype(np.float32) / 255).max() < 1e-6
        assert f"{top} is taken as white" in notes[0]
    mask, notes = understood(DISC.astype(np.float32) / 255 * 1.5)
    assert mask.max() == 1
    assert "taken as 1" in notes[0]
    with pytest.raises(BlendError):
        understood(DISC.astype(np.float32) * 1e6)


def test_a_mask_with_holes_of_no_number_is_refused_for_that(tmp_path):
    import tifffile

    tifffile.imwrite(tmp_path / "m.tif", np.where(DISC > 0, np.float32(1), np.float32(np.nan)))
    with pytest.raises(BlendError) as error:
        images.read(tmp_path / "m.tif", "mask")
    assert "not finite" in str(error.value)


def test_the_alpha_is_the_mask_where_it_alone_draws():
    for colour in ((0, 0, 0), (255, 255, 255), (200, 30, 30)):
        drawn = np.dstack([np.full((*DISC.shape, 3), colour, np.uint8), DISC])
        drawn[DISC == 0, :3] = 99  # what nobody sees
        assert np.array_equal(understood(drawn)[0], DISC)
    grey = np.dstack([DISC, np.full_like(DISC, 128)])
    assert np.abs(understood(grey)[0] - DISC / 255 * 128 / 255).max() < 1e-6


def test_a_few_levels_of_colour_are_grey(tmp_path):
    tinted = np.dstack([DISC, DISC, np.minimum(DISC, 253) + np.uint8(2)])
    assert images.read(save(tmp_path / "m.png", tinted), "mask").raster.shape == (160, 200, 3)
    assert (understood(tinted)[0] > 127).sum() == (DISC > 127).sum()
    with pytest.raises(BlendError) as error:
        understood(np.dstack([DISC, DISC, 255 - DISC]))
    assert error.value.code == "mask-coloured"


def test_the_same_picture_comes_of_a_clean_mask_and_a_noisy_one(case, disc):
    assert case.run(method="poisson").returncode == 0
    clean = load(case.out)
    save(case.mask, np.maximum(disc, 2))
    done = case.run(method="poisson")
    assert "noise" in done.stderr
    assert np.array_equal(load(case.out), clean)
    save(case.mask, disc // 255)
    assert "taken as white" in case.run(method="poisson").stderr
    assert np.array_equal(load(case.out), clean)
    assert case.run(method="poisson", quiet=True).stderr == ""


def test_an_alpha_of_the_source_is_understood_like_a_mask(case, cat, disc):
    assert case.run(method="poisson").returncode == 0
    clean = load(case.out)
    import tifffile

    source = case.folder / "s.tif"
    tifffile.imwrite(source, np.dstack([cat / 255, disc]).astype(np.float32), photometric="rgb", extrasamples=["unassalpha"])
    done = case.run(method="poisson", source=source, mask=None)
    assert "255 is taken as white" in done.stderr
    assert np.abs(load(case.out).astype(int) - clean).max() <= 1
