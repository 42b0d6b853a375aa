"""Reads that lag behind writes.

EC2 Developer Guide, "Eventual consistency in the Amazon EC2 API": "the result of an API command you run that affects your Amazon EC2 resources might
not be immediately visible to all subsequent commands you run"; "its ID might not have propagated throughout the system, and you will get
an error responding that the resource does not exist".
"""

import json
from collections import OrderedDict

NOT_FOUND = {
    "sg-": "InvalidGroup.NotFound",
    "sgr-": "InvalidSecurityGroupRuleId.NotFound",
    "eni-": "InvalidNetworkInterfaceID.NotFound",
    "acl-": "InvalidNetworkAclID.NotFound",
}
IDS = ("GroupId", "NetworkInterfaceId", "NetworkAclId")
REMEMBERED = 1000


class Lag:
    """`unseen`: so many calls that name a new id do not find it. `stale`: after a write, so many repeats of a read get the
    answer from before it."""

    def __init__(self, unseen=0, stale=0):
        self.unseen, self.stale = unseen, stale
        self.young, self.answers = {}, OrderedDict()  # id → calls left; read → [answer, repeats left]

    def missing(self, request):
        """The id in the request that is not found yet."""
        text = json.dumps(request, default=str)
        for identifier, left in list(self.young.items()):
            if f'"{identifier}"' in text:
                self.young[identifier] = left - 1
                if left == 1:
                    del self.young[identifier]
                return identifier
        return None

    def created(self, action, answer):
        """Marks what a create call has made."""
        if self.unseen and action.startswith("Create"):
            for part in (answer, *(each for each in answer.values() if isinstance(each, dict))):
                self.young.update({part[name]: self.unseen for name in IDS if name in part})

    def earlier(self, action, request):
        """The former answer of this read, if it is still to be repeated."""
        held = self.answers.get(key(action, request))
        if not held or not held[1]:
            return None
        held[1] -= 1
        return held[0]

    def answered(self, action, request, answer):
        """Remembers what a read was answered, without the ids that are too young."""
        if self.stale:
            self.answers[key(action, request)] = [answer, 0]
            while len(self.answers) > REMEMBERED:
                self.answers.popitem(last=False)

    def written(self):
        for held in self.answers.values():
            held[1] = self.stale

    def visible(self, answer):
        """The answer of a read without what is too young to be seen; None if nothing is left out."""
        if not self.young:
            return None
        kept = {name: [item for item in part if not self.hides(item)] if isinstance(part, list) else part for name, part in answer.items()}
        return kept if kept != answer else None

    def hides(self, item):
        return isinstance(item, dict) and any(item.get(name) in self.young for name in IDS)


def key(action, request):
    return action + json.dumps(request, default=str, sort_keys=True)


def not_found(identifier):
    return next((code for prefix, code in NOT_FOUND.items() if identifier.startswith(prefix)), "InvalidParameterValue")
