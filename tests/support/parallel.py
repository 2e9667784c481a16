"""Runs the cases of a parametrized test side by side: each has topics and a ledger of its own."""

import concurrent.futures

WORKERS = 3


class SideBySide:
    """Starts `work(case)` for every case that the session selected; result(case) waits for one."""

    def __init__(self, request, test, parameter, work, workers=WORKERS):
        cases = [item.callspec.params[parameter] for item in request.session.items
                 if getattr(item, "originalname", None) == test
                 and item.module is request.module]
        self._pool = concurrent.futures.ThreadPoolExecutor(workers)
        self._futures = {case: self._pool.submit(work, case) for case in cases}

    def result(self, case):
        return self._futures[case].result()

    def close(self):
        for future in self._futures.values():
            future.cancel()
        self._pool.shutdown(wait=True)
