"""What is set and what was counted for one account."""

import threading
from collections import Counter

from . import buckets, lag
from .rule import Rule

LOCK = threading.RLock()
LOGGED = 20000  # calls; older ones leave the log, never the counters
EMPTY = {"rules": [], "throttle": 0, "lag": {}, "quotas": {}}
accounts = {}


def of(account):
    with LOCK:
        return accounts.setdefault(account, Account())


class Account:
    def __init__(self):
        self.calls, self.faulted, self.writes = Counter(), Counter(), 0
        self.log, self.logged = [], 0
        self.set({})

    def set(self, table):
        """Replaces everything that is set, refills the buckets, and keeps what was counted."""
        if unknown := set(table) - set(EMPTY):
            raise KeyError(f"no such setting: {sorted(unknown)}; there are {sorted(EMPTY)}")
        self.table = {**EMPTY, **table}
        self.rules = [Rule(**each) for each in self.table["rules"]]
        self.buckets = buckets.Buckets(float(self.table["throttle"]))
        self.lag = lag.Lag(**self.table["lag"])

    def take(self, action, request, agent, after):
        """The first rule that this call sets off. Every rule counts the calls that it is about."""
        hits = [rule for rule in self.rules if rule.after == after and rule.counts(action, request, agent)]
        return hits[0] if hits else None

    def record(self, action, request, status, code):
        self.logged += 1
        self.log.append({"n": self.logged, "op": action, "request": request, "status": status, "code": code})
        del self.log[:-LOGGED]
