import pytest

from kgrl.datasets.synthetic import SyntheticKGRec
from kgrl.experiments.setting import Setting


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory):
    """A small data set with a KG and without time stamps."""
    return SyntheticKGRec(tmp_path_factory.mktemp("synthetic"), num_users=60, num_items=40, num_attributes=5,
                          ratings_per_user=12)[0]


@pytest.fixture(scope="session")
def setting(synthetic):
    """Its predicted world, with the cold-start protocol, at η = 0.1."""
    return Setting(synthetic, "kgqr", 0.1, dataset="synthetic", horizon=8)
