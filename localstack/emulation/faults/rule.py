"""One rule of the fault table: which calls it is about, and what becomes of them."""

import json
from dataclasses import dataclass, field

READS = ("Describe", "Get", "List", "Search")


@dataclass
class Rule:
    op: str = "*"  # an action, "*", "reads" or "writes"
    match: str = ""  # only calls whose parameters contain this text
    agent: str = ""  # only calls of a caller whose User-Agent contains this text
    code: str = ""  # the error's code; none: only delay or drop
    status: int = 400
    after: bool = False  # the call takes effect, then its answer becomes this
    skip: int = 0  # let so many pass first
    every: int = 1  # then hit each so many-th
    times: int = 1  # hit so many; negative: for ever
    delay: float = 0.0  # seconds
    drop: bool = False  # close the connection without an answer
    seen: int = field(default=0, init=False)

    def counts(self, action, request, agent):
        """Counts the call if the rule is about it; whether it is hit."""
        if self.op not in ("*", action, "reads" if reads(action) else "writes"):
            return False
        if self.match and self.match not in json.dumps(request, default=str):
            return False
        if self.agent not in agent:
            return False
        self.seen += 1
        turn = self.seen - self.skip - 1
        if turn < 0 or turn % self.every or self.times == 0:
            return False
        self.times -= 1
        return True


def reads(action):
    return action.startswith(READS)
