"""Batches in memory: what an epoch holds, and that it depends on nothing but its seed and number."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from condensa_core.errors import WorkloadError
from condensa_core.randomness import Seed
from condensa_core.workload import TensorBatches
from condensa_core.workload.augmentation import AUGMENTATIONS, augmentation_named, crop_flip, flip, shift
from condensa_core.workload.batches import Standardise
from condensa_core.workload.partition import stratified_holdout


def numbered(n: int, batch: int, *, seed: int = 0, training: bool = True) -> TensorBatches:
    """Sample i is the image [[i]] of class i."""
    return TensorBatches(
        torch.arange(n).float().view(n, 1, 1, 1), torch.arange(n), batch, seed=Seed(seed), training=training
    )


@given(st.integers(1, 40), st.integers(1, 50), st.integers(0, 5))
def test_an_epoch_is_full_batches_of_different_samples(n, batch, number):
    batches = numbered(n, batch)

    seen = list(batches.epoch(number))

    assert len(seen) == batches.steps == max(1, n // batch)
    assert {len(targets) for _, targets in seen} == {min(n, batch)}
    targets = torch.cat([targets for _, targets in seen])
    assert len(targets.unique()) == len(targets)
    for inputs, labels in seen:
        assert torch.equal(inputs.flatten().long(), labels)  # pairs stay together


@given(st.integers(1, 40), st.integers(1, 50), st.booleans())
def test_a_fixed_pass_is_every_sample_in_order(n, batch, training):
    batches = numbered(n, batch, training=training)

    seen = list(batches)

    assert len(seen) == len(batches)
    assert torch.cat([targets for _, targets in seen]).tolist() == list(range(n))


def test_epochs_depend_on_seed_and_number_alone():
    def order(seed: int, number: int) -> list[int]:
        return torch.cat([targets for _, targets in numbered(50, 10, seed=seed).epoch(number)]).tolist()

    torch.manual_seed(1)
    first = order(3, 2)
    torch.manual_seed(2)

    assert order(3, 2) == first
    assert order(3, 1) != first
    assert order(4, 2) != first
    assert list(range(50)) not in (first, order(3, 0))


def test_reading_splits_are_never_shuffled():
    batches = numbered(7, 3, training=False)

    assert torch.cat([targets for _, targets in batches.epoch(5)]).tolist() == list(range(7))
    assert batches.steps == 3


def test_augmentation_is_repeatable_and_touches_training_passes_only():
    images = torch.rand(16, 2, 9, 9)
    batches = TensorBatches(images, torch.arange(16), 16, seed=Seed(5), training=True, augmentation=crop_flip)

    (first, _), (again, _), (other, _) = (next(batches.epoch(number)) for number in (0, 0, 1))

    assert torch.equal(first, again)
    assert not torch.equal(first.sum(), other.sum())
    assert torch.equal(next(iter(batches))[0], images)


@given(st.integers(1, 12), st.integers(1, 3), st.integers(2, 40), st.integers(2, 40), st.integers(0, 2**32))
@settings(max_examples=40)
def test_flipped_images_are_the_image_or_its_mirror(b, c, h, w, seed):
    images = torch.rand(b, c, h, w)

    changed = flip(images, torch.Generator().manual_seed(seed))

    for before, after in zip(images, changed, strict=True):
        assert torch.equal(after, before) or torch.equal(after, before.flip(2))


@pytest.mark.parametrize(("side", "reach"), [(8, 1), (28, 2), (32, 2)])
def test_shifted_images_are_windows_of_the_padded_image(side, reach):
    images = torch.randint(1, 255, (300, 1, side, side), dtype=torch.uint8)

    changed = shift(images, Seed(0).torch_generator("shift"))

    padded = np.pad(images.numpy(), ((0, 0), (0, 0), (reach, reach), (reach, reach)))
    offsets = set()
    for i in range(len(images)):
        for dy in range(2 * reach + 1):
            for dx in range(2 * reach + 1):
                if (padded[i, :, dy : dy + side, dx : dx + side] == changed[i].numpy()).all():
                    offsets.add((dy, dx))
                    break
    assert changed.dtype == torch.uint8
    assert len(offsets) == (2 * reach + 1) ** 2  # every shift occurs: 300 draws of at most 25


def test_augmentation_names():
    assert set(AUGMENTATIONS) == {"none", "flip", "shift", "crop-flip"}
    assert augmentation_named("none") is None
    with pytest.raises(WorkloadError, match="augment 'mirror' is not known; known: none, flip"):
        augmentation_named("mirror")


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_standardised_images_have_mean_0_and_deviation_1_and_the_stored_ones_stay(dtype):
    images = torch.randint(0, 255, (20, 3, 5, 5)).to(dtype)
    stored = images.clone()

    prepare = Standardise.fitted(images)
    prepared = prepare(images)

    assert torch.equal(images, stored)
    torch.testing.assert_close(prepared.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(prepared.std((0, 2, 3), correction=0), torch.ones(3), atol=1e-5, rtol=0)


def test_a_constant_channel_is_shifted_only():
    images = torch.full((4, 1, 2, 2), 9.0)

    assert Standardise.fitted(images)(images).abs().max() == 0


def test_impossible_batches_are_refused():
    with pytest.raises(WorkloadError, match="3 inputs and 2 targets"):
        TensorBatches(torch.zeros(3, 1), torch.zeros(2).long(), 1)
    with pytest.raises(WorkloadError, match="no samples"):
        TensorBatches(torch.zeros(0, 1), torch.zeros(0).long(), 1)
    with pytest.raises(WorkloadError, match="batch must be at least 1"):
        numbered(3, 1).rebatched(0)


@given(st.lists(st.integers(0, 4), min_size=2, max_size=60), st.data())
def test_holdout_is_a_stratified_partition(labels, data):
    targets = torch.tensor(labels)
    held = data.draw(st.integers(1, len(labels) - 1))

    kept, cut = stratified_holdout(targets, held, torch.Generator().manual_seed(0))

    assert sorted(kept.tolist() + cut.tolist()) == list(range(len(labels)))
    assert kept.tolist() == sorted(kept.tolist())
    assert len(cut) == held
    for label in set(labels):
        share = labels.count(label) * held / len(labels)
        assert abs(int((targets[cut] == label).sum()) - share) < 1  # rounded down or up, never further


def test_holdout_must_leave_something_on_either_side():
    for held in (0, 4):
        with pytest.raises(WorkloadError, match=f"{held} of 4 samples"):
            stratified_holdout(torch.zeros(4).long(), held, torch.Generator())
