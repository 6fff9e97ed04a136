"""GPTCache on the questions that `cache_stores.py` hands over.

It runs in an environment of its own, and imports nothing of this package.

As `python cache_rivals.py FOLDER THREADS`: FOLDER has `questions.json` and `vectors.npy`; what was measured goes to standard
output as JSON, in microseconds.
"""

import json
import statistics
import sys
import tempfile
import threading
from pathlib import Path
from time import perf_counter, thread_time

import numpy as np


def main(folder, threads):
    from gptcache import Cache
    from gptcache.adapter.api import get, put
    from gptcache.manager import CacheBase, VectorBase, get_data_manager
    from gptcache.processor.pre import get_prompt
    from gptcache.similarity_evaluation.distance import SearchDistanceEvaluation

    handed = json.loads((folder / "questions.json").read_text())
    vectors = dict(zip(handed["texts"], np.load(folder / "vectors.npy").astype(np.float32), strict=True))
    with tempfile.TemporaryDirectory() as place:
        manager = get_data_manager(
            CacheBase("sqlite", sql_url=f"sqlite:///{place}/answers.db"),
            VectorBase("faiss", dimension=384, index_path=f"{place}/faiss.index"),
        )
        cache = Cache()
        cache.init(
            pre_embedding_func=get_prompt,
            embedding_func=lambda text, **_: vectors[text],
            data_manager=manager,
            similarity_evaluation=SearchDistanceEvaluation(),
        )
        stored = handed["stored"]
        for first in range(0, len(stored), 1000):
            part = stored[first : first + 1000]
            manager.import_data(part, [text.upper() for text in part], [vectors[text] for text in part], [None] * len(part))
        inserted = each(lambda text: put(text, text.upper(), cache_obj=cache), handed["inserted"])
        looked_up = each(lambda text: get(text, cache_obj=cache), handed["stream"])
        print(json.dumps({"insert": inserted, "lookup": looked_up, **mixed(get, put, cache, handed["mixed"], threads)}))


def each(call, arguments):
    """Median, 99th percentile and mean of what a call takes, and its mean processor time, in microseconds."""
    taken = []
    worked = thread_time()
    for argument in arguments:
        since = perf_counter()
        call(argument)
        taken.append((perf_counter() - since) * 1e6)
    worked = (thread_time() - worked) / len(taken) * 1e6
    return [statistics.median(taken), float(np.quantile(taken, 0.99)), statistics.mean(taken), worked]


def mixed(get, put, cache, texts, threads):
    """Operations a second of several threads, of which one in ten is an insert; and how many failed."""
    errors = []

    def work(own):
        for place, text in enumerate(own):
            try:
                if place % 10:
                    get(text, cache_obj=cache)
                else:
                    put(text, text.upper(), cache_obj=cache)
            except Exception as error:
                errors.append(repr(error))

    workers = [threading.Thread(target=work, args=(texts[number::threads],)) for number in range(threads)]
    since = perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return {"mixed": len(texts) / (perf_counter() - since), "errors": len(errors)}


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
