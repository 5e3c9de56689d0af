"""The two ways a command ends badly, and the exit code of each."""


class ReproduceError(Exception):
    """A failure that the user's input did not cause: one line on stderr, exit code 1."""

    exit_code = 1


class MissingFileError(ReproduceError):
    """A file that an earlier step writes is missing or damaged."""


class UserError(ReproduceError, ValueError):
    """Something the user wrote or passed is wrong: one line on stderr, exit code 2."""

    exit_code = 2
