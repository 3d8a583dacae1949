import pytest

from kgrl.experiments.variant import Variant


@pytest.mark.parametrize(("text", "world", "variant"), [
    ("heldout", "heldout", Variant()),
    ("heldout-users-2", "heldout", Variant(users=2)),
    ("logged-new-0", "logged", Variant(items=0)),
    ("logged-new-10-ever", "logged", Variant(items=10, known_at="ever")),
    ("logged-new-1-uneven-past-32", "logged", Variant(items=1, evenly=False, past=32)),
    ("taste-users-1-new-time-3-past-8", "taste", Variant(users=1, items=3, by="time", past=8)),
])
def test_what_is_read_is_what_is_written(text, world, variant):
    assert Variant.read(text) == (world, variant)
    assert world + str(variant) == text


@pytest.mark.parametrize("text", ["heldout-", "heldout-new", "heldout-new-", "heldout-new-a", "heldout-past-3",
                                  "heldout-new-0-past-0", "heldout-new-0-never", "heldout-users-1-users-2"])
def test_what_is_no_variant_is_refused(text):
    with pytest.raises(ValueError, match="-new\\[-time\\]-SEED"):
        Variant.read(text)
