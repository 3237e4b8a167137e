"""Page 19: pruning."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from published import drawn

from nclib.evidence.claims import judge_all
from nclib.pages._collapses.classifier import digits, network
from nclib.pages.pruning import claims, figures, groups, magnitude, views
from nclib.pages.pruning.quoted import quoted
from nclib.pages.pruning.study import STUDY
from nclib.runs.study import own_runs


def test_law_what_is_pruned_stays_zero_through_training():
    torch.manual_seed(0)
    data, model = digits(4), network(8, 2)
    small = magnitude.pruned(model, model, 0.9)
    before = [w != 0 for w in magnitude.matrices(small)]
    magnitude.fit(small, data.x, data.y, 3, 1e-2, torch.Generator().manual_seed(0))
    after = magnitude.matrices(small)
    assert all(not (w != 0)[~kept].any() for w, kept in zip(after, before, strict=True))
    assert sum(int(kept.sum()) for kept in before) == round(0.1 * (64 * 8 + 64 + 80))
    assert any(not torch.equal(w, v) for w, v in zip(after, magnitude.matrices(model), strict=True))


def test_oracle_saliency_is_the_first_order_change():
    """Of a unit: (L(w (1 + h)) - L(w (1 - h))) / 2h with all its weights scaled, in float64."""
    torch.manual_seed(1)
    data, model = digits(3), network(5, 2).double()
    x, y = data.x.double(), data.y
    found = groups.saliency(model, x, y)
    layers, h = groups.linear_layers(model), 1e-6

    def loss(factor, layer, unit):
        kept = {name: value.clone() for name, value in model.state_dict().items()}
        with torch.no_grad():
            layers[layer].weight[unit] *= factor
            layers[layer].bias[unit] *= factor
            layers[layer + 1].weight[:, unit] *= factor
            value = float(torch.nn.functional.cross_entropy(model(x), y))
        model.load_state_dict(kept)
        return value

    for layer in range(2):
        for unit in range(5):
            change = (loss(1 + h, layer, unit) - loss(1 - h, layer, unit)) / (2 * h)
            assert float(found[layer, unit]) == pytest.approx(abs(change), abs=1e-7)


def test_value_removing_units():
    torch.manual_seed(2)
    model, data = network(6, 3), digits(4)
    values = torch.tensor([[6.0, 5, 4, 3, 2, 1], [9, 8, 7, 0, 0, 0], [0, 0, 0, 0, 10, 11]])
    alive = groups.most_salient(values, torch.ones(3, 6, dtype=torch.bool), 7)
    assert alive.sum(1).tolist() == [2, 3, 2]
    assert groups.most_salient(values.flip(1), alive, 7).equal(alive)
    with torch.no_grad():
        for layer in groups.linear_layers(model)[:-1]:
            layer.bias.fill_(20.0)  # no unit is always off
    groups.remove(model, alive)
    assert groups.least_rank(model, data) == 2
    hidden = model.backbone[:3](data.x)
    assert (hidden != 0).any(0).tolist() == alive[0].tolist()


def toy():
    """Rounds 0 to 5 of two seeds: the PQ Index turns at 1 and 3, accuracy drops at 4, NC1 doubles at 2."""
    values = {
        "pqi": [0.5, 0.2, 0.3, 0.6, 0.1, 0.05], "accuracy": [0.95, 0.95, 0.94, 0.93, 0.5, 0.1],
        "nc1": [0.2, 0.1, 0.21, 0.3, 0.4, np.inf], "between": [4, 6, 5, 2, 1, 0.0], "rank": [9, 9, 9, 9, 9, 0],
        "emptiest": [50, 40, 9, 2, 0, 0],
    }  # fmt: skip
    found = []
    for seed in (0, 1):
        for part in views.WEIGHTS:
            for metric, line in values.items():
                line = [
                    0.4 if part == views.WEIGHTS[2] and (metric, t) == ("accuracy", 4) else v
                    for t, v in enumerate(line)
                ]
                line = [
                    0.12 if part == views.WEIGHTS[1] and (metric, t) == ("accuracy", 4) else v
                    for t, v in enumerate(line)
                ]
                found += [
                    {"part": part, "seed": seed, "metric": metric, "round": t, "value": v} for t, v in enumerate(line)
                ]
        for part, shift in {"units at once": 0.1, "units in five cycles": 0.0}.items():
            at = {"part": part, "seed": seed}
            found.append(at | {"metric": "dense", "value": 0.95})
            for kept, pruned, accuracy, rank in ((64, 0.4 - shift, 0.96, 9), (24, 0.1, 0.945 - shift, 4)):
                at_kept = {"pruned": pruned, "accuracy": accuracy, "rank": rank}
                found += [at | {"metric": name, "kept": kept, "value": value} for name, value in at_kept.items()]
    return pd.DataFrame(found).assign(beside="", theory=np.nan)


def test_value_claims_of_a_toy_table():
    judged = judge_all(claims.HEADLINES, toy()).set_index("id")["values"].map(lambda values: values[0])
    assert judged["collapses.pqi.down-up-down"] == pytest.approx(0.3) and judged["collapses.pqi.last"] == 1
    assert judged["collapses.layer-collapse.empty"] == 0
    assert judged["collapses.layer-collapse.chance"] == pytest.approx(0.12)
    assert judged["collapses.layer-collapse.cured"] == pytest.approx(0.4)
    assert judged["collapses.layer-collapse.gain"] == pytest.approx(0.28)
    assert judged["collapses.units.at-once"] == pytest.approx(0.105)
    assert judged["collapses.units.cycles"] == pytest.approx(0.005)
    assert judged["collapses.units.mended"] == pytest.approx(0.1) and judged["collapses.units.iff"] == 0.25
    nearly = toy()
    nearly.loc[(nearly["metric"] == "emptiest") & (nearly["seed"] == 1) & (nearly["value"] == 0), "value"] = 1.0
    verdicts = judge_all(claims.HEADLINES, nearly).set_index("id")["verdict"]
    assert verdicts["collapses.layer-collapse.empty"] == "fails"
    assert verdicts["collapses.layer-collapse.cured"] == "not at this scale"
    leads = [judged[f"collapses.pruning.{name}"] for name in ("nc1", "trace", "rank", "nc1-pqi")]
    assert leads == [2, 1, -1, 1]


def test_value_quoted():
    said = quoted(toy())
    assert (said["drop"], said["turn"], said["nc1-lead"], said["rank-lead"]) == (
        "4.0", "3.0", "2.0 rounds earlier", "1.0 rounds later",
    )  # fmt: skip
    assert (said["full-lost"], said["short-recovered"], said["least-rank"]) == ("0%", "25%", "4")
    assert (said["behind-once"], said["emptied"]) == ("10.5", "2 of 2")
    assert (said["gone-once"], said["gone-cycles"], said["back-once"]) == ("30%", "40%", "−1.0")


def test_value_accuracy_when_units_have_gone_and_after_training_on():
    """Of both moments a row for each number of units, way and seed; the dense network's beside it."""
    rows = views.mended(toy())
    assert len(rows) == 2 * 2 * 2 * 2 and set(rows["theory"]) == {0.95}
    at_once = rows.query("line == 'units at once' and seed == 1").set_index(["metric", "kept"])["value"]
    assert at_once.to_dict() == pytest.approx(
        {("pruned", 64): 0.3, ("accuracy", 64): 0.96, ("pruned", 24): 0.1, ("accuracy", 24): 0.845}
    )
    left, right = drawn(figures.mended, rows).axes
    assert left.lines[0].get_ydata() == pytest.approx([0.1, 0.3])
    assert right.lines[0].get_ydata() == pytest.approx([0.845, 0.96])
    assert left.lines[2].get_ydata() == pytest.approx([0.95, 0.95]) and left.xaxis.get_inverted()


def test_figures_and_claims_of_the_smoke_profile(smoke_table):
    table = own_runs(smoke_table(STUDY))
    judged = judge_all(claims.HEADLINES, table)
    assert len(judged) == 14 and "not at this scale" not in set(judged["verdict"])
    assert all(quoted(table).values())
    for draw, view, panels in (
        (figures.rounds, views.rounds, 6),
        (figures.mended, views.mended, 2),
        (figures.units, views.units, 1),
    ):
        made = drawn(draw, view(table))
        assert len(made.axes) == panels and all(axis.lines for axis in made.axes)
        plt.close(made)


def test_law_runs_are_distinct_and_seeds_consecutive():
    for profile, seeds in {"smoke": 1, "laptop": 3, "paper": 10}.items():
        runs = STUDY.runs(profile, seed=5)
        assert len({run.key() for run in runs}) == len(runs) == 5 * seeds
        assert {run.seed for run in runs} == set(range(5, 5 + seeds)) and not any(run.needs_gpu() for run in runs)
