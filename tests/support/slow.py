"""A leader that answers slowly, by rules for a proxy (proxy.py): what speculation is for, and isn't.

    slow_connection(proxy, broker, answer_s)    each fetch of the product's that comes on the connection that
                                                came first: the network's or the broker's trouble with one
                                                connection. Another connection is as fast as ever.
    slow_at_times(proxy, broker, answer_s, chance)
                                                one fetch in so many, on whatever connection: a tail of slow
                                                answers.
    slow_broker(proxy, broker, answer_s)        every fetch on every connection: a second reader is as slow
                                                as the first.

All return the rule.
"""

import random

from proxy import Api, delay


class _First:
    """The connection by which a fetch came first."""

    def __init__(self, broker):
        self.broker, self.connection = broker, None

    def __call__(self, request):
        if request.broker != self.broker:
            return False
        if self.connection is None:
            self.connection = request.connection
        return request.connection == self.connection


def slow_connection(proxy, broker, answer_s, client=""):
    return proxy.add(delay(answer_s=answer_s), api=Api.FETCH, client=client, times=None,
                     when=_First(broker))


def slow_at_times(proxy, broker, answer_s, chance, client="", seed=1):
    draw = random.Random(seed)
    return proxy.add(delay(answer_s=answer_s), api=Api.FETCH, client=client, times=None,
                     when=lambda request: request.broker == broker and draw.random() < chance)


def slow_broker(proxy, broker, answer_s, client=""):
    return proxy.add(delay(answer_s=answer_s), api=Api.FETCH, client=client, times=None,
                     when=lambda request: request.broker == broker)
