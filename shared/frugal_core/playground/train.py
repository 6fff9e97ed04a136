"""Train the playground models: ``python -m frugal_core.playground.train --model small``.

Needs the ``train`` extra (torch); the trained models run without it. The recipe: endless questions of the training
split, loss on the answers alone, Muon for the matrices and Adam for the embedding, bfloat16 products, then int8 weights
measured as they are shipped.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from frugal_core.playground.conversations import Example, examples
from frugal_core.playground.dialogue import Dialogue
from frugal_core.playground.measure import write_card
from frugal_core.playground.quantisation import save_weights
from frugal_core.playground.questions import FAMILIES, generate
from frugal_core.playground.tokenizer import Tokenizer
from frugal_core.playground.transformer import HEAD_SIZE, rotary_tables

log = logging.getLogger(__name__)

MICRO_BATCHES = 4


@dataclass(frozen=True, slots=True)
class Recipe:
    """A model's size and how it is trained."""

    width: int
    layers: int
    steps: int
    horizon: int
    """The step at which the learning rate reaches zero; a model that is to stay imperfect stops before."""
    batch: int
    rate: float
    emphasis: Mapping[str, float] = field(default_factory=dict)
    """Family weights that differ from `FAMILY_WEIGHTS`."""
    seed: int = 0


RECIPES: Mapping[str, Recipe] = {
    "small": Recipe(width=32, layers=3, steps=1650, horizon=2200, batch=256, rate=0.02, emphasis={"sorting": 2.5}),
    "medium": Recipe(width=96, layers=3, steps=1250, horizon=2000, batch=256, rate=0.02),
    "large": Recipe(width=256, layers=4, steps=2400, horizon=2400, batch=256, rate=0.02),
}

FAMILY_WEIGHTS: Mapping[str, float] = {
    "addition": 1.5,
    "subtraction": 1.5,
    "gain": 1.5,
    "loss": 1.5,
    "sorting": 1.3,
    "sequence": 1.2,
    "letters": 0.7,
    "units": 0.7,
    "multiplication": 0.8,
}
"""How often a family is drawn in training, relative to 1: the harder the oftener."""


class TrainedTransformer:
    """The model of `frugal_core.playground.transformer` with gradients, over the same named weights."""

    def __init__(self, vocabulary: int, recipe: Recipe) -> None:
        width = recipe.width
        self.layers = recipe.layers
        self.weights = {"embedding": torch.randn(vocabulary, width) * 0.05}
        for layer in range(recipe.layers):
            self.weights |= {
                f"{layer}.qkv": torch.randn(width, 3 * width) * width**-0.5,
                f"{layer}.out": torch.zeros(width, width),
                f"{layer}.up": torch.randn(width, 4 * width) * width**-0.5,
                f"{layer}.down": torch.zeros(4 * width, width),
            }
        for tensor in self.weights.values():
            tensor.requires_grad_()
        self.cosine, self.sine = (torch.from_numpy(table) for table in rotary_tables())

    def logits(self, tokens: Tensor, wanted: Tensor) -> Tensor:
        """Return the logits (wanted, vocabulary) at the places of `tokens` (batch, length) that are `wanted`."""
        batch, length = tokens.shape
        weights = self.weights
        cosine, sine = self.cosine[:length], self.sine[:length]
        future = torch.full((length, length), -torch.inf).triu(1)
        hidden = _normalise(functional.embedding(tokens, weights["embedding"]))
        for layer in range(self.layers):
            heads = _normalise(hidden) @ weights[f"{layer}.qkv"]
            queries, keys, values = heads.view(batch, length, 3, -1, HEAD_SIZE).permute(2, 0, 3, 1, 4)
            scores = _rotate(queries, cosine, sine) @ _rotate(keys, cosine, sine).transpose(-1, -2)
            mixed = functional.softmax(scores * HEAD_SIZE**-0.5 + future, dim=-1).to(values.dtype) @ values
            hidden = hidden + mixed.transpose(1, 2).reshape(batch, length, -1) @ weights[f"{layer}.out"]
            if layer == self.layers - 1:
                hidden = hidden[wanted]
            inner = functional.relu(_normalise(hidden) @ weights[f"{layer}.up"]).square()
            hidden = hidden + inner @ weights[f"{layer}.down"]
        logits: Tensor = (_normalise(hidden) @ weights["embedding"].T).float()
        return logits

    def arrays(self) -> dict[str, npt.NDArray[np.float32]]:
        """Return the weights that `frugal_core.playground.transformer.Transformer` takes."""
        return {name: tensor.detach().numpy() for name, tensor in self.weights.items()}


class Muon(torch.optim.Optimizer):
    """Momentum whose update is brought near an orthogonal matrix, so that all directions learn alike.

    Source: Jordan et al., Muon: an optimizer for hidden layers in neural networks (2024).
    """

    def __init__(self, parameters: Iterable[Tensor], lr: float, momentum: float = 0.95) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Update all matrices from their gradients."""
        for group in self.param_groups:
            for matrix in group["params"]:
                state = self.state[matrix]
                if not state:
                    state["momentum"] = torch.zeros_like(matrix)
                state["momentum"].lerp_(matrix.grad, 1 - group["momentum"])
                update = _orthogonalise(matrix.grad.lerp(state["momentum"], group["momentum"]))
                scale = max(1.0, matrix.shape[1] / matrix.shape[0]) ** 0.5
                matrix.add_(update, alpha=-group["lr"] * scale)


def train(name: str, recipe: Recipe, checkpoints: Path, every: int) -> TrainedTransformer:
    """Train one model; log its accuracy on unseen questions and save its weights every so many steps."""
    torch.manual_seed(recipe.seed)
    tokenizer = Tokenizer()
    dialogue = Dialogue(tokenizer)
    model = TrainedTransformer(len(tokenizer.vocabulary), recipe)
    muon = Muon([matrix for name, matrix in model.weights.items() if name != "embedding"], lr=recipe.rate)
    adam = torch.optim.AdamW([model.weights["embedding"]], lr=recipe.rate / 4, betas=(0.9, 0.98), weight_decay=0.0)
    stream = examples(dialogue, recipe.seed, {**FAMILY_WEIGHTS, **recipe.emphasis})
    validation = _validation(dialogue)
    started = time.perf_counter()
    for step in range(recipe.steps):
        factor = min((step + 1) / 100, 1.0 - step / recipe.horizon)
        for optimizer, rate in ((muon, recipe.rate), (adam, recipe.rate / 4)):
            optimizer.param_groups[0]["lr"] = rate * factor
        loss = 0.0
        parts = list(_micro_batches(list(islice(stream, recipe.batch))))
        learned = sum(int(part[2].sum()) for part in parts)
        for tokens, targets, wanted in parts:
            with torch.autocast("cpu", torch.bfloat16):
                logits = model.logits(tokens, wanted)
            part_loss = functional.cross_entropy(logits, targets[wanted], reduction="sum") / learned
            part_loss.backward()  # type: ignore[no-untyped-call]
            loss += part_loss.item()
        for optimizer in (muon, adam):
            optimizer.step()
            optimizer.zero_grad()
        if step % 50 == 0:
            log.info("%s step %d loss %.4f, %.0f s", name, step, loss, time.perf_counter() - started)
        if (step + 1) % every == 0 or step + 1 == recipe.steps:
            save_weights(checkpoints / f"playground-{name}.npz", model.arrays())
            accuracy = _accuracy(model, validation)
            families = " ".join(f"{family} {share:.2f}" for family, share in accuracy.items())
            mean = sum(accuracy.values()) / len(accuracy)
            seconds = time.perf_counter() - started
            log.info("%s step %d loss %.4f accuracy %.4f (%s), %.0f s", name, step + 1, loss, mean, families, seconds)
    return model


def _orthogonalise(matrix: Tensor) -> Tensor:
    """Return a matrix with the same singular vectors and all singular values near 1 (Newton-Schulz iteration)."""
    found = matrix.bfloat16()
    transposed = found.shape[0] > found.shape[1]
    if transposed:
        found = found.T
    found = found / (found.norm() + 1e-7)
    for _ in range(5):
        gram = found @ found.T
        found = 3.4445 * found + (-4.7750 * gram + 2.0315 * gram @ gram) @ found
    result: Tensor = (found.T if transposed else found).to(matrix.dtype)
    return result


def _normalise(hidden: Tensor) -> Tensor:
    return functional.rms_norm(hidden, hidden.shape[-1:], eps=1e-6)


def _rotate(heads: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    first, second = heads.float().chunk(2, dim=-1)
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1).to(heads.dtype)


def _micro_batches(batch: list[Example]) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Cut a batch into parts of similar length; each is (tokens, targets, places that are learned)."""
    batch.sort(key=lambda example: len(example[0]))
    size = -(-len(batch) // MICRO_BATCHES)
    for part in (batch[start : start + size] for start in range(0, len(batch), size)):
        length = max(len(tokens) for tokens, _ in part)
        tokens = torch.zeros(len(part), length, dtype=torch.long)
        learned = torch.zeros(len(part), length, dtype=torch.bool)
        for row, (ids, flags) in enumerate(part):
            tokens[row, : len(ids)] = torch.tensor(ids)
            learned[row, : len(ids)] = torch.tensor(flags)
        yield tokens[:, :-1], tokens[:, 1:], learned[:, 1:]


def _validation(dialogue: Dialogue) -> dict[str, list[Example]]:
    """Return unseen questions with the answers to be written, 60 of each family."""
    found: dict[str, list[Example]] = {family: [] for family in FAMILIES}
    for question in generate(60 * len(FAMILIES), seed=1_000_003):
        prompt, answer = dialogue.prompt(question.text), dialogue.completion(question.answer)
        found[question.family].append((prompt + answer, [False] * len(prompt) + [True] * len(answer)))
    return found


@torch.no_grad()
def _accuracy(model: TrainedTransformer, validation: Mapping[str, list[Example]]) -> dict[str, float]:
    """Return the share of answers that greedy decoding would write exactly."""
    accuracy = {}
    for family, batch in validation.items():
        right = 0
        for tokens, targets, wanted in _micro_batches(list(batch)):
            hits = torch.ones_like(wanted)
            hits[wanted] = model.logits(tokens, wanted).argmax(-1) == targets[wanted]
            right += int(hits.all(dim=1).sum())
        accuracy[family] = right / len(batch)
    return accuracy


def main() -> None:
    """Train the models named on the command line, and measure what is shipped."""
    parser = argparse.ArgumentParser(description="Train the playground models.")
    parser.add_argument("--model", action="append", choices=list(RECIPES), help="repeatable; default: all")
    parser.add_argument("--steps", type=int, help="fewer than the recipe's")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=int, default=500, help="steps between checkpoints")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "weights", help="where the weights go")
    parser.add_argument("--checkpoints", type=Path, help="where checkpoints go; default: a new temporary folder")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    checkpoints = arguments.checkpoints or Path(tempfile.mkdtemp(prefix="playground-"))
    checkpoints.mkdir(parents=True, exist_ok=True)
    for name in arguments.model or list(RECIPES):
        recipe = replace(RECIPES[name], seed=arguments.seed)
        if arguments.steps:
            recipe = replace(recipe, steps=arguments.steps)
        model = train(name, recipe, checkpoints, arguments.every)
        save_weights(arguments.out / f"playground-{name}.npz", model.arrays())
        write_card(arguments.out, name, steps=recipe.steps, seed=recipe.seed)


if __name__ == "__main__":
    main()
