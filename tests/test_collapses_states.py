"""nclib.collapses.recurrence and experts: a hand-set recurrence, and experts that are permutations of one."""

import math

import pytest
import torch

from nclib.collapses import recurrence
from nclib.collapses.averages import permuted
from nclib.collapses.experts import grouped, load_balance, merge_experts, stable_rank


def test_value_a_hand_set_recurrence():
    """Gates 1/2 and 1/4 with unit keys: h_3 holds v_1/8, v_2/4 and v_3."""
    keys, values = torch.eye(3)[None], torch.tensor([[[8.0], [4.0], [5.0]]])
    gates = torch.tensor([[0.9, 0.5, 0.25]])
    assert recurrence.recurrence(keys, values, gates)[0, -1, :, 0].tolist() == [1.0, 1.0, 5.0]
    assert recurrence.forgetting(gates).tolist() == [[1.0, 0.5, 0.125]]


def test_law_without_forgetting_orthogonal_keys_are_recalled_and_more_than_the_state_holds_are_not():
    g = torch.Generator().manual_seed(0)
    keys = torch.linalg.qr(torch.randn(8, 8, generator=g, dtype=torch.float64)).Q
    values = torch.randn(1, 8, 3, generator=g, dtype=torch.float64)
    h = recurrence.recurrence(keys[None], values, torch.ones(1, 8))[0, -1]
    assert torch.allclose(keys @ h, values[0])
    more = torch.cat([keys, keys.roll(1, 0)])[None], torch.cat([values, values], 1)
    h = recurrence.recurrence(*more, torch.ones(1, 16))[0, -1]
    assert (keys @ h - values[0]).norm() > 1


@pytest.mark.parametrize("a", [0.5, 0.9, 0.99])
def test_law_half_is_left_after_the_half_life(a):
    life = recurrence.half_life(torch.full((40,), a, dtype=torch.float64))
    assert a**life == pytest.approx(0.5) and recurrence.half_life(torch.ones(4)) == math.inf
    assert recurrence.half_life(torch.tensor([0.0, 1.0])) == 0


@pytest.mark.parametrize("asked", [5, 2])
def test_oracle_the_parallel_form_reads_the_states(asked):
    g = torch.Generator().manual_seed(0)
    keys, values, queries = (torch.randn(2, 5, n, generator=g, dtype=torch.float64) for n in (3, 4, 3))
    gates = 0.2 + 0.8 * torch.rand(2, 5, generator=g, dtype=torch.float64)
    states = recurrence.recurrence(keys, values, gates)
    found = recurrence.readout(queries[:, -asked:], keys, values, gates)
    assert torch.allclose(found, torch.einsum("btd,btdm->btm", queries, states)[:, -asked:])


def test_oracle_errors_of_normal_noise():
    g, ratio = torch.Generator().manual_seed(0), 3.0
    read = (ratio * (1 - 1 / 5) / 5) ** 0.5 * torch.randn(200_000, 5, generator=g)
    read[:, 0] += 1
    assert recurrence.readout_error(ratio, 5) == pytest.approx((read.argmax(1) != 0).double().mean().item(), abs=0.004)


def test_value_an_unforgotten_state_is_as_overfull_as_its_load():
    """64 other tokens in 16 dimensions are a load of 4; with a gate of 1/2 and one lag, (1/4 + 1/16 + ...) / 16; with
    two tokens and lags in one dimension, a mean of 3/4 with variance 1/16 and noise of 1/2 + 1/8."""
    assert recurrence.readout_ratio(1.0, 16, 2, 65, 8) == pytest.approx(2 * 4)
    assert recurrence.readout_ratio(0.5, 16, 2, 60, 1) == pytest.approx(2 / 3 / 16)
    assert recurrence.readout_ratio(0.5, 1, 2, 2, 2) == pytest.approx(2 * (5 / 8 + 1 / 16) / (9 / 16))


def test_value_balance_groups_and_stable_rank():
    equal, one = torch.eye(3), torch.eye(3)[[0, 0, 0]]
    assert load_balance(equal, equal) == pytest.approx(1.0) and load_balance(one, one) == pytest.approx(3.0)
    logits = torch.tensor([[1.0, 0.0, 0.2, 5.0], [0.0, 1.0, 0.9, -1.0]])
    assert grouped(logits, [2, 9, 1, 1], 2) == [[1, 2], [0, 3]] and grouped(logits, [2, 9, 1, 1], 1) == [[1, 0, 2, 3]]
    assert stable_rank(torch.eye(4)) == pytest.approx(4.0) and stable_rank(torch.ones(4, 2)) == pytest.approx(1.0)


def expert(seed):
    g = torch.Generator().manual_seed(seed)
    return [torch.randn(6, 4, generator=g), torch.randn(4, 6, generator=g)], [
        torch.randn(6, generator=g),
        torch.zeros(4),
    ]


def test_law_permuted_copies_merge_to_the_expert_and_only_if_aligned():
    one = expert(0)
    copies = [one, *(permuted(*one, [torch.randperm(6, generator=torch.Generator().manual_seed(s))]) for s in (1, 2))]
    merged, naive = merge_experts(copies, [3, 2, 1]), merge_experts(copies, [3, 2, 1], aligned=False)
    assert all(torch.allclose(a, b) for A, B in zip(merged, one, strict=True) for a, b in zip(A, B, strict=True))
    assert not torch.allclose(naive[0][0], one[0][0], atol=0.1)


def test_value_frequencies_weigh():
    one, two = expert(0), expert(1)
    merged = merge_experts([one, two], [3, 1], aligned=False)
    assert torch.allclose(merged[0][1], 0.75 * one[0][1] + 0.25 * two[0][1])
    assert torch.equal(merge_experts([one, two], [0, 2])[0][0], two[0][0])


def states(keys, values, gates):
    return recurrence.recurrence(torch.ones(keys), torch.ones(values), gates)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: states((1, 2, 0), (1, 2, 1), torch.ones(1, 2)), "must not be empty"),
        (lambda: states((1, 2, 1), (1, 2, 1), torch.ones(1, 3)), "gates has shape"),
        (lambda: states((1, 1, 1), (1, 1, 1), 2 * torch.ones(1, 1)), "gates lie between"),
        (lambda: merge_experts([expert(0)], [1, 2]), "must be 1 numbers >= 0"),
        (lambda: merge_experts([expert(0)], [0]), "not all 0"),
        (lambda: merge_experts([], []), "experts are none"),
        (lambda: merge_experts([expert(0), ([torch.ones(5, 4)], [torch.ones(5)])], [1, 1]), "theirs has"),
        (lambda: states((1, 2, 1), (1, 3, 1), torch.ones(1, 2)), "keys, values have shapes"),
        (lambda: recurrence.readout(*[torch.ones(1, 2, 1)] * 3, torch.zeros(1, 2)), "gates lie between 0.0 and 0.0"),
        (lambda: recurrence.readout(torch.ones(1, 3, 1), *[torch.ones(1, 2, 1)] * 2, torch.ones(1, 2)), "queries has"),
        (lambda: recurrence.readout_ratio(1.0, 0, 2, 2, 1), "dim, num_values, length, lags = 0"),
        (lambda: recurrence.readout_error(-1.0, 2), "ratio, num_values = -1.0"),
        (lambda: recurrence.forgetting(torch.ones(2)), "gates has shape"),
        (lambda: recurrence.half_life(torch.tensor([2.0])), "gates lie between"),
        (lambda: load_balance(torch.ones(2, 3), torch.zeros(2, 3)), "something used"),
        (lambda: grouped(torch.ones(2, 3), [1, 1, 1], 4), "from 1 to 3"),
        (lambda: stable_rank(torch.ones(0, 2)), "must be a matrix"),
    ],
)  # fmt: skip
def test_law_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
