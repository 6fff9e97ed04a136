"""The vector index finds what brute force finds, in its partition alone, whatever is added, replaced and removed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frugal_core.cache import hamming_filter, segment, sign_bits
from frugal_core.cache.index import VectorIndex
from frugal_core.errors import ConfigurationError

CLOSE = 2e-6  # float32 sums in another order


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def clustered(count, numbers, seed=0, spread=0.5, mean=0.0, members=20):
    """Unit vectors around common centres, as float16."""
    chance = np.random.default_rng(seed)
    centres = chance.standard_normal((max(1, count // members), numbers)) + mean
    rows = centres[chance.integers(len(centres), size=count)] + spread * chance.standard_normal((count, numbers))
    return unit(rows).astype(np.float16)


def near(rows, seed=1, spread=0.3):
    """A float32 vector like each, of unit length."""
    chance = np.random.default_rng(seed)
    noise = spread * unit(chance.standard_normal(rows.shape))
    return unit(rows.astype(np.float32) + noise).astype(np.float32)


def index_of(rows, partition="p"):
    index = VectorIndex(rows.shape[1])
    index.extend([str(place) for place in range(len(rows))], [partition] * len(rows), rows)
    return index


def cosines(rows, query):
    return np.minimum(rows.astype(np.float32) @ query, 1)


def check_against_brute_force(index, partition, kept, query, count, least):
    """`kept` maps keys to float16 vectors."""
    found = index.search(partition, query, count, least)
    true = {key: float(min(1, row.astype(np.float32) @ query)) for key, row in kept.items()}
    wanted = sorted((cosine for cosine in true.values() if cosine >= least), reverse=True)[:count]
    assert [cosine for _, cosine in found] == pytest.approx(wanted, abs=CLOSE)
    assert len({key for key, _ in found}) == len(found)
    assert all(cosine == pytest.approx(true[key], abs=CLOSE) for key, cosine in found)


@given(st.data())
def test_any_sequence_of_changes_leaves_what_it_should(data):
    numbers = data.draw(st.sampled_from([1, 2, 5, 64, 65, 384]))
    index, kept = VectorIndex(numbers), {}
    chance = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    for _ in range(data.draw(st.integers(1, 8))):
        keys = data.draw(st.lists(st.sampled_from("abcdefghijklmnop"), unique=True, max_size=10))
        if data.draw(st.booleans()):
            partitions = data.draw(st.lists(st.sampled_from("xyz"), min_size=len(keys), max_size=len(keys)))
            rows = unit(chance.standard_normal((len(keys), numbers))).astype(np.float16)
            index.extend(keys, partitions, rows)
            kept |= {key: (partition, row) for key, partition, row in zip(keys, partitions, rows, strict=True)}
        else:
            index.remove(keys)
            kept = {key: value for key, value in kept.items() if key not in keys}
        assert len(index) == len(kept)
        for partition in "xyzw":
            own = {key: row for key, (where, row) in kept.items() if where == partition}
            query = unit(chance.standard_normal(numbers)).astype(np.float32)
            least = data.draw(st.sampled_from([-1.0, 0.1, 0.6]))
            check_against_brute_force(index, partition, own, query, data.draw(st.integers(0, 20)), least)


@pytest.mark.parametrize("numbers", [100, 128, 384, 1536])
def test_large_partitions_change_as_small_ones_do(numbers, monkeypatch):
    """Blocks, bits and moves together: thousands are added and removed, across the borders of blocks."""
    monkeypatch.setattr(segment, "BLOCK", 300)
    rows = clustered(2500, numbers)
    index, kept = index_of(rows[:700]), {str(place): row for place, row in enumerate(rows[:700])}
    chance = np.random.default_rng(3)
    for step in range(6):
        gone = chance.choice(sorted(kept), size=len(kept) // 3, replace=False).tolist()
        index.remove(gone)
        for key in gone:
            del kept[key]
        new = {str(place): rows[place] for place in chance.integers(2500, size=900)}  # some in place of others
        index.extend(list(new), ["p"] * len(new), np.stack(list(new.values())))
        kept |= new
        assert len(index) == len(kept)
        for query in near(rows[chance.integers(2500, size=10)], seed=step):
            check_against_brute_force(index, "p", kept, query, 8, 0.8)
            check_against_brute_force(index, "p", kept, query, 5, -1.0)
    index.remove(list(kept))
    assert len(index) == 0 == index.nbytes
    assert index.search("p", near(rows[:1])[0], 8, 0.0) == []


@pytest.mark.parametrize("mean", [0.0, 2.0])
@pytest.mark.parametrize("numbers", [64, 100, 384, 1536])
@pytest.mark.parametrize("least", [0.6, 0.8, 0.95])
def test_the_filter_misses_nothing(numbers, mean, least):
    """Also where all vectors lie to one side, as some embedders' do."""
    rows = clustered(6000, numbers, mean=mean)
    index = index_of(rows)
    wanted = found = 0
    for query in near(rows[::60]):
        true = cosines(rows, query)
        best = {str(place) for place in np.argsort(-true, kind="stable")[:8] if true[place] >= least}
        wanted += len(best)
        found += len(best & {key for key, _ in index.search("p", query, 8, least)})
    assert wanted >= 100
    assert found >= 0.999 * wanted


def test_bits_are_in_use_where_they_pay_and_only_there():
    usual, tiny = clustered(3000, 384), clustered(3000, 5)
    assert hamming_filter.measured_filter(usual).reach(0.8).whole < 150
    assert hamming_filter.measured_filter(usual).reach(0.1) is None
    assert hamming_filter.measured_filter(usual).reach(-1.0) is None
    assert hamming_filter.measured_filter(tiny) is None or hamming_filter.measured_filter(tiny).reach(0.3) is None


def test_a_greater_cosine_never_allows_more_bits():
    found = hamming_filter.measured_filter(clustered(3000, 384))
    radii = [reach.whole for reach in found.reaches if reach is not None]
    assert len(radii) > 5
    assert radii == sorted(radii, reverse=True)


def test_vectors_that_are_all_the_same_are_all_found():
    rows = np.repeat(clustered(1, 384), 2000, axis=0)
    found = index_of(rows).search("p", near(rows[:1], spread=0.0)[0], 5, 0.99)
    assert [cosine for _, cosine in found] == pytest.approx([1.0] * 5, abs=1e-3)


def test_no_cosine_is_above_one():
    rows = clustered(500, 384)
    index = index_of(rows)
    cosine = [index.search("p", row.astype(np.float32) * np.float32(1.0005), 1, 0.9)[0][1] for row in rows[:100]]
    assert max(cosine) == 1.0


def test_one_vector_in_each_of_many_partitions():
    rows = clustered(3000, 384)
    index = VectorIndex(384)
    index.extend([str(place) for place in range(3000)], [f"tenant {place}" for place in range(3000)], rows)
    assert index.nbytes == rows.nbytes
    for place in range(0, 3000, 100):
        query = rows[place].astype(np.float32)
        assert [key for key, _ in index.search(f"tenant {place}", query, 8, -1.0)] == [str(place)]
    index.remove([str(place) for place in range(2999)])
    assert index.nbytes == rows[0].nbytes
    index.extend(["again"], ["tenant 0"], rows[:1])
    assert [key for key, _ in index.search("tenant 0", rows[0].astype(np.float32), 8, -1.0)] == ["again"]


def test_a_key_that_comes_again_moves_to_its_new_partition():
    rows = clustered(2, 64)
    index = index_of(rows, "old")
    index.extend(["0"], ["new"], rows[:1])
    query = rows[0].astype(np.float32)
    assert [key for key, _ in index.search("old", query, 8, -1.0)] == ["1"]
    assert [key for key, _ in index.search("new", query, 8, -1.0)] == ["0"]


def test_memory_grows_and_shrinks_with_the_vectors():
    rows = clustered(5000, 384)
    index = VectorIndex(384)
    for place in range(2000):
        index.extend([str(place)], ["p"], rows[place : place + 1])
    assert index.nbytes <= 2 * 2000 * 384 * 2 * 1.1
    index.remove([str(place) for place in range(1990)])
    assert index.nbytes <= 4 * 10 * 384 * 2 * 1.1


@pytest.mark.parametrize("layout", ["columns", "steps", "float64", "read only"])
def test_any_layout_of_vectors_will_do(layout):
    rows = clustered(600, 64)
    given = {
        "columns": np.asfortranarray(rows),
        "steps": np.repeat(rows, 2, axis=0)[::2],
        "float64": rows.astype(np.float64),
        "read only": np.frombuffer(rows.tobytes(), dtype="<f2").reshape(rows.shape),
    }[layout]
    kept = {str(place): row for place, row in enumerate(rows)}
    queries = np.asfortranarray(near(rows[:5]).astype(np.float64))
    for query in queries:
        check_against_brute_force(index_of(given), "p", kept, query.astype(np.float32), 8, 0.5)
    assert index_of(given).search("p", queries[0], 3, 0.5) == index_of(rows).search("p", queries[0].astype(np.float32), 3, 0.5)


@pytest.mark.parametrize("damage", [np.nan, np.inf, -np.inf, 60000.0, 0.0])
def test_damaged_vectors_are_like_nothing(damage):
    rows = clustered(400, 64)
    rows[7] = damage
    rows[8, 3] = damage if damage else rows[8, 3]
    found = dict(index_of(rows).search("p", near(rows[9:10])[0], 400, -1.0))
    assert len(found) == 400
    assert found["7"] == 0
    assert not damage or found["8"] == 0
    assert np.isfinite(list(found.values())).all()


def test_shapes_that_do_not_fit_are_refused():
    index = VectorIndex(4)
    with pytest.raises(ConfigurationError, match="one vector of 4 numbers"):
        index.extend(["a"], ["p"], np.ones((1, 5)))
    with pytest.raises(ConfigurationError, match="one vector of 4 numbers"):
        index.extend(["a", "b"], ["p"], np.ones((2, 4)))
    with pytest.raises(ConfigurationError, match="vectors of 4 numbers"):
        index.search("p", np.ones(3), 1, 0.0)
    with pytest.raises(ConfigurationError, match="1 or more"):
        VectorIndex(0)
    assert len(index) == 0


def test_float16_is_widened_exactly():
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    finite = every[np.isfinite(every)]
    assert (sign_bits.widened(finite).view(np.uint32) == finite.astype(np.float32).view(np.uint32)).all()


def test_bits_say_the_side_of_the_centre():
    chance = np.random.default_rng(0)
    rows = np.where(chance.random((50, 70)) < 0.2, -0.0, chance.standard_normal((50, 70))).astype(np.float16)
    centre = chance.standard_normal(70).astype(np.float16)
    bits = sign_bits.bits_of(rows, centre)
    assert bits.shape == (2, 50)
    other = sign_bits.bits_of(rows[:1], centre)
    assert (sign_bits.differences(bits, other) == ((rows > centre) != (rows[0] > centre)).sum(axis=1)).all()


@pytest.mark.skipif(not hasattr(np, "bitwise_count"), reason="numpy 1 has only the table")
def test_the_table_counts_as_the_instruction_does():
    words = np.random.default_rng(0).integers(0, 2**64, (3, 40), dtype=np.uint64)
    words[0, :2] = 0, 2**64 - 1
    one, other = np.empty(words.shape, dtype=np.uint8), np.empty(words.shape, dtype=np.uint8)
    sign_bits.ones_by_instruction(words, one)
    sign_bits.ones_by_table(words, other)
    assert (one == other).all()
    assert one[0, :2].tolist() == [0, 64]
