"""GPT-Neo in one file: the language model of Wu and Papyan 2024."""

import torch
from torch import nn
from torch.nn import functional as F

from nclib.models.linear_head import positive

# Logits formed at once by the loss, on a CPU (they stay in its cache) and on a GPU.
BLOCK = 2**22, 2**27


class Block(nn.Module):
    """x (..., T, d) -> x + attention(LN x), then x + MLP(LN x): pre-LayerNorm, queries and keys not scaled."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.ln_1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width)
        self.ln_2 = nn.LayerNorm(width)
        self.fc = nn.Linear(width, 4 * width)
        self.proj = nn.Linear(4 * width, width)

    def attention(self, x, mask) -> torch.Tensor:
        """(..., T, d) of x (..., T, d); mask: True (T, T) where a token may look, None for all up to its own."""
        qkv = self.qkv(x).reshape(-1, x.shape[-2], 3, self.heads, x.shape[-1] // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        mask = mask if mask is None else mask.to(q.dtype)
        z = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None, scale=1.0)
        return self.out(z.transpose(1, 2).reshape(x.shape))

    def forward(self, x, mask) -> torch.Tensor:
        """(..., T, d) of x (..., T, d), with the mask of `attention`."""
        x = x + self.attention(self.ln_1(x), mask)
        return x + self.proj(F.gelu(self.fc(self.ln_2(x)), approximate="tanh"))


class GPT(nn.Module):
    """ids (B, T) -> logits W h (B, T, V) of the next token, h (B, T, d) the features; W the token embedding itself.

    Exactly GPT-Neo: learned positions (at most `context`), `depth` pre-LayerNorm blocks (eps 1e-5), q, k, v without
    bias, attention logits q.k without the factor 1/sqrt(d/heads), MLP of 4d with tanh-GELU, a final LayerNorm, no
    output bias, no dropout. Blocks 0, 2, ... attend to all tokens up to their own (global); blocks 1, 3, ... only to
    the last `window` of them, i - window + 1 to i (local). Matrices and embeddings are drawn from N(0, 0.02^2) with
    torch's global generator, biases 0.

    Raises ValueError for a size below 1 or heads that do not divide width. Methods raise ValueError for ids of a wrong
    shape, a sequence longer than the context, and (on a CPU, not compiled) ids outside 0 ... vocab - 1.
    Source: Wu and Papyan 2024, section 3 and Table 2.
    """

    def __init__(self, vocab, context, width, depth, heads, *, window=256):
        super().__init__()
        positive(vocab=vocab, context=context, width=width, depth=depth, heads=heads, window=window)
        if width % heads:
            raise ValueError(f"heads = {heads}: must divide width = {width}")
        self.sizes = {"vocab": vocab, "context": context, "width": width, "depth": depth, "heads": heads}
        self.sizes["window"] = window
        self.wte = nn.Embedding(vocab, width)
        self.wpe = nn.Embedding(context, width)
        self.blocks = nn.ModuleList([Block(width, heads) for _ in range(depth)])
        self.ln_f = nn.LayerNorm(width)
        self.register_buffer("mask", _local_mask(context, window) if window < context else None, persistent=False)
        for name, p in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(p)
            elif "ln_" not in name:
                nn.init.normal_(p, std=0.02)

    @property
    def classifier(self) -> nn.Parameter:
        """W (V, d), the embedding of the tokens: row c classifies "the next token is c"."""
        return self.wte.weight

    def features(self, ids) -> torch.Tensor:
        """h (B, T, d), after the final LayerNorm, of ids (B, T)."""
        self._check(ids, self.sizes["context"])
        T = ids.shape[-1]
        mask = self.mask[:T, :T] if T > self.sizes["window"] else None
        x = self._embed(ids, T)
        for i, block in enumerate(self.blocks):
            x = block(x, mask if i % 2 else None)
        return self.ln_f(x)

    def forward(self, ids) -> torch.Tensor:
        """Logits (B, T, V) of ids (B, T)."""
        return F.linear(self.features(ids), self.classifier)

    def loss(self, ids) -> torch.Tensor:
        """Mean cross-entropy (nats) of ids[:, 1:] given what stands before, over all B T targets of ids (B, T + 1)."""
        self._check(ids, self.sizes["context"] + 1, least=2)
        h, y = self.features(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten()
        return linear_cross_entropy(h[None], self.classifier[None], y[None])[0]

    def load_state_dict(self, state, *args, **kwargs) -> tuple[list[str], list[str]]:
        """As nn.Module's; ValueError for a parameter of another shape."""
        for name, p in self.state_dict().items():
            if name in state and state[name].shape != p.shape:
                raise ValueError(f"{name} of shape {tuple(state[name].shape)}: must be {tuple(p.shape)}")
        return super().load_state_dict(state, *args, **kwargs)

    def clip_grad_norm(self, bound) -> torch.Tensor:
        """Scale the gradient to norm `bound` where it is longer, and return the norm before, a scalar."""
        return nn.utils.clip_grad_norm_(self.parameters(), bound)

    def _embed(self, ids, T):
        return self.wte(ids) + self.wpe.weight[:T]

    def _check(self, ids, longest, least=1, ndim=2):
        if ids.is_floating_point():
            raise ValueError(f"ids of dtype {ids.dtype}: must be integers")
        shape = tuple(ids.shape)
        if len(shape) != ndim or 0 in shape or not least <= shape[-1] <= longest:
            raise ValueError(f"ids of shape {shape}: must have {ndim} dimensions, none 0, last {least} to {longest}")
        if ids.device.type == "cpu" and not torch.compiler.is_compiling():
            low, high = torch.aminmax(ids)
            if low < 0 or high >= self.sizes["vocab"]:
                raise ValueError(f"ids from {low} to {high}: must lie in 0 ... {self.sizes['vocab'] - 1}")


def linear_cross_entropy(h, W, y) -> torch.Tensor:
    """Mean of log sum_c exp(w_c . h) - w_y . h over N targets, for each of G models: (G,) in float32 or finer.

    h (G, N, d) features, W (G, V, d) classifiers, y (G, N) int. Blocks of logits are formed, turned into their
    gradient and dropped, so memory does not grow with N. Products are taken in the dtype of h, or of autocast where it
    is on. Not twice differentiable.
    """
    device = h.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else h.dtype
    return _LinearCrossEntropy.apply(h.to(dtype), W.to(dtype), y.long(), torch.is_grad_enabled())


class _LinearCrossEntropy(torch.autograd.Function):
    """The gradients of h and W are formed in the forward pass from E = exp(logits - row maximum): with row sums S and
    one-hot labels Y, those of a block are (E / S - Y) W / N and (E / S - Y)^T h / N.
    """

    @staticmethod
    def forward(ctx, h, W, y, gradients):
        (G, N, d), V = h.shape, W.shape[1]
        exact = torch.promote_types(h.dtype, torch.float32)
        rows = min(N, max(1, BLOCK[h.device.type == "cuda"] // (G * V)))
        block, loss = h.new_empty(G, rows, V), h.new_zeros(G, dtype=exact)
        if gradients:
            to_h, to_W = torch.empty_like(h), h.new_zeros(G, V, d, dtype=exact)
        for i in range(0, N, rows):
            hb, yb = h[:, i : i + rows], y[:, i : i + rows, None]
            z = torch.matmul(hb, W.mT, out=block[:, : hb.shape[1]]).to(exact)
            z_y, z_max = z.gather(-1, yb), z.amax(-1, keepdim=True)
            E = z.sub_(z_max).exp_()
            S = E.sum(-1, keepdim=True)
            loss += (z_max + S.log() - z_y).sum((1, 2))
            if gradients:
                E = E.scatter_add_(-1, yb, -S).to(h.dtype)
                to_h[:, i : i + rows] = (E @ W) / (N * S)
                hb = (hb / (N * S)).to(h.dtype)
                if exact == h.dtype:
                    to_W.baddbmm_(E.mT, hb)
                else:
                    to_W += E.mT @ hb
        if gradients:
            ctx.save_for_backward(to_h, to_W.to(W.dtype))
        return loss / N

    @staticmethod
    def backward(ctx, g):
        to_h, to_W = ctx.saved_tensors
        g = g[:, None, None].to(to_h.dtype)
        return to_h * g, to_W * g, None, None


def _local_mask(context, window):
    i = torch.arange(context)
    past = i[:, None] - i
    return torch.zeros(context, context).masked_fill_((past < 0) | (past >= window), -torch.inf)


# Names of parameters here (left) and in transformers; {} stands for q, k and v, whose rows follow one another here.
_THEIRS = {
    "blocks.": "h.",
    ".qkv.": ".attn.attention.{}_proj.",
    ".out.": ".attn.attention.out_proj.",
    ".fc.": ".mlp.c_fc.",
    ".proj.": ".mlp.c_proj.",
}


def from_transformers(model) -> GPT:
    """The GPT with the weights of a transformers GPTNeoForCausalLM. ValueError if it is not the architecture above."""
    c = model.config
    types = ["global", "local"] * c.num_layers
    if c.model_type != "gpt_neo" or list(c.attention_layers) != types[: c.num_layers]:
        raise ValueError(f"model of type {c.model_type!r}: must be a GPT-Neo of alternating global and local layers")
    if c.activation_function != "gelu_new" or c.intermediate_size not in (None, 4 * c.hidden_size):
        raise ValueError(f"MLP {c.activation_function!r}, {c.intermediate_size}: must be 'gelu_new', 4 times the width")
    sizes = (c.vocab_size, c.max_position_embeddings, c.hidden_size, c.num_layers, c.num_heads)
    ours = GPT(*sizes, window=c.window_size)
    theirs = model.state_dict()
    ours.load_state_dict({name: torch.cat([theirs[n] for n in names]) for name, names in _pairs(ours).items()})
    return ours.to(model.dtype)


def to_transformers(model) -> "GPTNeoForCausalLM":  # noqa: F821
    """The transformers GPTNeoForCausalLM with the weights of a GPT."""
    from transformers import GPTNeoConfig, GPTNeoForCausalLM

    s = model.sizes
    config = GPTNeoConfig(
        vocab_size=s["vocab"],
        max_position_embeddings=s["context"],
        hidden_size=s["width"],
        num_layers=s["depth"],
        num_heads=s["heads"],
        window_size=s["window"],
        attention_types=[[["global"], 1] if i % 2 == 0 else [["local"], 1] for i in range(s["depth"])],
        bos_token_id=None,
        eos_token_id=None,
    )
    theirs = GPTNeoForCausalLM(config).to(model.classifier)
    ours = model.state_dict()
    state = {"lm_head.weight": ours["wte.weight"]}
    for name, names in _pairs(model).items():
        state |= zip(names, ours[name].chunk(len(names)), strict=True)
    theirs.load_state_dict(state)
    return theirs


def _pairs(model):
    """{name of a parameter here: names there of its parts, in order}."""
    pairs = {}
    for name in model.state_dict():
        there = f"transformer.{name}"
        for old, new in _THEIRS.items():
            there = there.replace(old, new)
        pairs[name] = [there.format(x) for x in "qkv"] if "{}" in there else [there]
    return pairs
