"""Answers on the wire."""

from localstack.aws.api import CommonServiceException
from localstack.aws.protocol.serializer import create_serializer


def rewrite(context, response, content):
    """Makes this content the answer of the call."""
    context.service_response = content
    serializer = create_serializer(context.service, context.protocol)
    response.update_from(serializer.serialize_to_response(content, context.operation, context.request.headers, context.request_id))


def refuse(context, response, code, message, status):
    """Makes this error the answer of the call."""
    error = CommonServiceException(code, message, status_code=status)
    serializer = create_serializer(context.service, context.protocol)
    response.update_from(serializer.serialize_error_to_response(error, context.operation, context.request.headers, context.request_id))
