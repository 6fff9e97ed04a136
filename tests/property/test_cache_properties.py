"""A cache against a dictionary: whatever is asked in whatever order, only what may answer does."""

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from caching import Words, ask, cache, told
from frugal_core.cache import CacheOptions

WORDS = ["red", "green", "blue", "old", "new", "cat", "dog", "house"]
TEXTS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=5).map(" ".join)
TENANTS = st.sampled_from(["", "a", "b"])
LEAST = 0.85


class CacheMachine(RuleBasedStateMachine):
    """Stores, asks, renews and removes, beside a dictionary of what should be there."""

    @initialize(most=st.sampled_from([3, 10, None]))
    def begin(self, most):
        self.words = Words()
        self.own = cache(embed=self.words, decider=LEAST, max_entries=most)
        self.most = most
        self.right = {}  # namespace and text: answer, in order of use
        self.number = 0

    def answer(self):
        self.number += 1
        return f"answer {self.number}"

    def similarity(self, one, other):
        first, second = self.words.vector(one), self.words.vector(other)
        return first @ second / np.linalg.norm(first) / np.linalg.norm(second)

    def store(self, tenant, text, refresh):
        found = self.own.lookup(ask(text, namespace=tenant), CacheOptions(refresh=refresh))
        if found.hit is None:
            answer = self.answer()
            found.settle(told(answer))
            self.right.pop((tenant, text), None)
            self.right[tenant, text] = answer
            while self.most is not None and len(self.right) > self.most:
                del self.right[next(iter(self.right))]
        return found

    def check(self, found, tenant, text):
        near = {own: self.similarity(text, own[1]) for own in self.right if own[0] == tenant}
        if found.hit is None:
            assert (tenant, text) not in self.right
            assert all(similarity < LEAST + 2e-3 for similarity in near.values())
            return
        key = (tenant, found.hit.entry.question)
        assert found.hit.entry.namespace == tenant
        assert found.hit.entry.answer == self.right[key]
        assert abs(found.hit.similarity - near[key]) < 2e-3
        if (tenant, text) in self.right:
            assert found.hit.kind == "exact"
        else:
            assert near[key] >= max(near.values()) - 2e-3
            assert near[key] > LEAST - 2e-3
        self.right[key] = self.right.pop(key)  # the one used last

    @rule(tenant=TENANTS, text=TEXTS, refresh=st.booleans())
    def ask_and_store(self, tenant, text, refresh):
        before = dict(self.right)
        found = self.store(tenant, text, refresh)
        if found.hit is not None:
            self.right = before
            self.check(found, tenant, text)

    @rule(tenant=TENANTS, text=TEXTS)
    def ask_only(self, tenant, text):
        found = self.own.lookup(ask(text, namespace=tenant))
        found.abandon()
        self.check(found, tenant, text)

    @rule(tenant=TENANTS, text=TEXTS)
    def remove(self, tenant, text):
        removed = self.own.invalidate(key=ask(text, namespace=tenant).key)
        assert removed == ((tenant, text) in self.right)
        self.right.pop((tenant, text), None)

    @rule(tenant=TENANTS)
    def remove_tenant(self, tenant):
        gone = [own for own in self.right if own[0] == tenant]
        assert self.own.invalidate(namespace=tenant) == len(gone)
        for own in gone:
            del self.right[own]

    @rule()
    def clear(self):
        self.own.clear()
        self.right.clear()

    @invariant()
    def as_many_as_should_be(self):
        if hasattr(self, "right"):
            assert self.own.stats().entries == len(self.right)


TestCache = CacheMachine.TestCase
TestCache.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
