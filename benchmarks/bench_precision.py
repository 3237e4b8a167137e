"""Measuring passes of a language model whose features are in bfloat16 or TF32, against float32 ones.

The models are two of profile `laptop`, trained for one epoch and for three. Logits, distances and sums are in
float32 and float64 in any case. Each entry of the JSON holds, in extra_info, the ratio of seconds of a pass, by how
much each measure of the textbook convention differs, relative to its value in float32, and the largest difference of
all conventions. Passes change over when that is at most BOUND; with bfloat16 on a CPU it is not.
"""

import contextlib

import pytest
import torch
from conftest import paired

from nclib.pages._language_models import grid, language_model
from nclib.training import language, language_measures

BOUND = 1e-3
CASES = [("cpu", "bfloat16")] + [("cuda", "bfloat16"), ("cuda", "tf32")] * torch.cuda.is_available()


@pytest.fixture(scope="module", params=[(64, 2, 1), (32, 4, 3)], ids=["2x64", "4x32"])
def trained(request):
    """(run, model, windows) on the CPU."""
    run = next(run for run in grid.runs("laptop") if (run.width, run.depth, run.epochs) == request.param)
    net, windows = language_model.model(run), language_model.texts(run)
    settings = language.Settings(run.epochs, run.batch, lr=run.rate, weight_decay=run.weight_decay, seed=run.seed)
    language.fit(net, windows["train"], settings)
    return run, net, windows


@contextlib.contextmanager
def features_in(net, precision):
    """The features of a model in another precision, handed on as float32."""
    plain, device = net.features, net.classifier.device.type

    def features(ids):
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("high" if precision == "tf32" else before)
        try:
            with torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
                return plain(ids).float()
        finally:
            torch.set_float32_matmul_precision(before)

    net.features = features
    yield
    del net.features


def differences(found, expected):
    """{(convention, split, metric): difference relative to the expected value}"""
    key = ["convention", "split", "metric"]
    a, b = (table.dropna(subset="value").set_index(key)["value"] for table in (found, expected))
    return ((a - b).abs() / b.abs()).where(a != b, 0.0)


@pytest.mark.parametrize(("device", "precision"), CASES)
def test_measures_against_float32(benchmark, trained, device, precision):
    run, net, windows = trained
    net, windows = net.to(device), {split: ids.to(device) for split, ids in windows.items()}
    expected = language_model.losses_and_collapse(net, windows, run)
    with features_in(net, precision):
        found = language_model.losses_and_collapse(net, windows, run)

    def measured():
        language_measures.statistics(net, windows["validation"], run.vocab, language_model.EVALUATED)

    def rounded():
        with features_in(net, precision):
            measured()

    apart = differences(found, expected)
    info = {field: getattr(run, field) for field in ("width", "depth", "epochs", "vocab")}
    info |= {"precision": precision, "bound": BOUND}
    info |= {"largest": apart.max(), "largest_of": " ".join(filter(None, apart.idxmax()))}
    info |= {f"loss_{split}": apart["", split, "loss"] for split in ("train", "validation")}
    paired(benchmark, rounded, measured, 5, device=device, name=f"pass with features in {precision}",
           against="in float32", **info, **apart["textbook", "train"])  # fmt: skip
