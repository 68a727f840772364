"""What one check says of a class."""


def found(checks, trial, title):
    """What the check of this title says."""
    (one,) = (check for check in checks if check.title == title)
    return [problem.text for problem in one.problems(trial) or []]
