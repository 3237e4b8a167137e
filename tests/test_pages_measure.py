"""The page that measures: its traps, tables, rules that can fail, figures, timings, and the boxes with code in it."""

import importlib.util
import itertools
import json
import math
import re
import shlex
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from published import drawn
from test_cli import call

from nclib import conventions
from nclib.evidence.claims import judge_all
from nclib.models import MLP
from nclib.pages._language_models import grid
from nclib.pages.measure import claims, figures, network, tables, timings, trap, views
from nclib.pages.measure.network import Network
from nclib.pages.measure.study import STUDY
from nclib.pages.measure.trap import Traps
from nclib.runs.study import own_runs

ROOT = Path(__file__).resolve().parents[1]
PAGE = nbformat.read(ROOT / "notebooks" / "A1-measure.ipynb", as_version=4)
PROSE = "\n".join(cell.source for cell in PAGE.cells if cell.cell_type == "markdown")


def boxes(kind):
    return re.findall(rf"^```{kind}\n(.*?)^```$", PROSE, re.M | re.S)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """The study at profile smoke, its language model on sentences of random words, three seeds of the traps."""
    folder, rng = tmp_path_factory.mktemp("corpus"), np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdefghij"), 5)) for _ in range(100)]
    documents = [" ".join(rng.choice(words, 40)) for _ in range(200)]
    (folder / "train.txt").write_text("\n<|endoftext|>\n".join(documents))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NCLIB_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setitem(grid.CORPORA, "smoke", str(folder))
        patch.setitem(grid.SIZES["smoke"], "tokens", 4000)
        found = own_runs(STUDY.table("smoke", "cpu", epochs=2))
        more = [Traps(seed).run().assign(seed=seed, part="traps", beside="", profile="smoke") for seed in (1, 2)]
    return pd.concat([found, *more], ignore_index=True)


def verdicts(rows):
    judged = judge_all(claims.HEADLINES, rows)
    return {row.id.removeprefix("wu2024.measure."): row.verdict for row in judged.itertuples()}


def alike(values):
    """Relative differences of every number between presets that define it alike; infinite where one is undefined."""
    for first, second in itertools.combinations(views.PRESETS, 2):
        for key in values[first]:
            own = [key.startswith(views.OWN.get(name, ())) for name in (first, second)]
            if not any(own) or (all(own) and key.startswith("cdnv_")):
                a, b = values[first][key], values[second][key]
                yield 0.0 if a == b or (a != a and b != b) else abs(a / b - 1) if b else math.inf


def test_law_runs_come_from_the_grid_and_three_seeds():
    runs = STUDY.runs("laptop", seed=4)
    assert grid.runs("laptop", seed=4, widths=(32,), depths=(1,))[0] in runs
    for kind in (Network, Traps):
        assert [run.seed for run in runs if isinstance(run, kind)] == [4, 5, 6]
    assert STUDY.runs("paper", epochs=7)[0].epochs == 7


def test_value_loop_and_cdnv_of_two_classes():
    H, y = torch.tensor([[0.0, 0], [2, 0], [1, 3], [1, 5]]), torch.tensor([0, 0, 1, 1])
    means, variances = trap._loop(H, y, 2)
    assert [m.tolist() for m in means] == [[1, 0], [1, 4]] and variances == [1, 1]
    assert trap._cdnv(means, variances) == [2 / 32]


def test_law_every_trap_is_described_and_measured(table):
    assert [one.__name__ for one in trap.TRAPS] == list(views.TRAPS)
    found = views.errors(table)
    assert found["trap"].tolist() == [name for name in views.TRAPS for _ in range(3)]
    assert (found["ours_error"] <= 1e-10).all() and (found["naive_error"] >= 0.1).all()
    exact = found.set_index(["trap", "seed"])
    assert exact.loc[("scale", 0), "naive"] == pytest.approx(1 / 4, rel=1e-12)
    assert exact.loc[("scale", 0), "truth"] == pytest.approx(1, rel=1e-12)
    assert exact.loc[("origin", 0), "truth"] == pytest.approx(-math.log(2) / 2, abs=0.01)
    assert list(tables.traps(table).index) == [what for what, _, _ in views.TRAPS.values()]


def test_law_streaming_sees_what_a_split_would_change():
    g = torch.Generator().manual_seed(0)
    H, W = torch.randn(60, 5, generator=g), torch.randn(4, 5, generator=g)
    y = torch.arange(60) % 4
    assert network.streaming(H, y, W, g) < 1e-12
    assert network.streaming(H.double() + 1e9, y, W, g) > 1e-12


def test_law_every_layer_has_its_numbers_and_nulls(table):
    for layer in network.LAYERS:
        found = views.layer_values(table, layer)
        wanted = set(conventions.DESCRIPTIONS) - {"ncc_agreement", "self_duality", "uniform_duality", "duality_std"}
        assert set(found["measured"]) >= wanted - {"nc3", "dual_error"}
        low, value, high = (found[source]["nc1_trace_ratio"] for source in ("low", "measured", "high"))
        assert low < value < high < found["shuffled"]["nc1_trace_ratio"]
    assert views.layer_values(table, "pixels")["theory"]["dimension"] == 64
    shown = tables.numbers(table)
    assert list(shown.index) == list(conventions.DESCRIPTIONS)
    assert shown.loc["nc1", "95 % over classes"] == "" and " to " in shown.loc["etf_error", "95 % over classes"]
    assert tables.words(table).data.startswith("> 10 classes in 128 dimensions, 1,400 samples.")


def test_value_presets_that_differ_and_agree(table):
    values, null = views.language(table)
    assert list(values) == list(conventions.PRESETS) and null["dimension"] == 8
    frame = views.disagreement(table)
    textbook, may, october, directions = frame.columns
    assert directions == "random directions" and len(frame) == 12
    assert (frame.loc["cdnv_mean", may] == frame.loc["cdnv_mean", october]) & (frame[may] != frame[textbook])[
        "cdnv_mean"
    ]
    assert frame.loc["norm_mean", october] == frame.loc["norm_mean", textbook]
    assert tables.shown(pd.DataFrame({"a": [1234.5678, math.nan, math.inf]}))["a"].tolist() == ["1,235", "", "inf"]
    differences = list(alike(values))
    assert len(differences) == 48 and max(differences) <= 1e-12 and views.PRESETS == tuple(conventions.PRESETS)


def science(rows):
    """Those on runs."""
    return {name: verdict for name, verdict in verdicts(rows).items() if not name.startswith("speed")}


def test_law_claims_hold_and_each_of_them_can_fail(table):
    assert science(table) == dict.fromkeys(
        ("traps.naive", "traps.ours", "streaming", "presets.gnc2", "presets.interference"), "holds"
    )

    def broken(name, part, **where):
        rows = table[table["part"] == part]
        chosen = np.logical_and.reduce([rows[column] == value for column, value in where.items()])
        other = table.copy()
        other.loc[rows.index[chosen], "value"] *= 1 + 1e-8
        return science(other)[name]

    textbook, may, october = conventions.PRESETS
    assert broken("traps.ours", "traps", trap="width", metric="ours") == "fails"
    assert broken("presets.interference", "language model", convention=october, metric="interference_mean") == "fails"
    rows = table.copy()
    same = (rows["metric"] == "gnc2_cv") & (rows["convention"] == may)
    rows.loc[same, "value"] = rows.loc[(rows["metric"] == "gnc2_cv") & (rows["convention"] == textbook), "value"].item()
    rows.loc[rows["metric"] == "streaming", "value"] = 1e-11
    rows.loc[(rows["trap"] == "cutoff") & (rows["metric"] == "naive"), "value"] = rows.loc[
        (rows["trap"] == "cutoff") & (rows["metric"] == "truth"), "value"
    ].to_numpy()
    found = science(rows)
    assert [found[name] for name in ("presets.gnc2", "streaming", "traps.naive")] == ["fails"] * 3


def test_law_figures_hold_what_the_tables_do(table):
    made = drawn(figures.layers, views.layers(table))
    line = made.axes[2].lines[0]
    assert line.get_ydata()[-1] == views.layer_values(table)["measured"]["etf_error"]
    points = drawn(figures.presets, views.presets(table)).axes[0]
    assert len(points.get_yticklabels()) >= 11
    axis = drawn(figures.traps, views.traps(table)).axes[0]
    assert [text.get_text() for text in axis.get_yticklabels()] == [row[0] for row in views.TRAPS.values()]
    assert "infinite" in [text.get_text() for text in axis.texts]
    assert drawn(figures.report, views.report(table)).axes
    plt.close("all")


def timing(test, **info):
    return {
        "fullname": f"benchmarks/bench_measure.py::{test}",
        "group": None,
        "stats": {"median": 9.0},
        "extra_info": info,
    }


@pytest.fixture
def timed(store, monkeypatch):
    """Two ratios and the sweep of an update over K, archived by benchmarks/table.py."""
    spec = importlib.util.spec_from_file_location("table", ROOT / "benchmarks" / "table.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    common = {"device": "cpu", "threads": 1, "rounds": 3, "d": 8}
    ratio = common | {"ratio_low": 1.0, "ratio_high": 2.0, "seconds": 0.5, "reference_seconds": 0.25, "K": 1000}
    entries = [
        timing("a", name="update, zipf labels", against="index_add_ in float64", ratio=6.0, goal=5.0, N=10, **ratio),
        timing("b", name="cdnv_summary", against=timings.DOUBLE, ratio=1.25, goal=1.5, **ratio),
        timing("c", name="cdnv_summary", against=timings.DOUBLE, ratio=9.0, **ratio | {"device": "cuda"}),
    ]
    entries += [timing("d", name="update", sweep="K", K=K, N=5, seconds=K**0.25, **common) for K in (16, 81, 256)]
    report = {"benchmarks": entries, "datetime": "2026-01-02T03:04:05+00:00"}
    monkeypatch.setattr(module.manifest, "hardware", lambda device: f"some {device}")
    assert [path.name for path in module.write(report, store / "results" / "benchmarks", "cmd")] == ["measure.csv"]
    return timings.read()


def test_value_timings_become_a_table_ratios_and_exponents(timed, table):
    runs, (table, manifest) = table, timed
    assert len(table) == 5 and manifest["hardware"] == {"cpu": "some cpu", "cuda": "some cuda"}
    assert "some cpu" in timings.machine(manifest).data and "2026-01-02" in timings.machine(manifest).data
    shown = timings.ratios(table)
    assert shown["ratio"].tolist() == ["6", "1.25"] and shown["N"].tolist() == ["10", ""]
    assert timings.growth(table)["size"].tolist() == [16, 81, 256]
    assert timings.slopes(table)["slope"].tolist() == [pytest.approx(0.25)] and timings.slopes(table)["counted"][0] == 0
    found = verdicts(runs)
    assert found["speed.update.zipf"] == "fails" and found["speed.cdnv"] == "holds" and found["speed.growth"] == "holds"
    assert found["speed.nc4"] == "not at this scale"
    made = drawn(figures.growth, views.growth(timings.growth(table), timings.slopes(table)))
    assert made.axes[1].texts[0].get_text() == "0.25"
    plt.close("all")


def test_law_without_timings_the_page_says_so(store, table):
    runs, (table, manifest) = table, timings.read()
    assert table.empty and "make bench" in timings.machine(manifest).data and timings.ratios(table).empty
    assert {verdict for name, verdict in verdicts(runs).items() if "speed" in name} == {"not at this scale"}
    made = drawn(figures.growth, views.growth(timings.growth(table), timings.slopes(table)))
    assert made.axes[0].texts[0].get_text() == "not timed yet"
    plt.close("all")


def test_law_goals_and_sizes_are_those_of_the_benchmarks():
    source = (ROOT / "benchmarks" / "bench_measure.py").read_text()
    for name, against, _ in timings.GOALS.values():
        assert re.sub(r"uniform|zipf", "{labels}", name) in source or name in source
        assert (
            against in source
            or against.replace("float64", "{str(dtype)[6:]}").replace("float32", "{str(dtype)[6:]}") in source
        )


def test_oracle_boxes_with_classes_of_images_run():
    pytest.importorskip("torchmetrics")
    torch.manual_seed(0)
    model = MLP(4, 128, 3, 10, batch_norm=True, bias_last=True).eval()
    loader = [(torch.randn(50, 4), torch.arange(50) % 10) for _ in range(2)]
    names = {"model": model, "loader": loader}
    chosen = [box for box in boxes("python") if "collect" in box or "torchmetrics" in box]
    assert len(chosen) == 2
    for box in chosen:
        exec(box.replace("print(", "printed = ("), names)
    with torch.no_grad():
        wanted = conventions.measure(names["found"]["backbone.10"])["nc1"]
    assert names["values"]["nc1"] == wanted and float(names["printed"]) == pytest.approx(wanted, rel=1e-9)


def test_oracle_box_with_a_trainer_runs(tmp_path):
    transformers = pytest.importorskip("transformers")
    windows = torch.randint(0, 12, (6, 8), generator=torch.Generator().manual_seed(0))
    size = {"num_layers": 1, "hidden_size": 8, "num_heads": 2, "attention_types": [[["global"], 1]]}
    config = transformers.GPTNeoConfig(vocab_size=12, max_position_embeddings=8, bos_token_id=0, eos_token_id=0, **size)
    names = {"language_model": transformers.GPTNeoForCausalLM(config), "windows": windows}
    names["data"] = [{"input_ids": w, "labels": w} for w in windows]
    quiet = {"report_to": [], "use_cpu": True, "save_strategy": "no", "disable_tqdm": True}
    names["arguments"] = transformers.TrainingArguments(str(tmp_path), **quiet)
    (box,) = [box for box in boxes("python") if "Trainer" in box]
    exec(box.replace("print(", "printed = ("), names)
    found = names["callback"].measure(names["language_model"])
    assert names["printed"] == pytest.approx(found["nc1_trace_ratio"], rel=1e-6)


def test_oracle_commands_print_what_the_page_shows(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (box,) = [box for box in boxes("python") if "features.npz" in box]
    exec(box, {})
    first, second, _ = boxes("console")
    for box in (first, second):
        for part in re.split(r"^\$ nclib ", box, flags=re.M)[1:]:
            command, *shown = part.splitlines()
            code, out, error = call(capsys, *shlex.split(command))
            assert code == 0, error
            assert [line for line in shown if line not in out.splitlines()] == []
    blocks = call(capsys, *shlex.split(re.search(r"\$ nclib (.*)", first).group(1)))[1].split("\n\n")
    lines = [*blocks[1].splitlines()[1:], *blocks[2].splitlines()[2:]]  # below a header; below a sentence and a rule
    assert f"two of its {len(lines)} lines" in PROSE and (tmp_path / "report.png").stat().st_size > 0


def test_oracle_commands_on_a_language_model_run(tmp_path, capsys, monkeypatch):
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, models, pre_tokenizers

    monkeypatch.chdir(tmp_path)
    words = {"<|endoftext|>": 0} | {f"w{i}": i for i in range(1, 12)}
    plain = Tokenizer(models.WordLevel(words, unk_token="w1"))
    plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    transformers.PreTrainedTokenizerFast(tokenizer_object=plain, eos_token="<|endoftext|>").save_pretrained("my-model")
    size = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.GPTNeoXConfig(
        vocab_size=12, max_position_embeddings=16, bos_token_id=0, eos_token_id=0, **size
    )
    transformers.GPTNeoXForCausalLM(config).save_pretrained("my-model")
    rng = np.random.default_rng(0)
    Path("stories.txt").write_text(
        "\n<|endoftext|>\n".join(" ".join(f"w{i}" for i in rng.integers(1, 12, 60)) for _ in "abc")
    )
    one, many = boxes("console")[2].splitlines()
    assert one.startswith("$ nclib ") and many.startswith("$ torchrun --nproc-per-node 2 -m nclib ")
    for command in (one, many):
        code, _, error = call(capsys, *shlex.split(command.partition("nclib ")[2]))
        assert code == 0, error
    found = json.loads(Path("collapse.json").read_text())
    assert found["settings"]["preset"] == "wu-papyan-2024-05" and found["values"]["classes"] == 12
