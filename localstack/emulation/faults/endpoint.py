"""The HTTP interface: `/_faults[/ACCOUNT]` and `/_calls[/ACCOUNT]`."""

import json

from localstack.http import Response
from localstack.services.edge import ROUTER

from .. import limits
from . import account as accounts

DEFAULT = "000000000000"


def faults(request, account=DEFAULT):
    """GET: the table and the counters. PUT: replaces the table. DELETE: clears table, counters and log."""
    with accounts.LOCK:
        own = accounts.of(account)
        try:
            if request.method == "PUT":
                own.set(json.loads(request.get_data()))
            elif request.method == "DELETE":
                own.__init__()
            if request.method != "GET":
                quotas(account, own.table["quotas"])
        except (TypeError, ValueError, KeyError) as mistake:
            return answer({"error": str(mistake)}, 400)
        return answer({**own.table, "calls": own.calls, "faulted": own.faulted, "writes": own.writes})


def calls(request, account=DEFAULT):
    """GET ?from=N: the calls after the N-th, oldest first, and how many writes there were."""
    with accounts.LOCK:
        own = accounts.of(account)
        start = int(request.args.get("from", 0))
        return answer({"count": own.logged, "writes": own.writes, "calls": [each for each in own.log if each["n"] > start]})


def quotas(account, table):
    """Other quotas than the defaults, where the fidelity fixes are in place."""
    unknown = set(table) - set(limits.DEFAULTS)
    if unknown:
        raise KeyError(f"no such quota: {sorted(unknown)}; there are {sorted(limits.DEFAULTS)}")
    limits.raised[account] = dict(table)


def answer(content, status=200):
    return Response(json.dumps(content, default=str), status=status, mimetype="application/json")


for _path, _endpoint, _methods in (("_faults", faults, ["GET", "PUT", "DELETE"]), ("_calls", calls, ["GET"])):
    ROUTER.add(path=f"/{_path}", endpoint=_endpoint, methods=_methods)
    ROUTER.add(path=f"/{_path}/<account>", endpoint=_endpoint, methods=_methods)
