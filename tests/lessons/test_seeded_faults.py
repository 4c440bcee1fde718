"""Each lesson notices the mistakes that it warns of. The proof takes minutes: `make prove`."""

import pytest
from execute import NOTEBOOKS, copy_of_lessons, lessons, read
from faults import FAULTS
from seed import make, prove, shorten
from shorten import names_of_none

AT_LEAST = 3


@pytest.mark.prove
@pytest.mark.proves("seeded faults")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_the_lesson_turns_red_at_its_claim(fault, tmp_path):
    prove(fault, copy_of_lessons(tmp_path))


@pytest.mark.parametrize("lesson", [path.stem for path in lessons() if path.stem != "00_start_here"])
def test_each_lesson_has_faults_that_can_be_made(lesson):
    own = [fault for fault in FAULTS if fault.lesson == lesson]
    assert len(own) >= AT_LEAST, f"{lesson} has {len(own)} seeded faults: add to faults.py"
    for fault in own:
        make(fault, read(NOTEBOOKS / f"{lesson}.ipynb"))
        assert not names_of_none(shorten(fault, read(NOTEBOOKS / f"{lesson}.ipynb"))), fault


def test_every_fault_belongs_to_a_lesson_and_has_a_name_of_its_own():
    assert {fault.lesson for fault in FAULTS} <= {path.stem for path in lessons()}
    assert len({str(fault) for fault in FAULTS}) == len(FAULTS)
