"""LocalStack's own entry point, on loopback alone: by itself it binds every interface, whatever IPv4 address is asked for."""

import functools

from twisted.internet import endpoints

endpoints.TCP4ServerEndpoint = functools.partial(endpoints.TCP4ServerEndpoint, interface="127.0.0.1")

from localstack.runtime.main import main  # noqa: E402

main()
