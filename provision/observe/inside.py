"""What the brokers say together of the cluster they are."""

from provision.common.patience import Patience
from provision.kafka.access import Access
from provision.kafka.readiness import ask_brokers, missing_for_agreement, missing_for_brokers
from provision.plan.observed import ObservedCluster

# A busy broker may let one question pass.
_AGREE_S, _PAUSE_S = 0.7, 0.3


def agreed(access: Access, *, topics: bool = True) -> ObservedCluster | None:
    """What the brokers say when all of them answer and agree; None while they do not.

    Without `topics` they are asked for the brokers alone: where there are thousands of partitions, that is far shorter.
    """
    patience = Patience(_AGREE_S)
    while True:
        answers = ask_brokers(access, topics=topics)
        cluster = answers.best
        if cluster is not None and not missing_for_brokers(answers) and not missing_for_agreement(answers):
            return cluster
        if not patience.pause(_PAUSE_S):
            return None
