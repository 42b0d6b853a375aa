"""How a fix takes an action over: one function from a backend and a request to an answer in the API's own words."""

import functools
import threading

from localstack.aws import handlers
from localstack.aws.api import CommonServiceException
from localstack.services.ec2.models import get_ec2_backend
from moto.core.exceptions import RESTError

from ..wire import rewrite

LOCK = threading.RLock()
ACTIONS = {}


def refuse(code, message, status=400):
    raise CommonServiceException(code, message, status_code=status, sender_fault=True)


def answers(function):
    """Makes the decorated function answer the action of its name."""
    ACTIONS[function.__name__.replace("_", "")] = function
    return function


def serve(chain, context, response):
    """Answers the actions that are ours, one call at a time: LocalStack serves from many threads, the emulation has no
    locks, and on AWS a call is whole."""
    if not context.service or context.service.service_name != "ec2":
        return
    act = ACTIONS.get(context.operation.name.lower())
    if (context.service_request or {}).get("DryRun"):
        dry_run()
    if act:
        # A new account is made under a lock of the emulation's own, and making it calls replaced methods: take that one first.
        backend = get_ec2_backend(context.account_id, context.region)
        with LOCK:
            answer = attempt(act, backend, context.service_request or {})
        rewrite(context, response, answer)
        chain.stop()


def attempt(act, backend, request):
    try:
        return act(backend, request)
    except RESTError as refusal:
        return refuse(refusal.error_type, refusal.message)


def dry_run():
    """API, every action's DryRun: "Checks whether you have the required permissions for the action, without actually
    making the request, and provides an error response. If you have the required permissions, the error response is
    DryRunOperation"; the emulation carries some actions out all the same."""
    refuse("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)


def instead(owner, name):
    """Replaces a method; the decorated function gets the former one as its first argument."""

    def register(function):
        former = getattr(owner, name)

        @functools.wraps(former)
        def replacement(*arguments, **named):
            with LOCK:
                return function(former, *arguments, **named)

        setattr(owner, name, replacement)
        return function

    return register


handlers.serve_custom_service_request_handlers.append(serve)
