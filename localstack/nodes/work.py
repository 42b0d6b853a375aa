"""A queue of keys for several workers: each key is worked on by one at a time, and again if it was added meanwhile."""

import heapq
import itertools
import sys
import threading
import time
import traceback


class Work:
    def __init__(self, do, workers, retry):
        """`do(key)` is tried again `retry` seconds after it has raised."""
        self.do, self.retry = do, retry
        self.changed = threading.Condition()
        self.due = {}  # when each key is due
        self.heap, self.order = [], itertools.count()  # the same, sorted; outdated entries are skipped
        self.running = set()
        for _ in range(workers):
            threading.Thread(target=self.work, daemon=True).start()

    def add(self, key, after=0.0):
        """The earlier of two times holds."""
        with self.changed:
            at = time.monotonic() + after
            if at < self.due.get(key, float("inf")):
                self.due[key] = at
                heapq.heappush(self.heap, (at, next(self.order), key))
                self.changed.notify()

    def work(self):
        while True:
            key = self.take()
            try:
                self.do(key)
            except Exception:  # whatever it is, the other keys go on
                traceback.print_exc(limit=-2, file=sys.stderr)
                self.add(key, self.retry)
            with self.changed:
                self.running.discard(key)
                self.changed.notify_all()

    def take(self):
        with self.changed:
            while True:
                aside, found = [], None
                while self.heap and self.heap[0][0] <= time.monotonic():
                    at, _, key = entry = heapq.heappop(self.heap)
                    if self.due.get(key) != at:
                        continue
                    if key not in self.running:
                        found = key
                        break
                    aside.append(entry)
                for entry in aside:
                    heapq.heappush(self.heap, entry)
                if found is not None:
                    del self.due[found]
                    self.running.add(found)
                    return found
                # What is due but runs is looked at again when its run ends.
                later = [entry[0] for entry in self.heap[:1] if entry[0] > time.monotonic()]
                self.changed.wait(later[0] - time.monotonic() if later else None)
