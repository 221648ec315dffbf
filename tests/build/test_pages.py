"""Pages are what a dictionary would be that is copied for each change."""

from hypothesis import given, settings
from hypothesis import strategies as st

from fastproxy.build.pages import MANY, Pages

CHANGES = st.dictionaries(st.integers(0, 400).map(str), st.one_of(st.none(), st.integers()), max_size=400)


@settings(max_examples=60)
@given(st.lists(CHANGES, max_size=6))
def test_pages_as_dictionaries(all_changes):
    pages, twin = Pages(), {}
    generations = [(pages, twin)]
    for changes in all_changes:
        pages = pages.updated(changes)
        twin = {name: value for name, value in {**twin, **changes}.items() if value is not None}
        generations.append((pages, twin))
    for pages, twin in generations:  # what was made before stays as it was
        assert len(pages) == len(twin)
        assert dict(pages.items()) == twin
        assert all(pages.get(str(each)) == twin.get(str(each)) for each in range(401))


def test_a_change_copies_the_page_that_it_touches():
    many = 100 * MANY
    before = Pages().updated({str(each): each for each in range(many)})
    after = before.updated({"7": -7})
    assert (after.get("7"), before.get("7"), len(after)) == (-7, 7, many)
    pairs = list(zip(before._pages, after._pages, strict=True))
    assert sum(one is not other for one, other in pairs) == 1
    assert max(len(page) for page in after._pages) < MANY


def test_pages_that_lose_everything_go_on():
    names = {str(each): each for each in range(10 * MANY)}
    pages = Pages().updated(names).updated(dict.fromkeys(names))
    assert (len(pages), list(pages.items()), pages.get("1")) == (0, [], None)
    assert pages.updated({"1": 1, "2": None}).get("1") == 1
