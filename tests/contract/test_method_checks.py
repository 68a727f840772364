"""The checks of methods find what they are for: each class of `faulty` has one fault, and its check says so."""

import pytest

from fedbench.errors import FedbenchError
from fedbench.testing import check, check_and_print, examine
from fedbench.testing.methods import CHECKS
from fedbench.testing.trials import MethodTrial
from tests.helpers.faulty import (
    Careless,
    Centred,
    Deaf,
    Double,
    Fast,
    Flat,
    Forgetful,
    Fresh,
    Global,
    Idle,
    Long,
    Mixed,
    Mumbled,
    Needy,
    Neighbour,
    Noisy,
    NoJSON,
    Ordered,
    Padded,
    Particular,
    PerClass,
    Prober,
    Same,
    Shifted,
    Small,
    Sum,
    Summed,
    Typo,
    Undocumented,
    Unlike,
    Untold,
    Vandal,
)

FAULTS = {
    Untold: ("it says what it is", "no docstring"),
    Mumbled: ("it says what it is", "'Not So' must be small letters"),
    Undocumented: ("hyper parameters are complete and documented", "'riddle' is not explained"),
    Needy: ("hyper parameters are complete and documented", "mu has no default: give it the paper's value"),
    NoJSON: ("hyper parameters are complete and documented", "power = inf: input should be a finite number"),
    Careless: ("unknown hyper parameters and quirks are refused", "'lrx'"),
    Typo: ("phases leaks and ablations name its tensors", "unknown tensor 'onw'; did you mean own?"),
    Global: ("the start is as declared and drawn from the given generator", "it draws from torch"),
    Unlike: ("the start is as declared and drawn from the given generator", "has shape (2,)"),
    Double: ("the start is as declared and drawn from the given generator", "must be finite float32"),
    PerClass: ("its tensors do not depend on the classes", "'own' is (5, 48) with 5 classes"),
    Long: ("there is a prompt that fits for each class", "a prompt has 90 tokens; the text tower takes 77"),
    Prober: ("what parity compares can be computed", "KeyError: 'nothing'"),
    Summed: ("losses are one number a client", "shape () and must have (3,)"),
    Mixed: ("the gradient of a client is its own", "the term 'ce' of one client changes"),
    Neighbour: ("the gradient of a client is its own", "the gradient of 'own' of one client changes"),
    Padded: ("images that are only fillers do not count", "counts images where `batch.valid` is False"),
    Idle: ("what is trained moves", "'unused' is trained and does not move"),
    Sum: ("equal uploads are their own average", "'common': three clients send the same"),
    Forgetful: ("a saved federation goes on with the same bits", "after a restart"),
    Deaf: ("every quirk changes something", "'doubled' leaves all scores as they are"),
    Fresh: ("under momentum leak a client goes on with the momentum of the one before", "as without it"),
    Noisy: ("nothing is drawn from a global generator", "draw from random, numpy.random"),
    Fast: ("the fast path computes what the plain path computes", "on the plain path"),
    Flat: (
        "classes that training has not seen get scores",
        "must have (3, 4, 5): (clients, images, classes)",
    ),
    Ordered: ("scores follow their classes into any order", "in another order"),
    Centred: ("the scores of an image do not depend on other images", "an image alone"),
    Same: ("clients are tested with their own tensors", "alone gets other scores than beside the others"),
    Small: ("it runs on the shapes of vit b 16", "512"),
    Particular: ("a backbone without a plain vit is served or refused with a reason", "wants 'tokens'"),
    Vandal: ("the backbone is left as it is", "its weights have changed"),
}


def test_a_method_that_keeps_to_the_contract_has_no_problems(capsys):
    assert check_and_print(Shifted) == []
    assert capsys.readouterr().out == "Shifted: 30 checks passed\n"


@pytest.mark.parametrize("cls", FAULTS, ids=lambda cls: cls.__name__)
def test_a_fault_is_found(cls):
    title, words = FAULTS[cls]
    trial = MethodTrial(cls, clip=own_clip() if cls is Vandal else None)
    if cls is Vandal:
        trial.history()
    (found,) = (check for check in CHECKS if check.title == title)
    problems = found.problems(trial)
    assert problems
    assert any(words in problem.text for problem in problems), problems
    assert not any("\n" in str(problem) for problem in problems)


def own_clip():
    from fedbench.testing.worlds import random_clip

    return random_clip.__wrapped__()


def test_every_check_of_methods_has_been_seen_to_find_something():
    assert {check.title for check in CHECKS} - {title for title, _ in FAULTS.values()} == {
        # of the engine more than of the method: no method can break them
        "nothing else moves in a phase",
        "clients that stay away keep what is theirs",
        "only shared tensors leave a client and the payload counts them",
        "bits do not depend on how many clients train at once",
        "it runs with towers in bfloat16",
    }


def test_an_error_in_the_class_is_a_problem_with_its_place_and_ends_no_other_check():
    class Broken(Shifted):
        """Breaks in training."""

        def losses(self, p, batch):
            return {"ce": p["onw"].sum(1)}

    result = examine(Broken)
    place = Broken.losses.__code__.co_firstlineno + 1
    (problem,) = result.problems  # though it ends most checks of training
    assert str(problem).endswith(f": KeyError: 'onw' (test_method_checks.py:{place})")
    assert result.passed >= 9


def test_what_is_no_contract_of_fedbench_is_refused():
    with pytest.raises(
        FedbenchError, match=r"dict inherits from no contract of fedbench: fedbench.method.Method"
    ):
        check(dict)
    with pytest.raises(FedbenchError, match=r"unknown method, split, .* 'FedPGB'; did you mean FedPGP"):
        check("FedPGB")
