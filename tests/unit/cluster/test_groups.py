"""Groups are as sets are, in the order in which their members came."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trainyard.cluster.groups import Groups

STEPS = st.lists(st.tuples(st.booleans(), st.sampled_from("ab"), st.integers(0, 3)))


@given(steps=STEPS)
def test_members_come_and_go(steps: list[tuple[bool, str, int]]) -> None:
    groups: Groups[str, int] = Groups()
    expected: dict[str, dict[int, None]] = {"a": {}, "b": {}}
    for comes, owner, member in steps:
        if comes:
            groups.add(owner, member)
            expected[owner][member] = None
        else:
            groups.discard(owner, member)
            expected[owner].pop(member, None)
        for one, members in expected.items():
            assert list(groups.of(one)) == list(members)
        assert sorted(groups.owners()) == [one for one, members in expected.items() if members]
