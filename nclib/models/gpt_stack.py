"""Many GPTs of one shape as one model: each operation is one batched operation."""

import torch
from torch import nn
from torch.nn import functional as F

from nclib.models.gpt import GPT, linear_cross_entropy


class GPTStack(GPT):
    """G GPTs of the same sizes; every parameter is a GPT's with a leading dimension G, under the same name.

    ids (G, B, T) -> logits (G, B, T, V); features (G, B, T, d), classifier (G, V, d) and loss (G,) likewise: model g
    sees ids[g] alone. The gradient of loss.sum() is that of each model's own loss, so an optimizer that treats entries
    one by one (AdamW) trains the models as it would train them apart; clip_grad_norm clips each model by itself.
    Raises ValueError if the models differ in a size, or there are none.
    """

    def __init__(self, models):
        models = list(models)
        if not models or any(m.sizes != models[0].sizes for m in models):
            raise ValueError(f"models of sizes {[m.sizes for m in models]}: must be one or more, all the same")
        with torch.device("meta"):
            super().__init__(**models[0].sizes)
        self.mask = models[0].mask
        for name, module in list(self.named_modules()):
            if type(module) in _STACKED:
                self.set_submodule(name, _STACKED[type(module)]([m.get_submodule(name) for m in models]))

    def models(self) -> list[GPT]:
        """The G GPTs, with copies of the weights."""
        state = self.state_dict()
        models = [GPT(**self.sizes).to(self.classifier) for _ in range(len(self.classifier))]
        for g, model in enumerate(models):
            model.load_state_dict({name: p[g] for name, p in state.items()})
        return models

    def forward(self, ids) -> torch.Tensor:
        """Logits (G, B, T, V) of ids (G, B, T)."""
        return self.features(ids) @ self.classifier[:, None].mT

    def loss(self, ids) -> torch.Tensor:
        """Mean next-token cross-entropy (G,) of each model on its own ids (G, B, T + 1)."""
        self._check(ids, self.sizes["context"] + 1, least=2)
        h, y = self.features(ids[..., :-1]).flatten(1, 2), ids[..., 1:].flatten(1)
        return linear_cross_entropy(h, self.classifier, y)

    def clip_grad_norm(self, bound) -> torch.Tensor:
        """Scale the gradient of each model to norm `bound` where it is longer, and return the norms (G,) before."""
        gradients = [p.grad for p in self.parameters() if p.grad is not None]
        norms = torch.stack([g.flatten(1).norm(dim=1) for g in gradients]).norm(dim=0)
        scale = (bound / (norms + 1e-6)).clamp(max=1)
        for g in gradients:
            g.mul_(scale.view(-1, *[1] * (g.ndim - 1)))
        return norms

    def _embed(self, ids, T):
        return self.wte(ids) + self.wpe.weight[:, None, :T]

    def _check(self, ids, longest, least=1):
        super()._check(ids, longest, least, ndim=3)
        G = len(self.classifier)
        if len(ids) != G:
            raise ValueError(f"ids of shape {tuple(ids.shape)}: the first dimension must be {G} models")


class _Stacked(nn.Module):
    """The layers' parameters with a leading dimension G."""

    def __init__(self, layers):
        super().__init__()
        for name in ("weight", "bias"):
            parts = [getattr(layer, name, None) for layer in layers]
            parameter = None if parts[0] is None else nn.Parameter(torch.stack([p.detach() for p in parts]))
            self.register_parameter(name, parameter)


class _Linear(_Stacked):
    def forward(self, x):
        flat, W = x.flatten(1, -2), self.weight.mT
        z = flat @ W if self.bias is None else torch.baddbmm(self.bias[:, None], flat, W)
        return z.view(*x.shape[:-1], -1)


class _LayerNorm(_Stacked):
    def forward(self, x):
        return torch.addcmul(self.bias[:, None, None], F.layer_norm(x, x.shape[-1:]), self.weight[:, None, None])


class _Embedding(_Stacked):
    def forward(self, ids):
        G, V, d = self.weight.shape
        first = torch.arange(0, G * V, V, device=ids.device, dtype=ids.dtype)
        return F.embedding(ids + first.view(-1, 1, 1), self.weight.view(G * V, d))


_STACKED = {nn.Linear: _Linear, nn.LayerNorm: _LayerNorm, nn.Embedding: _Embedding}
