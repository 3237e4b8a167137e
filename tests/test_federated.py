"""The realignments and the server's step."""

import doctest

import pytest
import torch

from nclib.training import federated

f64 = {"dtype": torch.float64}


def test_value_doctests():
    assert doctest.testmod(federated).failed == 0


def test_value_realignments_by_hand():
    W = torch.tensor([[3.0, 4.0], [0.0, 2.0]], **f64)
    torch.testing.assert_close(
        federated.normalized_head(W, tau=0.5, norm=1.0), torch.tensor([[3 / 5**0.5, 4 / 5**0.5], [0, 2**0.5]], **f64)
    )
    assert federated.normalized_head(W).norm(dim=1).tolist() == pytest.approx([1.7, 1.7])
    local = torch.tensor([[[0.0, 2.0], [1.0, 0.0]], [[5.0, 12.0], [0.0, 0.0]]], **f64)
    moved = federated.norm_transfer(W, local)
    assert moved.tolist() == [[[6, 8], [0, 2]], [[39, 52], [0, 0]]]


def test_law_the_server_is_exact_for_equal_clients_and_blind_to_their_order():
    theta = torch.randn(3, 2, generator=torch.Generator().manual_seed(0), **f64)
    same = federated.weighted_mean({"a": theta.expand(4, 3, 2)}, [1, 2, 3, 4])["a"]
    torch.testing.assert_close(same, theta, rtol=0, atol=1e-15)
    states = torch.randn(4, 5, generator=torch.Generator().manual_seed(1), **f64)
    order = [2, 0, 3, 1]
    weights = torch.tensor([1.0, 2.0, 3.0, 0.0])
    one = federated.weighted_mean({"a": states}, weights)["a"]
    torch.testing.assert_close(one, (states[0] + 2 * states[1] + 3 * states[2]) / 6)
    torch.testing.assert_close(federated.weighted_mean({"a": states[order]}, weights[order])["a"], one)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: federated.weighted_mean({"a": torch.ones(2, 1)}, [0, 0]), "not all 0"),
        (lambda: federated.weighted_mean({"a": torch.ones(2, 1)}, [1, -1]), "at least 0"),
        (lambda: federated.weighted_mean({"a": torch.ones(2, 1)}, [1, 1, 1]), "weights has 3 entries, must be one a"),
        (lambda: federated.normalized_head(torch.zeros(2, 3)), "W has 2 rows that are zero"),
        (lambda: federated.normalized_head(torch.ones(2, 3), norm=0), "norm=0, must be a finite number > 0"),
        (
            lambda: federated.normalized_head(torch.ones(2, 3), norm=float("inf")),
            "norm=inf, must be a finite number > 0",
        ),
        (lambda: federated.normalized_head(torch.ones(2, 3), tau=float("nan")), "tau=nan, must be a finite number"),
        (lambda: federated.normalized_head(torch.full((2, 3), float("nan"))), "W holds NaN or inf, must be finite"),
        (lambda: federated.batches([torch.arange(3)], 1, 0, None), "batch = 0: must be a positive integer"),
        (lambda: federated.batches([torch.arange(3)], 0, 2, None), "epochs = 0: must be a positive integer"),
        (lambda: federated.batches([], 1, 2, None), r"parts has sizes \[\]: must be clients, each with a sample"),
        (lambda: federated.batches([torch.arange(0)], 1, 2, None), r"parts has sizes \[0\]: must be clients"),
        (lambda: federated.norm_transfer(torch.ones(2, 3), torch.ones(3, 2)), r"local has shape \(3, 2\), must end in"),
    ],
)
def test_value_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
