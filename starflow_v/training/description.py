"""What the target of an edit shows, told from inside the deep block before it is drawn.

An edit's likelihood pays little for some of what has to stay: in scenes, ten nats of a thousand for
the shape of the thing. The source's own tokens tell that shape to a small reader; those of the
target hardly ask them. So a small network reads the words of a description of the target from what
the deep block holds at each of the target's tokens, half-way through its layers, and

    loss = NLL + weight · mean_j Σ_w BCE(p(w | hidden_j), w is in the description).

A slot has seen the target's tokens before it and the whole source: before the target has drawn
anything, its words can come from the source and the instruction alone. Network and descriptions are
for training only, and likelihoods stay exact: the flow's own arithmetic does not change.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from starflow_v.flow.deep import DeepFlow
from starflow_v.nn.layers import MLP, RMSNorm, widen


class Describer(nn.Module):
    """Reads words from hidden states.

    Args:
        width: D, of the hidden states.
        vocabulary: V, how many words there are.
    """

    def __init__(self, width: int, vocabulary: int) -> None:
        super().__init__()
        self.norm = RMSNorm(width)
        self.mlp = MLP(width, expansion=1)
        self.output = nn.Linear(width, vocabulary)

    def forward(self, hidden: Tensor, words: Tensor) -> Tensor:
        """The loss of hidden states (B, S, D), each of which tells words (B, V) of 0 and 1."""
        logits = widen(self.output(self.mlp(self.norm(hidden))))
        told = words.to(logits)[:, None].expand_as(logits)
        return binary_cross_entropy_with_logits(logits, told, reduction="none").sum(-1).mean()


class LayerOutput:
    """What a layer has put out last, (B, S, D)."""

    def __init__(self, layer: nn.Module) -> None:
        self.latest: Tensor | None = None
        layer.register_forward_hook(self._keep)

    def _keep(self, layer: nn.Module, inputs: object, output: Tensor) -> None:
        self.latest = output

    def take(self) -> Tensor:
        """That, and let go of it."""
        output, self.latest = self.latest, None
        assert output is not None, "the layer has not been called"
        return output


def half_way_layer(flow: nn.Module) -> nn.Module:
    """The layer after which the deep block has half of its layers left, of a flow as it is called:
    wrapped, or the copy in slices that several processes share."""
    deep = next(it for it in flow.modules() if isinstance(it, DeepFlow))
    block = deep.block
    return block.transformer.layers[(block.layers - 1) // 2]


def bag_of_words(ids: Tensor, mask: Tensor, vocabulary: int) -> Tensor:
    """Which words there are in descriptions: token numbers (B, L) and mask -> 0 and 1, (B, V).

    >>> ids, mask = torch.tensor([[3, 1, 3, 0]]), torch.tensor([[1, 1, 1, 0]])
    >>> bag_of_words(ids, mask, 5).tolist()
    [[0.0, 1.0, 0.0, 1.0, 0.0]]
    """
    words = torch.zeros(len(ids), vocabulary, device=ids.device)
    return words.scatter_reduce_(1, ids, mask.to(words), "amax")
