"""The state of a cluster that all its brokers agree on."""

from provision.common.patience import Patience, Pauses
from provision.kafka.access import Access
from provision.kafka.readiness import ask_brokers, missing_for_agreement, missing_for_brokers
from provision.plan.observed import ObservedCluster

# A busy broker may miss one request.
_AGREE_S = 0.7
_FEWEST = 2


def agreed(access: Access, *, topics: bool = True) -> ObservedCluster | None:
    """The cluster as reported by all brokers; None while not all of them answer and agree.

    Without `topics` only the brokers are asked for: with thousands of partitions, that is a far shorter answer.
    """
    patience, pauses, asked = Patience(_AGREE_S), Pauses(), 0
    while True:
        asked += 1
        answers = ask_brokers(access, topics=topics)
        cluster = answers.best
        if cluster is not None and not missing_for_brokers(answers) and not missing_for_agreement(answers):
            return cluster
        if not patience.pause(pauses.next_s()) and asked >= _FEWEST:
            return None
