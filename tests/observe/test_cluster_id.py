"""The id of a KRaft cluster whose data are kept: theirs, and never a new one beside them."""

from pathlib import Path

import pytest

from provision.common.values import replace
from provision.errors import Refused
from provision.observe.cluster_id import cluster_id_for
from provision.plan.observed import ObservedEnvironment
from provision.runtime import directories
from tests.plan.world import cluster_of

ID = "fwAAAAAAAAAAAAAAAAAAAA"
ABSENT = ObservedEnvironment("orders", "docker")


def test_the_id_that_was_noted_is_kept_and_without_data_there_is_a_new_one() -> None:
    cluster = cluster_of(kafka={"mode": "kraft"})
    assert cluster_id_for(cluster, replace(ABSENT, network=True, cluster_id=ID)) == ID
    assert len({cluster_id_for(cluster, ABSENT) for _ in range(3)}) == 3


@pytest.mark.parametrize(
    "content", ["", "version=1\n", "cluster.id=x\n", f"cluster.id={ID}\ncluster.id={ID}\n", "\\u1"]
)
def test_data_in_a_users_directory_are_of_their_cluster_or_refused(tmp_path: Path, content: str) -> None:
    cluster = cluster_of(kafka={"mode": "kraft"}, storage=str(tmp_path))
    meta = directories.create(tmp_path, "broker-1", cluster.name) / "meta.properties"
    meta.write_text(f"cluster.id={ID}\n")
    kept = replace(ABSENT, name=cluster.name, orphaned_data=frozenset({"broker-1"}))
    assert cluster_id_for(cluster, kept) == ID
    meta.write_text(content)
    with pytest.raises(Refused, match="whose id cannot be read") as caught:
        cluster_id_for(cluster, kept)
    assert str(meta.parent) in caught.value.why
    assert f"delete {tmp_path}" in caught.value.hint


def test_data_of_an_ensemble_alone_have_no_id() -> None:
    cluster = cluster_of(kafka={"mode": "kraft"}, storage="/nowhere")
    assert cluster_id_for(cluster, replace(ABSENT, orphaned_data=frozenset({"zookeeper-1"})))
