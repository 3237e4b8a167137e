"""Dirichlet splits of long tails: every sample once, no client empty, shares by the distribution."""

import doctest

import numpy as np
import pytest
import torch

from nclib.data import clients, dirichlet_split, holdings, long_tail_counts

TAIL = long_tail_counts(10, 200, 50)
Y = torch.arange(10).repeat_interleave(torch.tensor(TAIL))


def test_value_doctests():
    assert doctest.testmod(clients).failed == 0


def test_value_the_papers_long_tail():
    assert sum(long_tail_counts(10, 5000, 50)) == 13996  # CIFAR-10, IF = 0.02: as the logs of the authors' code say


@pytest.mark.parametrize("alpha", [0.01, 0.5, 100.0])
@pytest.mark.parametrize("count", [1, 7, 40])
def test_law_every_sample_goes_to_one_client_and_none_is_empty(count, alpha):
    parts = dirichlet_split(Y, count, alpha, seed=3)
    assert len(parts) == count and min(len(part) for part in parts) > 0
    assert torch.equal(torch.cat(parts).sort().values, torch.arange(len(Y)))
    who = holdings(parts, Y)
    assert who.shape == (count, 10) and who.sum(0).tolist() == list(TAIL)
    assert who.sum(1).tolist() == [len(part) for part in parts]
    again = dirichlet_split(Y.numpy(), count, alpha, seed=3)
    assert all(torch.equal(a, b) for a, b in zip(parts, again, strict=True))
    if count > 1:
        other = dirichlet_split(Y, count, alpha, seed=4)
        assert not all(torch.equal(a, b) for a, b in zip(parts, other, strict=True))


def test_law_as_many_clients_as_samples_get_one_each():
    parts = dirichlet_split([0, 1, 1], 3, 0.5)
    assert sorted(part.tolist() for part in parts) == [[0], [1], [2]]


def test_law_empty_clients_stand_where_they_are_allowed():
    parts = dirichlet_split([0, 1], 5, 0.5, allow_empty=True)
    assert len(parts) == 5 and sum(len(part) for part in parts) == 2
    assert holdings(parts, [0, 1], 3).sum(0).tolist() == [1, 1, 0]


def test_oracle_shares_have_the_variance_of_the_dirichlet_distribution():
    """Var p = (1/C)(1 - 1/C)/(C alpha + 1): 400 classes of 1,000, C = 5."""
    y = np.repeat(np.arange(400), 1000)
    for alpha in (0.5, 5.0):
        shares = holdings(dirichlet_split(y, 5, alpha), y) / 1000
        assert shares.var().item() == pytest.approx(0.2 * 0.8 / (5 * alpha + 1), rel=0.08)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, 1], 2, 0), r"alpha = 0: must be a finite number > 0"),
        (([0, 1], 2, float("nan")), r"alpha = nan: must be a finite number > 0"),
        (([0, 1], 3, 1.0), "clients = 3: must be at most the number of samples, 2, unless allow_empty"),
        (([0, 1], 0, 1.0), "clients = 0: must be a positive integer"),
        (([0, 1], 1.5, 1.0), "clients = 1.5: must be a positive integer"),
        (([0, 2], 1, 1.0), "class 1 of 3 has no sample: every class must have one"),
        (([], 1, 1.0), r"y has shape \(0,\)"),
        (([0.5, 1], 1, 1.0), r"y has shape \(2,\) and dtype float64: must be labels"),
    ],
)
def test_value_bad_input_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        dirichlet_split(*arguments)


def test_value_more_classes_than_labels_say():
    with pytest.raises(ValueError, match="class 2 of 3 has no sample"):
        dirichlet_split([0, 1], 1, 1.0, num_classes=3)
    with pytest.raises(ValueError, match="num_classes = 1: must be more than the largest label, 1"):
        dirichlet_split([0, 1], 1, 1.0, num_classes=1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dirichlet_split([0, 1], 1, "much"), "alpha = 'much': must be a finite number > 0"),
        (lambda: dirichlet_split([0, 1], 1, None), "alpha = None: must be a finite number > 0"),
        (lambda: dirichlet_split([0, 1], 1, 1.0, seed=-1), "seed = -1: must be an integer from 0 to"),
        (lambda: dirichlet_split([0, 1], 1, 1.0, seed="a"), "seed = 'a': must be an integer from 0 to"),
        (lambda: holdings([], [0, 1]), "parts is empty: must be index sets, one a client"),
        (lambda: holdings([[0], [5]], [0, 1]), r"parts\[1\]: must be sample numbers, integers from 0 to 1"),
        (lambda: holdings([[-1]], [0, 1]), r"parts\[0\]: must be sample numbers, integers from 0 to 1"),
        (lambda: holdings([[0.5]], [0, 1]), r"parts\[0\]: must be sample numbers, integers from 0 to 1"),
        (lambda: holdings([[0]], [0, 3], 2), "num_classes = 2: must be more than the largest label, 3"),
        (lambda: long_tail_counts(10, 100, float("inf")), "ratio = inf: must be between 1 and largest = 100"),
        (lambda: long_tail_counts(10, 100, "x"), "ratio = x: must be between 1 and largest = 100"),
    ],
)
def test_law_more_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
