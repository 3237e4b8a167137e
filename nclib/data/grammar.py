"""A story grammar whose next-token distribution is known exactly: unlimited text with a known Bayes loss.

A story is a path through sentence patterns, stage after stage (`outline.STORY`). What a reader of the text does not see
is the path, and the theme z of the story, which makes some words of each class likelier. What a reader has seen fixes
the rest: the hero, the object, the animal and the place are recalled later, and pronouns agree with the hero. So
p(x_{t+1} | x_1 .. x_t) is a forward filter over (place in the patterns, theme), restarted at every <|endoftext|>.
Derived; checked in tests/test_data_grammar.py against an enumeration of all stories.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from scipy import sparse
from scipy.special import entr

from nclib.data.bpe import END
from nclib.data.outline import AGREEMENT, CLASSES, RECALLED, STORY

STORIES = 256  # filtered side by side: their distributions take some 70 MB
BLOCK = 1024  # stories sampled from one random stream: part of the text's definition


@dataclass(frozen=True, eq=False)
class Grammar:
    """Independent stories, each ended by <|endoftext|>.

    A pattern is words separated by spaces. `%class` is a word of a class, drawn at that place: its weight is 1/(rank in
    the class) (Zipf), times `boost` in the one theme that the seed gives it. `$name` is the word last seen of a
    recalled set ("$object"), or a word that agrees with it ("$he": he or she, by the hero). A word with "?" is left out
    in half of the cases. Patterns of a stage have weights 1/rank; after a sentence the stage goes on with its stated
    probability, else comes the next stage. Themes are equally likely.

    seed, themes, boost   which words belong to which of `themes` themes, and how much likelier they are there.
    stages      ((probability of one more sentence, (pattern, ...)), ...).
    classes     {class: words, separated by spaces};  recalled {name: classes};  agreement {name: (recalled name,
                {class of its word: the word that agrees})}.
    Raises ValueError for numbers outside their range and for patterns that name what is not defined.
    """

    seed: int = 0
    themes: int = 6
    boost: float = 8.0
    stages: tuple = STORY
    classes: Mapping = field(default_factory=lambda: CLASSES)
    recalled: Mapping = field(default_factory=lambda: RECALLED)
    agreement: Mapping = field(default_factory=lambda: AGREEMENT)

    def __post_init__(self):
        for name, least in (("seed", 0), ("themes", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"{name} = {value!r}: must be a whole number from {least} on")
        if not 1 <= self.boost < np.inf:
            raise ValueError(f"boost = {self.boost!r}: must be a finite number from 1 on")
        known = {f"%{name}" for name in self.classes} | {f"${name}" for name in (*self.recalled, *self.agreement)}
        unknown = [word for word, _ in self._slots if word[0] in "%$" and word not in known]
        if unknown:
            raise ValueError(f"stages hold {unknown[0]!r}: must be a word or one of {', '.join(sorted(known))}")

    @property
    def sha256(self) -> str:
        """Hexadecimal digest of everything that defines the grammar."""
        parts = (self.classes, self.recalled, self.agreement)
        text = json.dumps([self.seed, self.themes, self.boost, self.stages, *map(dict, parts)])
        return hashlib.sha256(text.encode()).hexdigest()

    @cached_property
    def vocabulary(self) -> list[str]:
        """The words, by token id; 0 is <|endoftext|>, then in the order in which patterns and classes name them."""
        plain = [word for word, _ in self._slots if word[0] not in "%$"]
        agreeing = [word for _, words in self.agreement.values() for word in words.values()]
        drawn = [word for words in self.classes.values() for word in words.split()]
        return list(dict.fromkeys([END, *plain, *agreeing, *drawn]))

    @property
    def story_length(self) -> float:
        """Expected tokens of a story, with its <|endoftext|>."""
        return float(self._visits.sum())

    @cached_property
    def entropy_rate(self) -> tuple[float, float]:
        """(low, high) bounds, in nats per token, of the entropy rate H(story) / E[length], which is the least expected
        loss of any model.

        low is H(story | theme) / E[length] in closed form, from the expected visits of every place; it holds because a
        story has one path only. H(story) exceeds it by I(theme; story) <= log(themes).
        """
        start, A = self._chain
        kind, _, table = self._words
        choices = entr(A.toarray()).sum(1) + np.where(kind >= 0, entr(table).sum(1).mean(1)[kind], 0)
        low = (entr(start).sum() + self._visits @ choices) / self._visits.sum()
        return float(low), float(low + np.log(self.themes) / self._visits.sum())

    def sample(self, tokens, seed) -> np.ndarray:
        """The first `tokens` tokens (N,) int64 of the unlimited text of a seed; it starts with a story."""
        if isinstance(tokens, bool) or not isinstance(tokens, int) or tokens < 1:
            raise ValueError(f"tokens = {tokens!r}: must be a whole number > 0")
        parts, total = [], 0
        while total < tokens:
            parts.append(self._stories(np.random.default_rng([seed, len(parts)])))
            total += len(parts[-1])
        return np.concatenate(parts)[:tokens]

    def next_distribution(self, ids) -> np.ndarray:
        """p(x_{t+1} | x_1 .. x_t), (N, V) float64, exact, for the text ids (N,), which starts with a story.

        Row t is conditioned on the whole story so far. A model that sees a window of the text knows as much only where
        the story began in its window: see `known`. Raises ValueError for a text that the grammar cannot produce.
        """
        return np.concatenate([P for P, _ in self._filter(ids, predict=True)])[1:]

    def bayes_loss(self, ids) -> float:
        """-log p(x_t | x_1 .. x_{t-1}) averaged over the tokens of a text that starts with a story, in nats."""
        return float(np.mean(np.concatenate([loss for _, loss in self._filter(ids, predict=False)])))

    def soft_labels(self, ids) -> "Iterator[tuple[torch.Tensor, torch.Tensor]]":  # noqa: F821
        """Yield blocks (P (n, V) float64, y (n,) int64) of torch tensors for `StatisticsAccumulator.update`: the exact
        distributions of the next token and the tokens that came; len(ids) pairs in all, the first before any token.

        The features of a perfect model determine P, so a class collapses only where its P does not vary. Words of one
        class that is not recalled, likelier in the same theme, are interchangeable: p(a) / p(b) is the same in every
        context, so the expected features of classes a and b are equal, whatever function of P they are. CDNV over such
        pairs grows with the sample without limit and NC1 divides by a singular matrix; `nc1_trace_ratio` stays defined.
        """
        done = 0
        for P, loss in self._filter(ids, predict=True):
            y = torch.as_tensor(np.asarray(ids[done : done + len(loss)]), dtype=torch.int64)
            done += len(loss)
            yield torch.from_numpy(P[: len(loss)]), y

    def known(self, windows) -> torch.Tensor:
        """(n, T) bool of windows (n, T + 1): the inputs from the first <|endoftext|> on. There a model sees the whole
        story so far, and `next_distribution` is the best that it can do."""
        return (torch.as_tensor(windows)[:, :-1] == 0).cumsum(1) > 0

    @cached_property
    def _slots(self):
        """[(word without its "?", whether it may be left out)] of all nodes, in order; the last node ends the story."""
        words = [word for _, patterns in self.stages for pattern in patterns for word in pattern.split()]
        return [(word.removesuffix("?"), word.endswith("?")) for word in words] + [(END, False)]

    @cached_property
    def _chain(self):
        """Probabilities of the first node (n,), and of node j after node i (n, n), sparse; none after the last."""
        first = [self._entry(stage) for stage in range(len(self.stages) + 1)]
        rows = []
        node = 0
        for stage, (again, patterns) in enumerate(self.stages):
            after = again * first[stage] + (1 - again) * first[stage + 1]
            for pattern in patterns:
                end = node + len(pattern.split())
                rows += [self._from(i + 1, end, after) for i in range(node, end)]
                node = end
        return first[0], sparse.csr_array(np.array([*rows, np.zeros_like(first[0])]))

    def _entry(self, stage):
        """Distribution (n,) of the first node of a stage's sentence."""
        lengths = [[len(pattern.split()) for pattern in patterns] for _, patterns in self.stages]
        node = sum(map(sum, lengths[:stage]))
        nowhere = np.zeros(len(self._slots))
        if stage == len(self.stages):
            return self._from(node, node + 1, nowhere)
        weights = 1 / np.arange(1, len(lengths[stage]) + 1)
        starts = node + np.cumsum([0, *lengths[stage]])
        return sum(
            w * self._from(start, end, nowhere)
            for w, start, end in zip(weights / weights.sum(), starts[:-1], starts[1:], strict=True)
        )

    def _from(self, node, end, after):
        """Distribution of the next node when `node` comes next unless it is left out; behind the pattern's end comes
        `after`."""
        if node == end:
            return after
        p = np.zeros(len(self._slots))
        p[node] = 1
        return (p + self._from(node + 1, end, after)) / 2 if self._slots[node][1] else p

    @cached_property
    def _words(self):
        """What the nodes emit: kind (n,), the class that is drawn from, or -1; fixed (n,), else the word, or V + the
        index of the recalled one; table (classes, V, themes), the distribution of each class in each theme."""
        V, number = len(self.vocabulary), {word: i for i, word in enumerate(self.vocabulary)}
        number |= {f"${name}": V + i for i, name in enumerate((*self.recalled, *self.agreement))}
        drawn = {f"%{name}": i for i, name in enumerate(self.classes)}
        random = np.random.default_rng(self.seed)
        table = np.zeros((len(drawn), V, self.themes))
        for weights, words in zip(table, self.classes.values(), strict=True):
            ids = [number[word] for word in words.split()]
            weights[ids] = 1 / np.arange(1, len(ids) + 1)[:, None]
            weights[ids, random.integers(self.themes, size=len(ids))] *= self.boost
        slots = [word for word, _ in self._slots]
        kind = np.array([drawn.get(word, -1) for word in slots])
        return kind, np.array([number.get(word, -1) for word in slots]), table / table.sum(1, keepdims=True)

    @cached_property
    def _recall(self):
        """sets (recalled, V + 1) bool: the words that set each; reads (R,): which of them a recalled word depends on;
        words (R, V + 1): what it is, by the word last seen (V: none yet, -1)."""
        V, number = len(self.vocabulary), {word: i for i, word in enumerate(self.vocabulary)}
        ids = {name: [number[word] for word in words.split()] for name, words in self.classes.items()}
        sets = np.zeros((len(self.recalled), V + 1), bool)
        for row, names in zip(sets, self.recalled.values(), strict=True):
            row[[x for name in names for x in ids[name]]] = True
        words = np.full((len(self.recalled) + len(self.agreement), V + 1), -1)
        words[: len(sets), :V] = np.arange(V)
        for row, (_, agreeing) in zip(words[len(sets) :], self.agreement.values(), strict=True):
            for name, word in agreeing.items():
                row[ids[name]] = number[word]
        of = [list(self.recalled).index(name) for name, _ in self.agreement.values()]
        return sets, np.array([*range(len(sets)), *of], dtype=int), words

    def _said(self, node, seen):
        """The word at each node that does not draw one (-1 else), given the words last seen (recalled, len(node))."""
        fixed, (_, reads, words) = self._words[1][node], self._recall
        for r in np.unique(fixed[fixed >= len(self.vocabulary)]) - len(self.vocabulary):
            here = fixed == len(self.vocabulary) + r
            fixed[here] = words[r, seen[reads[r], here]]
        return fixed

    @cached_property
    def _visits(self):
        start, A = self._chain
        return np.linalg.solve(np.eye(len(start)) - A.toarray().T, start)

    def _stories(self, random):
        """Tokens of one block of stories, sampled side by side."""
        (start, A), (kind, _, table), sets = self._chain, self._words, self._recall[0]
        V, last = len(self.vocabulary), len(start) - 1
        step, word = _Drawn(A.toarray(), random), _Drawn(table.mT.reshape(-1, V), random)
        theme = random.integers(self.themes, size=BLOCK)
        node = _Drawn(start[None], random)(np.zeros(BLOCK, int))
        seen, alive, columns = np.full((len(sets), BLOCK), V), np.arange(BLOCK), []
        while len(alive):
            x, drawn = self._said(node, seen[:, alive]), kind[node] >= 0
            x[drawn] = word(kind[node[drawn]] * self.themes + theme[alive[drawn]])
            if x.min() < 0:
                raise ValueError("stages recall a word before one has been drawn: put its class first")
            seen[:, alive] = np.where(sets[:, x], x, seen[:, alive])
            columns.append(np.full(BLOCK, -1))
            columns[-1][alive] = x
            alive, node = alive[node != last], step(node[node != last])
        text = np.stack(columns, 1)
        return text[text >= 0]

    def _filter(self, ids, predict):
        """Yield, for blocks of stories, p(x_t | past) (n, V) (None unless `predict`) and -log p of the token that came.
        After the last token one more distribution, of what comes next, and no loss."""
        x = np.asarray(ids)
        if x.ndim != 1 or len(x) == 0 or x.min() < 0 or x.max() >= len(self.vocabulary):
            raise ValueError(f"ids has shape {x.shape}: must be a text (N,) of ids 0..{len(self.vocabulary) - 1}")
        ends = np.r_[np.flatnonzero(x == 0) + 1, len(x) + 1]
        starts, x = np.r_[0, ends[:-1]], np.r_[x, -1]
        for s in range(0, len(starts), STORIES):
            a, b = starts[s : s + STORIES], ends[s : s + STORIES]
            P, loss = self._filter_stories(x, a, b - a, predict)
            here = slice(a[0], min(b[-1], len(x) - 1))
            if np.isinf(loss[: here.stop - here.start]).any():
                t = a[0] + int(np.isinf(loss).argmax())
                raise ValueError(f"ids[{t}] = {x[t]}: cannot come there, in a text that starts with a story")
            yield P, loss[: here.stop - here.start]

    def _filter_stories(self, x, starts, lengths, predict):
        """`_filter` of stories side by side. w (M, themes) are the weights of the M pairs of a story and a node where
        they are not 0: a few per story, since it has one path."""
        (start, A), (kind, _, table), sets = self._chain, self._words, self._recall[0]
        C, V, Z = table.shape
        order = np.argsort(-lengths, kind="stable")
        starts, lengths, first = starts[order], lengths[order], starts[0]
        story, node = (i.ravel() for i in np.meshgrid(np.arange(len(starts)), np.flatnonzero(start), indexing="ij"))
        w = np.repeat(start[node, None] / Z, Z, 1)
        seen = np.full((len(sets), len(starts)), V)
        P = np.zeros((lengths.sum(), V)) if predict else None
        loss = np.zeros(lengths.sum())
        for t in range(lengths[0]):
            S = int((lengths > t).sum())
            here = story < S
            story, node, w, seen, at = story[here], node[here], w[here], seen[:, :S], starts[:S] + t
            said, drawn = self._said(node, seen[:, story]), kind[node] >= 0
            if predict:
                mass, p = np.zeros((S, C, Z)), np.zeros((S, V))
                np.add.at(mass, (story[drawn], kind[node[drawn]]), w[drawn])
                np.add.at(p, (story[~drawn], said[~drawn]), w[~drawn].sum(1))
                P[at - first] = p + mass.reshape(S, -1) @ table.mT.reshape(-1, V)
            y = x[at]
            w = w * np.where(drawn[:, None], table[kind[node], y[story]], (said == y[story])[:, None])
            evidence = np.bincount(story, w.sum(1), minlength=S)
            with np.errstate(divide="ignore"):
                loss[at - first] = -np.log(evidence)
            left = w.any(1)
            story, node, w = story[left], node[left], w[left] / evidence[story[left], None]
            came, node, p = _successors(A, node)
            story, w = story[came], w[came] * p[:, None]
            seen = np.where(sets[:, y], y, seen)
        return P, loss


def _successors(A, rows):
    """The entries of rows of a sparse matrix: index into `rows`, column, value."""
    count = np.diff(A.indptr)[rows]
    row = np.repeat(np.arange(len(rows)), count)
    entry = A.indptr[rows][row] + np.arange(len(row)) - (np.cumsum(count) - count)[row]
    return row, A.indices[entry], A.data[entry]


class _Drawn:
    """Draws from the rows of P: calling it with row numbers gives one column of each."""

    def __init__(self, P, random):
        cumulative = np.cumsum(P, 1)
        total = cumulative[:, -1:]
        rows = np.arange(len(P))[:, None]
        self.sorted = (np.where(total > 0, cumulative / np.where(total > 0, total, 1), 0) + rows).ravel()
        self.columns, self.random = P.shape[1], random

    def __call__(self, row):
        u = self.random.integers(2**32, size=len(row)) / 2**32  # 32 bits: row + u is exact, and less than row + 1
        return np.searchsorted(self.sorted, row + u, side="right") - row * self.columns
