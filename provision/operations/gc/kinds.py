"""The kinds of leftovers, in the order in which they are removed: a further kind is one line."""

from provision.operations.gc import engine, environments, files, training
from provision.operations.gc.leftover import Kind

OWNERLESS = Kind("owner ended", environments.ownerless)
TRAINING = Kind("training", training.running)
_MINUTES_S, _DAYS_S = 60.0, 86400.0

KINDS = (
    TRAINING,
    Kind("killed training", training.killed),
    Kind("expired", environments.expired),
    OWNERLESS,
    Kind("home gone", environments.homeless),
    Kind("half-made", environments.half_made, grace_s=10 * _MINUTES_S),
    Kind("note", environments.remembered, grace_s=10 * _MINUTES_S),
    Kind("remnant", engine.remnants),
    Kind("archive", engine.archives),
    Kind("lock", files.locks),
    Kind("lock", files.untold_locks, grace_s=10 * _MINUTES_S),
    Kind("port lease", files.leases),
    Kind("test run", files.test_runs),
    Kind("secrets", files.secrets, grace_s=10 * _MINUTES_S),
    Kind("test run", files.kept_by_tests),
    Kind("draft", files.drafts),
    Kind("history", files.journals, grace_s=30 * _DAYS_S),
    Kind("cluster note", files.cluster_notes, grace_s=30 * _DAYS_S),
)
