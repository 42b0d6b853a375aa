"""Where calls are met: before they take effect, and when their answer is ready."""

import time

from localstack.aws import handlers
from localstack.aws.api import CommonServiceException
from rolo.serving import twisted as serving

from .. import wire
from . import account, lag
from .rule import reads


def before(chain, context, response):
    if not ours(context):
        return
    action, request, own = context.operation.name, context.service_request or {}, account.of(context.account_id)
    with account.LOCK:
        own.calls[action] += 1
        own.writes += not reads(action) and not request.get("DryRun")
        rule = own.take(action, request, agent(context), after=False)
        throttled = not rule and not own.buckets.take(action, request)
        missing = None if rule or throttled else own.lag.missing(request)
        earlier = None if rule or throttled or missing else own.lag.earlier(action, request)
    if rule:
        time.sleep(rule.delay)
        hit(own, context, response, chain, rule)
    if throttled:
        own.faulted[action] += 1
        raise CommonServiceException("RequestLimitExceeded", "Request limit exceeded.", status_code=503)
    if missing:
        own.faulted[action] += 1
        raise CommonServiceException(lag.not_found(missing), f"'{missing}' does not exist", sender_fault=True)
    if earlier is not None:
        wire.rewrite(context, response, earlier)
        context.repeated = True
        chain.stop()


def hit(own, context, response, chain, rule):
    if rule.drop:
        own.faulted[context.operation.name] += 1
        drop(context, response)
        chain.stop()
    elif rule.code:
        own.faulted[context.operation.name] += 1
        raise CommonServiceException(rule.code, "Injected fault.", status_code=rule.status)


def after(chain, context, response):
    if not ours(context):
        return
    action, request, own = context.operation.name, context.service_request or {}, account.of(context.account_id)
    rule, done = None, response.status_code < 300
    with account.LOCK:
        if done and context.service_response is not None and not getattr(context, "repeated", False):
            lagging(own, context, response)
        if done:
            rule = own.take(action, request, agent(context), after=True)
    if rule:
        time.sleep(rule.delay)
        if rule.drop or rule.code:
            own.faulted[action] += 1
        if rule.drop:
            drop(context, response)
        elif rule.code:
            wire.refuse(context, response, rule.code, "Injected after the call took effect.", rule.status)
    with account.LOCK:
        code = rule.code if rule and rule.code else getattr(context.service_exception, "code", None)
        own.record(action, request, response.status_code, code)


def lagging(own, context, response):
    action, request, got = context.operation.name, context.service_request or {}, context.service_response
    if reads(action):
        visible = own.lag.visible(got)
        if visible is not None:
            wire.rewrite(context, response, visible)
        own.lag.answered(action, request, got if visible is None else visible)
    else:
        own.lag.created(action, got)
        own.lag.written()


def ours(context):
    return context.service and context.service.service_name == "ec2" and context.operation


def agent(context):
    return context.request.headers.get("User-Agent", "")


def drop(context, response):
    """Closes the connection: the caller never learns what became of the call."""
    from twisted.internet import reactor

    response.status_code = 499
    connection = context.request.environ["moat.request"]
    reactor.callFromThread(connection.transport.abortConnection)


def keep_connection(former):
    def update(environ, request):
        former(environ, request)
        environ["moat.request"] = request

    return update


serving.update_wsgi_environment = keep_connection(serving.update_wsgi_environment)
handlers.serve_custom_service_request_handlers.append(before)
handlers.run_custom_response_handlers.append(after)
