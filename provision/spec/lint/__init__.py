"""Version-specific rules: problems that Kafka itself would report or suffer from, found before anything is started.

`keys` looks up every property in data from the version's jars, `versions` checks versions in properties; `brokers`,
`topics` and `ensemble` find settings that conflict, and settings that work but are risky. They need no network and no
data but the package's own.
"""

from provision.spec.lint import brokers, ensemble, keys, topics, versions
from provision.spec.rules import RuleReads

RULES: tuple[RuleReads, ...] = (*versions.RULES, *keys.RULES, *brokers.RULES, *topics.RULES, *ensemble.RULES)
