"""Page 20: averages of networks."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from published import drawn

from nclib.evidence.claims import judge_all
from nclib.pages._collapses.classifier import digits, network
from nclib.pages.averages import claims, clients, figures, merging, views
from nclib.pages.averages.quoted import quoted
from nclib.pages.averages.study import STUDY
from nclib.runs.study import own_runs


def test_oracle_a_network_as_lists_is_the_network():
    """Features and logits; and what is loaded into another network makes it the same."""
    torch.manual_seed(0)
    model, other, data = network(7, 2).double(), network(7, 2).double(), digits(3)
    net, x = merging.parameters(model), data.x_test.double()
    assert torch.allclose(merging.features(net, x), model.features(x))
    loss = torch.nn.functional.cross_entropy(model(x), data.y_test)
    assert merging.performance(net, data)["loss"] == pytest.approx(loss.item())
    clients.load(other, net)
    assert torch.equal(other(x), model(x)) and merging.distance(net, merging.parameters(other)) == 0


def test_value_average_distance_and_variance():
    one = [torch.tensor([[1.0, -1.0]])], [torch.tensor([2.0])]
    two = [torch.tensor([[3.0, 1.0]])], [torch.tensor([0.0])]
    assert merging.average([one, two])[0][0].tolist() == [[2.0, 0.0]]
    assert merging.average([one, two])[1][0].tolist() == [1.0]
    assert merging.distance(one, two) == pytest.approx(12**0.5)
    assert merging.variance([one, two]) == pytest.approx(1.0)
    assert merging.variance([one, ([-one[0][0]], one[1])]) == 0
    assert merging.variance([one, ([torch.tensor([[3.0, 3.0]])], one[1])]) == pytest.approx(0.5)


def test_law_each_image_belongs_to_one_client():
    y = torch.arange(200) % 10
    dealt = clients.deal(y, 5, 0.9, torch.Generator().manual_seed(0))
    assert torch.cat(dealt).sort().values.equal(torch.arange(200))
    counts = torch.stack([torch.bincount(y[own], minlength=10) for own in dealt])
    assert all(counts[k % 5, k] >= 18 for k in range(10)) and counts.sum(0).tolist() == [20] * 10


def test_value_barrier(smoke_table):
    """A line has none; a bump of 1 at the middle is 1; a missing end is NaN."""
    table = own_runs(smoke_table(STUDY))
    on = (table["metric"] == "loss") & table["share"].notna()
    line = table.assign(value=table["value"].where(~on, table["share"] * 2 + 1))
    assert views.barrier(line, "matched").tolist() == pytest.approx([0.0])
    bump = line.assign(value=line["value"] + (on & (line["share"] == 0.5)))
    assert views.barrier(bump, "matched").tolist() == pytest.approx([1.0])
    assert np.isnan(views.barrier(bump[~(on & (bump["share"] == 1))], "matched")).all()


def test_figures_and_claims_of_the_smoke_profile(smoke_table):
    table = own_runs(smoke_table(STUDY))
    judged = judge_all(claims.HEADLINES, table).set_index("id")
    assert len(judged) == 12 and "not at this scale" not in set(judged["verdict"])
    assert judged["verdict"]["collapses.clients.variance"] == "holds"
    assert all(quoted(table).values())
    starts = table.query("metric == 'variance' and way == 'starts' and n == 3")
    assert starts["theory"].tolist() == [pytest.approx(1 / 3)] and starts["value"].iloc[0] == pytest.approx(
        1 / 3, abs=0.1
    )
    shown = {
        figures.merging: (views.path, 1), figures.variances: (views.variances, 1), figures.clients: (views.clients, 3)
    }  # fmt: skip
    for draw, (view, panels) in shown.items():
        made = drawn(draw, view(table))
        assert len(made.axes) == panels and all(axis.lines for axis in made.axes)
        plt.close(made)


def test_law_runs_are_distinct_and_seeds_consecutive():
    for profile, seeds in {"smoke": 1, "laptop": 3, "paper": 10}.items():
        runs = STUDY.runs(profile, seed=5)
        assert len({run.key() for run in runs}) == len(runs) == 2 * seeds
        assert {run.seed for run in runs} == set(range(5, 5 + seeds)) and not any(run.needs_gpu() for run in runs)
