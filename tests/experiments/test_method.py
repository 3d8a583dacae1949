import linecache

import pytest
from torch import nn

from kgrl.experiments.method import METHODS, Method, method_of, methods_in, register, slug


@pytest.fixture
def known(monkeypatch):
    """A register that forgets."""
    monkeypatch.setattr("kgrl.experiments.method.METHODS", {})


def build(setting, seed):
    return nn.Identity()


def test_slugs():
    assert slug("DDPG-KNN (k=0.1N)") == "ddpg-knn-k-0.1n"
    assert slug("bound: all-knowing") == "bound-all-knowing"


@pytest.mark.usefixtures("known")
def test_a_registered_method_is_found_by_name():
    mine = register(Method("Mine", build))
    assert method_of("Mine") is mine
    assert (mine.grid, mine.training, mine.needs, mine.note(None)) == (({},), {}, (), "")
    assert (mine.search_name, Method("B", build, tuned_as="A").search_name) == ("Mine", "A")
    with pytest.raises(ValueError, match="choose from Mine; did you mean 'Mine'"):
        method_of("Mine!")


def test_a_method_of_ones_own_is_known_by_its_code(tmp_path):
    def made_here(setting, seed):
        raise AssertionError

    import kgrl.experiments.methods  # noqa: F401

    assert {METHODS[name].code for name in ("KGQR", "Random", "TPGR", "GreedySVD")} == {None}
    assert Method("No source", dict).code is None
    file = tmp_path / "mine.py"

    def written(text, build):
        file.write_text(f"from functools import partial\nfrom kgrl.experiments.method import Method, register\n{text}\n"
                        "class Mine:\n    def __init__(self, setting, seed): pass\n    def __call__(self): pass\n"
                        f"register(Method('Written', {build}))\n")
        found = methods_in(file)
        METHODS.pop("Written")
        linecache.checkcache()
        return found[0].code

    for build in ("lambda setting, seed: None", "Mine", "partial(Mine, seed=1)", "Mine(1, 2)"):
        first = written("x = 1", build)
        assert first is not None
        assert first == written("x = 1", build) != written("x = 2", build)
    assert Method("Two files", made_here, file=file).code not in (None, Method("One", made_here).code, first)


@pytest.mark.usefixtures("known")
def test_two_methods_never_share_a_folder():
    register(Method("KGQR (a)", build))
    with pytest.raises(ValueError, match=r"`name` must be another.*'KGQR \(a\)' is kept in kgqr-a/"):
        register(Method("kgqr-a", build))
    with pytest.raises(ValueError, match="`grid` must be at least one setting"):
        register(Method("B", build, grid=()))
    with pytest.raises(ValueError, match="`name` must be one that does not begin with 'bound: '"):
        register(Method("Bound by nothing", build))
    register(Method("Boundless", build))


@pytest.mark.parametrize(("changed", "named"), [
    ({"name": "方法"}, "`name` must be one with a letter"), ({"name": ".."}, "`name` must be one with a letter"),
    ({"needs": "kg"}, r"`needs` must be a sequence of names, got 'kg'; write \('kg',\)"),
    ({"needs": ("times",)}, "`needs` must be a known name, got 'times'; .*did you mean 'time'"),
])
def test_what_cannot_be_run_is_not_registered(changed, named):
    with pytest.raises(ValueError, match=named):
        register(Method(**{"name": "One that is not", "build": object} | changed))
    assert "One that is not" not in METHODS


@pytest.mark.usefixtures("known")
def test_a_variant_takes_the_options_of_a_method_that_is_known():
    with pytest.raises(ValueError, match="`tuned_as` must be a known name, got 'Mine'"):
        register(Method("Mine too", build, tuned_as="Mine"))
    register(Method("Mine", build))
    register(Method("Mine too", build, tuned_as="Mine"))
    register(Method("Mine again", build, tuned_as="Mine again"))


def test_the_papers_methods_have_a_fair_search():
    import kgrl.experiments.methods  # noqa: F401

    for method in METHODS.values():
        assert len(method.grid) in (1, 6), method.name
        assert len({str(options) for options in method.grid}) == len(method.grid), method.name
        assert method.search_name in METHODS
    deep = [METHODS[name] for name in ("DDPG-R", "DDPG-KNN (k=1)", "DDPG-KNN (k=N)", "DQN-R", "KGQR")]
    assert all(method.grid == deep[0].grid and method.training == deep[0].training for method in deep)
