"""The story grammar: its exact next-token distribution against enumeration, frequencies and fitted models."""

from collections import Counter
from functools import cache
from itertools import pairwise, product

import numpy as np
import pytest
import torch
from scipy import stats

from nclib import ClassStatistics, StatisticsAccumulator
from nclib.data.bpe import END
from nclib.data.grammar import Grammar
from nclib.data.text import windows

LOOP = Grammar(themes=1, stages=((0.25, ("go %way .",)),), classes={"way": "up down"}, recalled={}, agreement={})
TINY = {
    "stages": (
        (0.0, ("%girl has a %big? %toy .", "%boy has a %toy .", "a %toy met %girl .")),
        (0.0, ("$he likes the $toy .", "$he likes a %big %toy .", "the $toy likes $who %big? .")),
        (0.0, ("$who and the $toy end .", "the $toy end .")),
    ),
    "classes": {"girl": "Mia Ann", "boy": "Tom", "toy": "ball box cup", "big": "red wet"},
    "recalled": {"who": ("girl", "boy"), "toy": ("toy",)},
    "agreement": {"he": ("who", {"girl": "she", "boy": "he"})},
}


@pytest.fixture(scope="module")
def grammar():
    return Grammar()


@pytest.fixture(scope="module")
def text(grammar):
    return grammar.sample(100_000, seed=5)


def enumerate_stories(g):
    """{story, as words: probability}, from the definition of patterns, by expanding everything."""
    random = np.random.default_rng(g.seed)
    theme_of = {name: random.integers(g.themes, size=len(words.split())) for name, words in g.classes.items()}
    stories = Counter()
    for z in range(g.themes):
        states = Counter({((), ()): 1 / g.themes})
        for _, patterns in g.stages:
            total = sum(1 / (k + 1) for k in range(len(patterns)))
            after = Counter()
            for (words, seen), p in states.items():
                for k, pattern in enumerate(patterns):
                    for story, memory, q in _expand(g, pattern.split(), words, dict(seen), theme_of, z):
                        after[story, tuple(sorted(memory.items()))] += p * q / (k + 1) / total
            states = after
        for (words, _), p in states.items():
            stories[(*words, END)] += p
    return stories


def _expand(g, slots, words, seen, theme_of, z):
    if not slots:
        yield words, seen, 1.0
        return
    slot, rest = slots[0], slots[1:]
    if slot.endswith("?"):
        for story, memory, q in _expand(g, rest, words, seen, theme_of, z):
            yield story, memory, q / 2
        for story, memory, q in _expand(g, [slot[:-1], *rest], words, seen, theme_of, z):
            yield story, memory, q / 2
        return
    if slot[0] == "%":
        choices = g.classes[slot[1:]].split()
        weight = [(g.boost if theme_of[slot[1:]][r] == z else 1) / (r + 1) for r in range(len(choices))]
        drawn = [(word, w / sum(weight)) for word, w in zip(choices, weight, strict=True)]
    elif slot[0] == "$" and slot[1:] in g.recalled:
        drawn = [(seen[slot[1:]], 1.0)]
    elif slot[0] == "$":
        of, agreeing = g.agreement[slot[1:]]
        drawn = [(next(w for c, w in agreeing.items() if seen[of] in g.classes[c].split()), 1.0)]
    else:
        drawn = [(slot, 1.0)]
    for word, p in drawn:
        memory = dict(seen)
        for name, classes in g.recalled.items():
            if any(word in g.classes[c].split() for c in classes):
                memory[name] = word
        for story, later, q in _expand(g, rest, (*words, word), memory, theme_of, z):
            yield story, later, p * q


@pytest.mark.parametrize(("seed", "themes"), [(0, 1), (1, 3)])
def test_oracle_next_distribution_is_that_of_all_stories_enumerated(seed, themes):
    g = Grammar(seed=seed, themes=themes, boost=5.0, **TINY)
    stories = enumerate_stories(g)
    assert sum(stories.values()) == pytest.approx(1, abs=1e-12)
    number = {word: i for i, word in enumerate(g.vocabulary)}
    after = Counter()
    for story, p in stories.items():
        for t, word in enumerate(story):
            after[story[:t], number[word]] += p
    ids = g.sample(700, seed=3)
    P = g.next_distribution(ids)
    prefix = ()
    for x, row in zip(ids, P, strict=True):
        prefix = () if x == 0 else (*prefix, g.vocabulary[x])
        expected = np.array([after[prefix, v] for v in range(len(g.vocabulary))])
        np.testing.assert_allclose(row, expected / expected.sum(), rtol=1e-11, atol=1e-14)


def test_oracle_entropy_and_length_of_all_stories_enumerated():
    for themes in (1, 3):
        g = Grammar(seed=1, themes=themes, boost=5.0, **TINY)
        stories = enumerate_stories(g)
        length = sum(p * len(story) for story, p in stories.items())
        rate = -sum(p * np.log(p) for p in stories.values()) / length
        low, high = g.entropy_rate
        assert g.story_length == pytest.approx(length, rel=1e-12)
        assert high - low == pytest.approx(np.log(themes) / length, abs=1e-12)
        if themes == 1:
            assert low == pytest.approx(rate, rel=1e-12)
        assert low < rate * (1 + 1e-12) and rate < high * (1 + 1e-12)


def test_value_loop_by_hand():
    """go up . | go down .: up has weight 1, down 1/2; one more sentence in a quarter of the cases. The boost of a lone
    theme is common to all words."""
    assert LOOP.vocabulary == [END, "go", ".", "up", "down"]
    P = LOOP.next_distribution([1, 3, 2, 0])
    np.testing.assert_allclose(
        P, [[0, 0, 0, 2 / 3, 1 / 3], [0, 0, 1, 0, 0], [3 / 4, 1 / 4, 0, 0, 0], [0, 1, 0, 0, 0]], atol=1e-15
    )
    assert LOOP.bayes_loss([1, 3, 2, 0]) == pytest.approx((np.log(3 / 2) + np.log(4 / 3)) / 4, rel=1e-14)
    assert LOOP.bayes_loss([1, 4, 2, 1]) == pytest.approx((np.log(3) + np.log(4)) / 4, rel=1e-14)
    assert LOOP.story_length == pytest.approx(3 * 4 / 3 + 1, rel=1e-14)
    words, ends = (np.log(3) - 2 / 3 * np.log(2)) * 4 / 3, (np.log(4) - 3 / 4 * np.log(3)) * 4 / 3
    assert LOOP.entropy_rate == pytest.approx([(words + ends) / 5] * 2, rel=1e-13)


def test_law_sample_is_a_prefix_of_a_longer_one(grammar):
    ids = grammar.sample(150_000, seed=2)
    assert ids.shape == (150_000,) and (grammar.sample(1_000, seed=2) == ids[:1_000]).all()
    assert not (grammar.sample(1_000, seed=3) == ids[:1_000]).all()
    assert not (Grammar(seed=1).sample(1_000, seed=2) == ids[:1_000]).all()


def test_law_vocabulary_is_used_and_like_zipf(grammar):
    ids = grammar.sample(300_000, seed=2)
    count = np.sort(np.bincount(ids, minlength=len(grammar.vocabulary)))[::-1]
    assert 200 <= len(count) <= 600 and count[-1] > 0
    rank = np.arange(1, len(count) + 1)
    assert -1.5 < np.polyfit(np.log(rank), np.log(count), 1)[0] < -0.9


def test_law_every_story_keeps_to_its_hero_object_and_pronouns(grammar, text):
    objects = set(grammar.classes["object"].split())
    heroes = {name: "girl" for name in grammar.classes["girl"].split()}
    heroes |= {name: "boy" for name in grammar.classes["boy"].split()}
    words = " ".join(grammar.vocabulary[i] for i in text).split(END)[:-1]
    assert len(words) > 1_000
    for story in map(str.split, words):
        (hero,) = heroes.keys() & set(story)
        assert not {"girl": {"he", "He", "his", "him"}, "boy": {"she", "She", "her"}}[heroes[hero]] & set(story)
        assert len(objects & set(story)) == 1


def ways(g, words):
    """In how many ways the patterns of g make a story, whatever the words drawn before."""
    says = {f"%{name}": set(drawn.split()) for name, drawn in g.classes.items()}
    for name, classes in g.recalled.items():
        says[f"${name}"] = {word for c in classes for word in g.classes[c].split()}
    says |= {f"${name}": set(agreeing.values()) for name, (_, agreeing) in g.agreement.items()}

    def within(slots, t):
        """Where a pattern that begins at word t can end, one entry a way."""
        if not slots:
            return [t]
        slot = slots[0].removesuffix("?")
        ends = within(slots[1:], t) if slots[0].endswith("?") else []
        return ends + (within(slots[1:], t + 1) if words[t : t + 1] and words[t] in says.get(slot, {slot}) else [])

    @cache
    def stories(stage, t):
        if stage == len(g.stages):
            return int(t == len(words))
        again, patterns = g.stages[stage]
        ends = [end for pattern in patterns for end in within(pattern.split(), t)]
        return sum(stories(stage + 1, end) + (again > 0 and stories(stage, end)) for end in ends)

    return stories(0, 0)


def test_law_a_story_has_one_path(grammar, text):
    """What makes the lower bound of the entropy rate hold, and keeps the filter small."""
    for story in " ".join(grammar.vocabulary[i] for i in text).split(END)[:500]:
        assert ways(grammar, story.split()) == 1
    double = Grammar(stages=((0.5, ("a %time? %time .", "a day .")),))
    assert ways(double, "a day .".split()) == 2


def test_law_frequencies_are_those_predicted(grammar, text):
    """Over all places where the model gives a word about the probability p, it comes in about p of the cases; and after
    one long context the words that come are as likely as predicted (chi-square)."""
    text = text[:50_000]
    P, y = grammar.next_distribution(text)[:-1], text[1:]
    hit = np.zeros(P.shape, bool)
    hit[np.arange(len(y)), y] = True
    for low, high in ((1e-3, 0.01), (0.01, 0.1), (0.1, 0.5), (0.5, 0.99)):
        inside = (P > low) & (P <= high)
        expected, variance = P[inside].sum(), (P * (1 - P))[inside].sum()
        assert variance > 30
        assert abs(hit[inside].sum() - expected) < 4.5 * np.sqrt(variance)
    number = {word: i for i, word in enumerate(grammar.vocabulary)}
    at = np.flatnonzero((text[1:-1] == number["learned"]) & (text[2:] == number["to"])) + 2
    at = at[at < len(y)]
    expected, observed = P[at].sum(0), np.bincount(y[at], minlength=P.shape[1])
    few = expected < 5
    assert (observed[expected == 0] == 0).all() and (~few).sum() > 5 and expected[few].sum() < 0.2 * len(at)
    spread = ((observed - expected)[~few] ** 2 / expected[~few]).sum()
    assert 1e-4 < stats.chi2.sf(spread, (~few).sum()) <= 1


def test_law_bayes_loss_is_the_entropy_of_what_comes(grammar, text):
    """Loss minus predicted entropy is a martingale difference: its mean is 0 within its standard error."""
    text = text[:30_000]
    P = grammar.next_distribution(text)[:-1]
    entropy = -(P * np.log(np.where(P > 0, P, 1))).sum(1)
    loss = -np.log(P[np.arange(len(P)), text[1:]])
    total = grammar.bayes_loss(text) * len(text)
    assert total - loss.sum() == pytest.approx(grammar.bayes_loss(text[:1]), rel=1e-6)
    assert abs((loss - entropy).mean()) < 4 * (loss - entropy).std() / np.sqrt(len(loss))
    ends = np.flatnonzero(text[1:] == 0)
    story = np.diff(np.cumsum(loss)[ends]) - np.diff(ends) * loss.mean()
    error = story.std() / np.diff(ends).mean() / np.sqrt(len(story))
    low, high = grammar.entropy_rate
    assert 0.4 < low < high < 2 and low - 4 * error < loss.mean() < high + 4 * error and error < 0.01


def trigram(train, fresh, V):
    """Loss of an interpolated trigram on fresh text: weights are the best ones on that very text."""
    counts = [np.bincount(train, minlength=V) + 0.01]
    pairs, triples = (
        Counter(pairwise(train)),
        Counter(zip(train, train[1:], train[2:], strict=False)),
    )
    starts, pair_starts = Counter(train[:-1]), Counter(pairwise(train[:-1]))
    x, y, z = fresh[:-2].tolist(), fresh[1:-1].tolist(), fresh[2:].tolist()
    one = counts[0][fresh[2:]] / counts[0].sum()
    two = np.array([pairs[b, c] / max(starts[b], 1) for b, c in zip(y, z, strict=True)])
    three = np.array([triples[a, b, c] / max(pair_starts[a, b], 1) for a, b, c in zip(x, y, z, strict=True)])
    return min(
        -np.log((1 - s) * one + s * ((1 - r) * two + r * three)).mean()
        for s, r in product((0.9, 0.99, 0.999), (0.5, 0.9, 0.99))
    )


def test_law_no_counting_model_beats_the_bayes_loss(grammar, text):
    train = grammar.sample(300_000, seed=6).tolist()
    bayes = grammar.bayes_loss(text)
    assert bayes + 0.2 < trigram(train, text, len(grammar.vocabulary)) < 3
    other = Grammar(themes=1)
    assert other.vocabulary == grammar.vocabulary and other.bayes_loss(text) > bayes + 0.01


def test_law_soft_labels_stream_the_exact_distribution(grammar, text):
    V, ids = len(grammar.vocabulary), text[:30_000]
    accumulator, blocks, seen = StatisticsAccumulator(V, V, scatter=False), 0, []
    for P, y in grammar.soft_labels(torch.from_numpy(ids)):
        accumulator.update(P, y)
        blocks += 1
        seen.append(y)
    assert blocks > 1 and (torch.cat(seen).numpy() == ids).all()
    P = torch.from_numpy(grammar.next_distribution(ids)[:-1])
    found = accumulator.compute()
    direct = ClassStatistics.from_features(P, torch.from_numpy(ids[1:]), V, scatter=False)
    start = next(grammar.soft_labels(ids[:1]))[0]
    with_first = direct + ClassStatistics.from_features(start, torch.from_numpy(ids[:1]), V, scatter=False)
    torch.testing.assert_close(found.means, with_first.means, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(found.spread, with_first.spread, rtol=1e-9, atol=1e-12)
    assert found.counts.sum() == len(ids) and found.spread.max() > 1


def test_value_interchangeable_words_have_one_class_mean(grammar, text):
    """bread and cheese, second and sixth of their class, share a theme: one is always three times as likely."""
    P, y = next(LOOP.soft_labels(LOOP.sample(3_000, 0)))
    means = ClassStatistics.from_features(P, y, 5).means
    torch.testing.assert_close(
        means[3:], torch.tensor([[0, 0, 0, 2 / 3, 1 / 3]] * 2, dtype=torch.float64), rtol=1e-14, atol=1e-14
    )
    P = next(grammar.soft_labels(text[:20_000]))[0]
    bread, cheese, soup = (P[:, grammar.vocabulary.index(word)] for word in ("bread", "cheese", "soup"))
    eaten = bread > 0
    assert eaten.sum() > 100
    torch.testing.assert_close(bread[eaten] / cheese[eaten], torch.full_like(bread[eaten], 3), rtol=1e-12, atol=0)
    assert (bread[eaten] / soup[eaten]).std() > 0.1


def test_value_known_positions():
    inputs = torch.tensor([[3, 0, 5, 6, 7], [1, 2, 3, 4, 0], [0, 1, 2, 0, 3]])
    assert Grammar().known(inputs).int().tolist() == [[0, 1, 1, 1], [0, 0, 0, 0], [1, 1, 1, 1]]


def test_law_known_windows_need_no_more_past(grammar, text):
    cut = windows(torch.from_numpy(text[:20_001]), 200)
    P = grammar.next_distribution(text[:20_001])[:-1].reshape(len(cut), 200, -1)
    known = grammar.known(cut)
    assert 0.3 < known.double().mean() < 0.8
    for i in (1, 7, 50):
        begin = int((cut[i] == 0).nonzero()[0]) + 1
        assert known[i, begin:].all()
        np.testing.assert_allclose(grammar.next_distribution(cut[i, begin:-1].numpy()), P[i, begin:], atol=1e-13)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": -1}, "seed = -1: must be a whole number from 0"),
        ({"themes": 0}, "themes = 0: must be a whole number from 1"),
        ({"boost": 0.5}, "boost = 0.5: must be a finite number"),
        ({"boost": float("nan")}, "boost = nan"),
        ({"stages": ((0.0, ("a %dragon .",)),)}, "stages hold '%dragon': must be a word or one of "),
    ],
)
def test_value_bad_grammar(change, message):
    with pytest.raises(ValueError, match=message):
        Grammar(**change)


def test_value_bad_text():
    for bad in ([], [[1]], [5], [-1]):
        with pytest.raises(ValueError, match=r"ids has shape .*must be a text \(N,\) of ids 0..4"):
            LOOP.bayes_loss(bad)
    for call in (LOOP.bayes_loss, LOOP.next_distribution):
        with pytest.raises(ValueError, match=r"ids\[6\] = 4: cannot come there"):
            call([1, 3, 2, 0, 1, 3, 4, 2])
    with pytest.raises(ValueError, match="tokens = 0: must be a whole number > 0"):
        LOOP.sample(0, 0)
    with pytest.raises(ValueError, match="stages recall a word before one has been drawn"):
        Grammar(stages=((0.0, ("$he came .",)),)).sample(3, 0)
